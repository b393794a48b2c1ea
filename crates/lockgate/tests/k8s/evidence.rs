//! What was recorded of streams, as people read it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lockgate_testkit::{Kubectl, Output, Port, Running, Transport, wait};
use serde_json::{Value, json};

use crate::world::{World, pod};

const LIMIT: Duration = Duration::from_secs(90);

impl World {
    /// What `sessions show` says of the latest stream of a pod, for people and for machines.
    fn shown(&self, pod: &str, resource: &str) -> Result<(String, Value)> {
        let id = self.latest(pod, resource)?;
        let said = self.gate.run_configured(&["sessions", "show", &id])?;
        ensure!(said.status.success(), "{}{}", said.stdout, said.stderr);
        self.no_secrets_in(&said);
        let value = self.gate.json(&["sessions", "show", &id])?;
        self.no_secrets(&value.to_string());
        Ok((said.stdout, value["stream"].clone()))
    }

    /// The exchange that went last to a pod, once it is over.
    fn latest(&self, pod: &str, resource: &str) -> Result<String> {
        wait::until(&format!("the {resource} of {pod}"), || {
            let found = self.gate.json(&["sessions", "search", resource, pod, "--action", "connect"]).ok()?;
            let stream = found.as_array()?.iter().find(|entry| entry["status"] == 101)?;
            Some(stream["exchange"].as_str()?.to_owned())
        })
    }

    fn replayed(&self, id: &str, args: &[&str]) -> Result<Output> {
        let said = self.gate.run_configured(&[&["sessions", "replay", id], args].concat())?;
        self.no_secrets_in(&said);
        Ok(said)
    }

    fn no_secrets_in(&self, said: &Output) {
        self.no_secrets(&said.stdout);
        self.no_secrets(&said.stderr);
    }

    /// What the gateway alone has to show to the cluster.
    fn no_secrets(&self, text: &str) {
        assert!(!text.contains(self.cluster.token()), "the service account's token is in {text}");
    }

    fn stop_and_verify(&mut self) -> Result<()> {
        let ended = self.gate.stop()?;
        ensure!(ended.status.success(), "{}", ended.stderr);
        self.no_secrets_in(&ended);
        let verified = self.gate.run_configured(&["verify"])?;
        ensure!(verified.status.success(), "{}{}", verified.stdout, verified.stderr);
        Ok(())
    }
}

fn by(transport: Transport, websocket: &str) -> String {
    match transport {
        Transport::WebSocket => websocket.to_owned(),
        Transport::Spdy => "SPDY/3.1".to_owned(),
    }
}

const V5: &str = "WebSocket, v5.channel.k8s.io";

#[test]
fn a_command_without_a_terminal_is_told() -> Result<()> {
    let mut world = World::start()?;
    for transport in Transport::ALL {
        let name = format!("plain-{transport:?}").to_lowercase();
        pod(&world.admin()?, &name, "sleep 1000")?;
        let kubectl = world.kubectl("ada")?.transport(transport);
        let script = "read line; echo \"out $line\"; echo err >&2; exit 3";
        let done = kubectl.run_with(&["exec", "-i", &name, "--", "sh", "-c", script], "typed in\n")?;
        assert_eq!(done.status.code(), Some(3), "{transport:?}: {}", done.stderr);

        let (text, stream) = world.shown(&name, "pods/exec")?;
        assert_eq!(stream["kind"], "exec");
        assert_eq!(stream["transport"], by(transport, V5));
        assert_eq!(stream["command"], json!(["sh", "-c", script]));
        assert_eq!((&stream["tty"], &stream["sizes"]), (&json!(false), &json!([])));
        assert_eq!(stream["ended"], json!({ "status": 3 }));
        assert_eq!(stream["bytes"], json!({ "stdin": 9, "stdout": 13, "stderr": 4 }));
        assert_eq!(stream["typed"][0]["text"], "typed in");
        assert_eq!((&stream["copied"], &stream["problems"]), (&Value::Null, &json!([])));
        for part in
            ["exit status 3", "9 bytes on stdin, 13 on stdout, 4 on stderr", "terminal   none", "typed in"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }

        let id = world.latest(&name, "pods/exec")?;
        let replayed = world.replayed(&id, &[])?;
        assert!(replayed.status.success(), "{}", replayed.stderr);
        for part in
            ["> stdin [9 bytes] typed in", "< stdout [13 bytes] out typed in", "< stderr [4 bytes] err"]
        {
            assert!(replayed.stdout.contains(part), "{part} in {}", replayed.stdout);
        }
        // As it was on the wire, with its frames.
        let raw = world.replayed(&id, &["--raw", "response"])?;
        assert!(raw.status.success() && raw.stdout.contains("out typed in"), "{raw:?}");
        let lines = world.replayed(&id, &["--json"])?.stdout;
        let events = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        let is_output = |event: &&Value| event["event"] == "stream_data" && event["channel"] == "stdout";
        let said = events.iter().find(is_output).context("an event of stdout")?;
        assert_eq!((&said["side"], &said["base64"]), (&json!("upstream"), &json!("b3V0IHR5cGVkIGluCg==")));
    }
    world.stop_and_verify()
}

