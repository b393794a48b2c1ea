//! What `lockgate kubeconfig` prints, and what it says where it can't.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use lockgate_testkit::{Lockgate, Output};
use serde_json::{Value, json};

/// A gateway with these lines, before a cluster that is not asked for anything.
fn gate(lines: &str) -> Result<Lockgate> {
    let gate = Lockgate::prepare(env!("CARGO_BIN_EXE_lockgate"))?;
    let address = gate.port().addr();
    let upstreams = "upstreams: [ { name: prod, kind: k8s, url: \"https://10.0.0.1\" } ]\n";
    let listen = if lines.contains("listen:") {
        String::new()
    } else {
        format!("listen: {{ address: \"{address}\", tls: generated }}\n")
    };
    let upstreams = if lines.contains("upstreams:") { "" } else { upstreams };
    gate.configure(&format!("data_dir: data\n{listen}{upstreams}{lines}"))?;
    Ok(gate)
}

fn json_of(said: &Output) -> Result<Value> {
    ensure!(said.status.success(), "{}", said.stderr);
    Ok(serde_json::from_str(&said.stdout)?)
}

#[test]
fn the_gateways_own_authority_is_trusted() -> Result<()> {
    let mut gate = gate("")?;
    let early = gate.run(&["kubeconfig"])?;
    assert!(early.stderr.contains("data/tls/ca.pem is not there yet"), "{}", early.stderr);
    gate.start()?;
    let config = json_of(&gate.run(&["kubeconfig", "--json", "--token-file", "token"])?)?;
    let cluster = &config["clusters"][0]["cluster"];
    assert_eq!(cluster["server"], format!("https://{}/k8s/prod", gate.port().addr()));
    let ca = Command::new("base64").arg("--wrap=0").arg(gate.folder().join("data/tls/ca.pem")).output()?;
    assert_eq!(cluster["certificate-authority-data"], String::from_utf8(ca.stdout)?);
    assert_eq!(config["current-context"], "lockgate-prod");
    // Where the kubeconfig lies does not matter.
    let file = config["users"][0]["user"]["tokenFile"].as_str().context("a file")?;
    assert!(file.starts_with('/') && file.ends_with("/token"), "{file}");
    // kubectl reads YAML as well.
    let yaml = gate.run(&["kubeconfig", "--token-file", "token"])?.stdout;
    assert!(yaml.contains("current-context: lockgate-prod\n"), "{yaml}");
    Ok(())
}

#[test]
fn the_server_is_what_clients_call() -> Result<()> {
    let server = |lines: &str, args: &[&str]| -> Result<Value> {
        let config = json_of(&gate(lines)?.run(&[&["kubeconfig", "--json"], args].concat())?)?;
        Ok(config["clusters"][0]["cluster"]["server"].clone())
    };
    let front = "listen: { address: \"127.0.0.1:8080\" }\npublic_url: https://gate.example/\n";
    assert_eq!(server(front, &[])?, "https://gate.example/k8s/prod");
    let host = "upstreams: [ { name: prod, kind: k8s, url: \"https://h\", host: \"prod.example:8443\" } ]\n";
    assert_eq!(server(&format!("{front}{host}"), &["prod"])?, "https://prod.example:8443");
    let told = ["--server", "https://gate.example/k8s/far/", "--context", "far"];
    assert_eq!(server("", &told)?, "https://gate.example/k8s/far");
    Ok(())
}

#[test]
fn the_token_of_the_environment_is_a_credential() -> Result<()> {
    let gate = gate("")?;
    let args = ["kubeconfig", "--json", "--server", "https://gate.example/k8s/prod"];
    let exec = |more: &[&str]| -> Result<Value> {
        Ok(json_of(&gate.run(&[&args[..], more].concat())?)?["users"][0]["user"]["exec"].clone())
    };
    let run = |exec: &Value, name: &str, value: Option<&str>| -> Result<std::process::Output> {
        let words = exec["args"].as_array().context("arguments")?.iter().filter_map(Value::as_str);
        let mut command = Command::new(exec["command"].as_str().context("a command")?);
        command.args(words).env_remove(name);
        if let Some(value) = value {
            command.env(name, value);
        }
        Ok(command.output()?)
    };
    let environment = exec(&[])?;
    assert_eq!(environment["apiVersion"], "client.authentication.k8s.io/v1");
    assert_eq!(environment["interactiveMode"], "Never");
    let said = run(&environment, "LOCKGATE_TOKEN", Some("a.b-c_d.e"))?;
    let credential: Value = serde_json::from_slice(&said.stdout)?;
    assert_eq!(
        (&credential["kind"], &credential["status"]),
        (&json!("ExecCredential"), &json!({ "token": "a.b-c_d.e" }))
    );
    let said = run(&environment, "LOCKGATE_TOKEN", None)?;
    let stderr = String::from_utf8(said.stderr)?;
    assert!(
        !said.status.success() && stderr.contains("LOCKGATE_TOKEN: holds no token for lockgate"),
        "{stderr}"
    );
    let said = run(&exec(&["--token-env", "CI_TOKEN"])?, "CI_TOKEN", Some("x.y.z"))?;
    assert!(String::from_utf8(said.stdout)?.contains("x.y.z"));

    let printed = exec(&["--token-command", "echo", "p.q.r"])?;
    let said = run(&printed, "UNUSED", None)?;
    assert!(String::from_utf8(said.stdout)?.contains("\"token\":\"p.q.r\""));
    assert!(!run(&exec(&["--token-command", "false"])?, "UNUSED", None)?.status.success());
    Ok(())
}

#[test]
fn what_can_not_work_is_said() -> Result<()> {
    let check = |lines: &str, args: &[&str], part: &str| -> Result<()> {
        let gate = gate(lines)?;
        fs::write(gate.folder().join("key.pem"), "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")?;
        let said = gate.run(&[&["kubeconfig"], args].concat())?;
        assert!(!said.status.success() && said.stdout.is_empty(), "{args:?}: {}", said.stdout);
        assert!(said.stderr.contains(part), "{part} in {}", said.stderr);
        Ok(())
    };
    let plain = "listen: { address: \"127.0.0.1:8080\" }\n";
    check(plain, &[], "kubectl sends tokens to https:// only, and this is http://127.0.0.1:8080/k8s/prod")?;
    check("", &["--server", "http://gate.example"], "kubectl sends tokens to https:// only")?;
    check("", &["--server", "gate.example"], "this is not a URL")?;
    check("listen: { address: \"0.0.0.0:8443\", tls: generated }\n", &[], "set it, or give `--server`")?;
    check("", &["staging"], "no upstream `staging` of the kind `k8s` (there are: prod)")?;
    let two = "upstreams: [ { name: a, kind: k8s, url: \"https://h\" }, { name: b, kind: k8s, url: \"https://h\" } ]\n";
    check(two, &[], "which upstream? lockgate.yaml has of the kind `k8s`: a, b")?;
    check("", &["--config", "nowhere.yaml"], "`--server` and `--ca`")?;
    check("", &["--server", "https://h", "--ca", "key.pem"], "holds no certificate in PEM")?;
    check("", &["--server", "https://h", "--token-env", "A B"], "no name of an environment variable")?;
    check("", &["--token-file", "a", "--exec", "b"], "cannot be used with")
}