#[test]
fn a_terminal_is_played_again() -> Result<()> {
    let mut world = World::start()?;
    for transport in Transport::ALL {
        let name = format!("shell-{transport:?}").to_lowercase();
        pod(&world.admin()?, &name, "sleep 1000")?;
        let kubectl = world.kubectl("ada")?.transport(transport);
        let mut shell = kubectl.spawn_on_terminal(&["exec", "-it", &name, "--", "sh"])?;
        shell.write("echo $((20 + 22))\n")?;
        shell.wait_for_stdout("42")?;
        shell.write("exit 7\n")?;
        assert_eq!(shell.finish(LIMIT)?.status.code(), Some(7), "{transport:?}");

        let (text, stream) = world.shown(&name, "pods/exec")?;
        assert_eq!((&stream["tty"], &stream["ended"]), (&json!(true), &json!({ "status": 7 })));
        assert_eq!(stream["sizes"][0], json!({ "columns": 80, "rows": 24 }));
        let typed: Vec<_> =
            stream["typed"].as_array().into_iter().flatten().map(|line| line["text"].clone()).collect();
        assert_eq!(typed, ["echo $((20 + 22))", "exit 7"]);
        assert!(text.contains("terminal   80x24") && text.contains("echo $((20 + 22))"), "{text}");

        let id = world.latest(&name, "pods/exec")?;
        let file = world.gate.folder().join(format!("{name}.cast"));
        let path = file.to_str().context("a UTF-8 path")?;
        let written = world.replayed(&id, &["--cast", path])?;
        assert!(written.status.success(), "{}", written.stderr);
        let cast = fs::read_to_string(&file)?;
        assert_eq!(world.replayed(&id, &["--cast"])?.stdout, cast);
        world.no_secrets(&cast);
        let mut lines =
            cast.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?.into_iter();
        let header = lines.next().context("a header")?;
        assert_eq!((&header["version"], &header["title"]), (&json!(2), &json!("sh")));
        assert_eq!((&header["width"], &header["height"]), (&json!(80), &json!(24)));
        let (mut typed, mut printed) = (String::new(), String::new());
        let mut before = 0.0;
        for line in lines {
            let at = line[0].as_f64().context("a time")?;
            assert!(at >= before, "{cast}");
            before = at;
            let text = line[2].as_str().context("text")?;
            match line[1].as_str() {
                Some("i") => typed.push_str(text),
                Some("o") => printed.push_str(text),
                Some("r") => {}
                Some(_) | None => panic!("{line}"),
            }
        }
        assert_eq!(typed.replace('\r', "\n"), "echo $((20 + 22))\nexit 7\n");
        assert!(printed.contains("42\r\n"), "{printed}");
    }
    world.stop_and_verify()
}

#[test]
fn a_stream_is_followed_while_it_is_under_way() -> Result<()> {
    let mut world = World::start()?;
    pod(&world.admin()?, "live", "sleep 1000")?;
    let kubectl = world.kubectl("ada")?;
    let mut exec = kubectl.spawn(&["exec", "-i", "live", "--", "sh"])?;
    exec.write("echo now\n")?;
    exec.wait_for_stdout("now\n")?;
    // The API server was told the exchange's id.
    let (namespace, name) = (json!(world.namespace), json!("live"));
    let event = world.cluster.wait_for_audit("the exec", |event| {
        event["objectRef"]["namespace"] == namespace
            && event["objectRef"]["name"] == name
            && event["objectRef"]["subresource"] == "exec"
    })?;
    let audit = event["auditID"].as_str().context("an id")?;
    let digits = audit.get(audit.len().saturating_sub(32)..).context("the exchange's id")?;
    let id = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-");

    let follow = |args: &[&str]| -> Result<Running> {
        let mut command: Command = world.gate.command();
        command.args(["sessions", "replay", &id, "--follow", "--config"]).arg(world.gate.config());
        Running::start(command.args(args))
    };
    let (text, cast) = (follow(&[])?, follow(&["--cast"])?);
    text.wait_for_stdout("< stdout [4 bytes] now\\n")?;
    cast.wait_for_stdout("\"o\", \"now\\n\"")?;
    let shown = wait::until("what is stored of it", || {
        let shown = world.gate.run_configured(&["sessions", "show", &id]).ok()?;
        shown.stdout.contains("4 on stdout").then_some(shown.stdout)
    })?;
    assert!(shown.contains("outcome    under way"), "{shown}");
    exec.write("echo later; exit 5\n")?;
    text.wait_for_stdout("later")?;
    assert_eq!(exec.finish(LIMIT)?.status.code(), Some(5));
    for following in [text, cast] {
        let done = following.finish(LIMIT)?;
        assert!(done.status.success() && done.stdout.contains("later"), "{done:?}");
        world.no_secrets_in(&done);
    }
    world.stop_and_verify()
}

#[test]
fn copied_files_are_listed_with_their_digests() -> Result<()> {
    let mut world = World::start()?;
    let content: Vec<u8> = (0..300_000).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for transport in Transport::ALL {
        let name = format!("files-{transport:?}").to_lowercase();
        pod(&world.admin()?, &name, "sleep 1000")?;
        let kubectl = world.kubectl("ada")?.transport(transport);
        fs::create_dir(kubectl.home().join("folder"))?;
        fs::write(kubectl.home().join("folder/noise"), &content)?;
        fs::write(kubectl.home().join("folder/words"), "three little words\n")?;
        let digests = [sha256(&kubectl, "folder/noise")?, sha256(&kubectl, "folder/words")?];
        kubectl.get(&["cp", "folder", &format!("{name}:there")])?;
        let up = wait::until("the upload", || {
            let (text, stream) = world.shown(&name, "pods/exec").ok()?;
            (stream["copied"]["way"] == "upload").then_some((text, stream))
        })?;
        kubectl.get(&["cp", &format!("{name}:there"), "back"])?;
        let down = wait::until("the download", || {
            let (text, stream) = world.shown(&name, "pods/exec").ok()?;
            (stream["copied"]["way"] == "download").then_some((text, stream))
        })?;
        for (text, stream) in [up, down] {
            let copied = &stream["copied"];
            assert_eq!((&copied["error"], &copied["more"]), (&Value::Null, &json!(0)), "{copied}");
            let files: Vec<_> = copied["entries"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|it| it["kind"] == "file")
                .collect();
            let file =
                |name: &str| files.iter().find(|it| it["path"].as_str().is_some_and(|it| it.ends_with(name)));
            for ((name, size), digest) in [("noise", 300_000), ("words", 19)].iter().zip(&digests) {
                let file = file(name).with_context(|| format!("{name} in {copied}"))?;
                assert_eq!((&file["size"], &file["sha256"]), (&json!(size), &json!(digest)));
                assert!(text.contains(&format!("{size} bytes, sha256:{digest}")), "{text}");
            }
            assert_eq!(files.len(), 2, "{copied}");
        }
    }
    world.stop_and_verify()
}

/// By the system's own program.
fn sha256(kubectl: &Kubectl, file: &str) -> Result<String> {
    let said = Command::new("sha256sum").arg(kubectl.home().join(file)).output()?;
    let said = String::from_utf8(said.stdout)?;
    Ok(said.split(' ').next().context("a digest")?.to_owned())
}

#[test]
fn connections_to_ports_are_counted() -> Result<()> {
    let mut world = World::start()?;
    let (inside, outside) = (Port::reserve()?, Port::reserve()?);
    let number = inside.number();
    let script = format!("echo hello >page; exec python3 -m http.server --bind 127.0.0.1 {number}");
    for transport in Transport::ALL {
        let name = format!("web-{transport:?}").to_lowercase();
        pod(&world.admin()?, &name, &script)?;
        wait::until("the server", || TcpStream::connect(inside.addr()).ok())?;
        let kubectl = world.kubectl("ada")?.transport(transport);
        let ports = format!("{}:{number}", outside.number());
        let mut forwarding = kubectl.spawn(&["port-forward", &format!("pod/{name}"), &ports])?;
        forwarding.wait_for_stdout("Forwarding from 127.0.0.1")?;
        let question = b"GET /page HTTP/1.0\r\n\r\n";
        let mut stream = TcpStream::connect(outside.addr())?;
        stream.write_all(question)?;
        let mut answer = String::new();
        #[expect(clippy::disallowed_methods, reason = "taken in bounds")]
        stream.take(65_536).read_to_string(&mut answer)?;
        assert!(answer.ends_with("hello\n"), "{answer}");
        forwarding.kill()?;

        let (text, stream) = world.shown(&name, "pods/portforward")?;
        assert_eq!(stream["kind"], "port-forward");
        assert_eq!(stream["transport"], by(transport, "SPDY/3.1 in a WebSocket"));
        let connections = stream["connections"].as_array().context("connections")?;
        let carried = connections.iter().find(|it| it["error"].is_null()).context("a connection")?;
        assert_eq!(carried["port"], number);
        assert_eq!((&carried["sent"], &carried["received"]), (&json!(question.len()), &json!(answer.len())));
        let line = format!("{} bytes to it, {} from it", question.len(), answer.len());
        assert!(text.contains(&line), "{line} in {text}");
        let id = world.latest(&name, "pods/portforward")?;
        let no_cast = world.replayed(&id, &["--cast"])?;
        assert!(!no_cast.status.success() && no_cast.stderr.contains("no terminal"), "{no_cast:?}");
        world.admin()?.get(&["delete", "pod", &name, "--grace-period=0", "--force"])?;
        wait::until("the port to be free", || TcpStream::connect(inside.addr()).is_err().then_some(()))?;
    }
    world.stop_and_verify()
}
