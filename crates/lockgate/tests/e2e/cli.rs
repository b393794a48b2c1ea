//! The command line: what it says when something is wrong, and what people search.

use anyhow::Result;
use lockgate_testkit::Lockgate;

use crate::{
    evidence::bundles,
    world::{POLICY, World},
};

fn gate() -> Result<Lockgate> {
    Lockgate::prepare(env!("CARGO_BIN_EXE_lockgate"))
}

#[test]
fn config_errors_name_line_and_column() -> Result<()> {
    let gate = gate()?;
    let cases = [
        ("", "empty"),
        ("listn: {}\n", ":1:1"),
        ("listen: { address: 127.0.0.1:0 }\nupstreams: 3\n", ":2:"),
        ("upstreams:\n- { name: a, kind: svn, url: http://h/ }\n", "svn"),
        ("upstreams:\n- { name: a, kind: git, url: ftp://h/ }\n", ":2:"),
        ("listen: { address: \"0.0.0.0:80\" }\n", "tls"),
    ];
    for (config, part) in cases {
        gate.configure(config)?;
        for command in [["config", "check"].as_slice(), &["up", "--config"]] {
            let said = gate.run(&[command, &["lockgate.yaml"]].concat())?;
            assert_eq!(said.status.code(), Some(1), "{config:?}: {}{}", said.stdout, said.stderr);
            assert!(said.stderr.contains(part), "{part} in {}", said.stderr);
        }
    }
    Ok(())
}

/// A value that can't be used, behind a `^` where the error is to stand, and a part of what is said of it.
fn refused_at(gate: &Lockgate, marked: &str, part: &str, command: &[&str]) -> Result<()> {
    let (before, after) = marked.split_once('^').expect("a mark");
    let (line, column) =
        (before.matches('\n').count() + 1, before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1);
    gate.configure(&format!("{before}{after}"))?;
    let said = gate.run(&[command, &["lockgate.yaml"]].concat())?;
    let place = format!("lockgate: lockgate.yaml:{line}:{column}: ");
    assert_eq!(said.status.code(), Some(1), "{marked}: {}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains(&place) && said.stderr.contains(part), "{place}{part} in {}", said.stderr);
    Ok(())
}

/// A gateway to somewhere.
const SOMEWHERE: &str = "listen: { address: \"127.0.0.1:0\" }
upstreams:
- { name: a, kind: git, url: \"https://h.example/\" }
";

#[test]
fn what_a_configuration_refers_to_is_missed_at_its_place() -> Result<()> {
    let gate = gate()?;
    let cases = [
        ("issuers:\n- { name: i, issuer: \"https://i.example\", audiences: ^[] }\n", "`audiences`"),
        ("issuers:\n- { name: i, issuer: ^\"http://i.example\", audiences: [a] }\n", "is not https"),
        (
            "issuers:\n- { name: i, issuer: \"https://i.example\", audiences: [a], jwks_file: ^keys.json }\n",
            "cannot open keys.json: No such file",
        ),
        ("policy: ^nope.yaml\n", "cannot open nope.yaml: No such file"),
        ("recording: { store: ^\"ftp://x\" }\n", "file:///directory or s3://bucket/prefix"),
        (
            "recording: { store: \"s3://b\", s3: ^{ access_key_id: k, secret_access_key_file: nowhere } }\n",
            "nowhere",
        ),
    ];
    let upstream = SOMEWHERE.strip_suffix(" }\n").expect("a list of one upstream");
    let of_upstream = [
        (", credential: ^{ bearer: { token_file: nowhere } } }\n", "nowhere can't be read"),
        (", credential: ^{ gitlab: { token_env: LOCKGATE_NO_SUCH_VARIABLE } } }\n", "is not set"),
        (
            ", credentials: [ { credential: ^{ bearer: { token_file: nowhere } } } ] }\n",
            "nowhere can't be read",
        ),
        (", ca: ^nowhere.pem }\n", "cannot open nowhere.pem"),
    ];
    let rest = &SOMEWHERE[SOMEWHERE.find('\n').expect("lines")..];
    let tls = format!("listen: {{ address: \"127.0.0.1:0\", tls: {{ cert: ^a.pem, key: b.pem }} }}{rest}");
    let cases = cases.into_iter().map(|(lines, part)| (format!("{SOMEWHERE}{lines}"), part));
    let of_upstream = of_upstream.into_iter().map(|(lines, part)| (format!("{upstream}{lines}"), part));
    for (marked, part) in cases.chain(of_upstream).chain([(tls, "cannot open a.pem: No such file")]) {
        for command in [["config", "check"].as_slice(), &["up", "--config"]] {
            refused_at(&gate, &marked, part, command)?;
        }
    }
    Ok(())
}

#[test]
fn what_only_a_start_would_miss_is_missed_by_the_check() -> Result<()> {
    let gate = gate()?;
    std::fs::write(gate.folder().join("empty.pem"), "nothing\n")?;
    for (lines, part) in [
        ("recording: { store: ^\"file://relative/x\" }\n", "file:///directory"),
        (
            "proxy: { control: \"https://h.example\", cert: ^nope.pem, key: k.pem }\n",
            "cannot open nope.pem: No such file",
        ),
        (
            "control: { proxies: { listen: \"127.0.0.1:1\", cert: ^empty.pem, key: k.pem, ca: ca.pem } }\n",
            "empty.pem holds no certificate in PEM",
        ),
        (
            "control: { listen: \"127.0.0.1:1\", tls: { cert: ^nope.pem, key: k.pem } }\n",
            "cannot open nope.pem: No such file",
        ),
    ] {
        refused_at(&gate, &format!("{SOMEWHERE}{lines}"), part, &["config", "check"])?;
    }
    // A store's folder is made at the first start.
    let store = gate.folder().join("not/yet");
    gate.configure(&format!("{SOMEWHERE}recording: {{ store: \"file://{}\" }}\n", store.display()))?;
    let said = gate.run(&["config", "check", "lockgate.yaml"])?;
    assert!(said.status.success() && !store.exists(), "{}{}", said.stdout, said.stderr);
    Ok(())
}

/// Each carries its own tests, which run here against what git can really say.
#[test]
fn example_policies_are_good() -> Result<()> {
    let (gate, folder) = (gate()?, concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/policies"));
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let text = std::fs::read_to_string(&path)?;
        assert!(text.contains("\ntests:\n"), "{} has no tests", path.display());
        let path = path.display().to_string();
        let said = gate.run(&["policy", "check", &path])?;
        assert!(said.status.success(), "{}{}", said.stdout, said.stderr);
        names.push(path);
    }
    assert!(names.len() >= 12, "{names:?}");
    Ok(())
}

#[test]
fn policies_are_checked_and_explained() -> Result<()> {
    let gate = gate()?;
    let write = |text: &str| std::fs::write(gate.folder().join("policy.yaml"), text);
    write(POLICY)?;
    let said = gate.run(&["policy", "check", "policy.yaml"])?;
    assert!(said.status.success(), "{}{}", said.stdout, said.stderr);
    let explained = gate.run(&[
        "policy",
        "explain",
        "policy.yaml",
        "--who",
        "agents",
        "git",
        "action=push",
        "repository=team/app",
        "ref=refs/heads/main",
        "change=update",
        "kind=branch",
    ])?;
    assert!(
        explained.stdout.contains("require_approval") && explained.stdout.contains("production"),
        "{explained:?}"
    );
    let explain = |who: &str| {
        let what = ["git", "action=push", "repository=team/app", "ref=refs/heads/x", "kind=branch"];
        gate.run(&[&["policy", "explain", "policy.yaml", "--who", who], &what[..]].concat())
    };
    let nobody = explain("zz")?;
    assert_eq!(nobody.status.code(), Some(1), "{}", nobody.stdout);
    assert!(nobody.stderr.contains("no group `zz` in `groups` (known: agents)"), "{}", nobody.stderr);
    assert!(explain("group:agents")?.status.success(), "a token may put anybody into it");
    for (wrong, part) in [
        ("version: 1\nrules:\n- { id: a, match: { git: { acton: push } }, decide: allow }\n", ":3:"),
        ("version: 1\nrules:\n- { id: a, match: { git: { action: psh } }, decide: allow }\n", "push"),
        ("version: one\n", ":1:"),
        ("", "empty"),
        (
            &format!(
                "{POLICY}tests:\n- {{ who: agents, git: {{ action: push, repository: team/a, ref: refs/heads/x }}, expect: {{ decide: deny }} }}\n"
            ),
            "allow",
        ),
    ] {
        write(wrong)?;
        let said = gate.run(&["policy", "check", "policy.yaml"])?;
        assert_eq!(said.status.code(), Some(1), "{wrong:?}: {}{}", said.stdout, said.stderr);
        assert!(
            (said.stdout.clone() + &said.stderr).contains(part),
            "{part} in {}{}",
            said.stdout,
            said.stderr
        );
    }
    Ok(())
}

#[test]
fn a_newcomer_finds_help() -> Result<()> {
    let gate = gate()?;
    let help = gate.run(&["--help"])?;
    for word in ["demo", "up", "approvals", "sessions", "verify", "Examples"] {
        assert!(help.stdout.contains(word), "{word} in {}", help.stdout);
    }
    assert_eq!(gate.run(&["nonsense"])?.status.code(), Some(2));
    for shell in ["bash", "zsh", "fish"] {
        assert!(gate.run(&["completions", shell])?.stdout.contains("lockgate"), "{shell}");
    }
    Ok(())
}

#[test]
fn exchanges_are_found_by_who_what_and_when() -> Result<()> {
    let mut world = World::start()?;
    world.repo("team/one")?;
    world.repo("team/two")?;
    for (who, repo) in [("ada", "team/one"), ("bob", "team/two")] {
        let git = world.git(who)?;
        let work = world.work(&git, repo)?;
        git.commit(&work, "a", who)?;
        git.ok(&work, &["push", "origin", &format!("HEAD:refs/heads/{who}")])?;
    }
    let push = |filter: &[&str]| world.exchanges(&[&["--action", "push"], filter].concat(), 1);
    let ada = &push(&["--principal", "ada"])?[0];
    assert_eq!(ada["accesses"][0]["resource"], "team/one");
    assert_eq!(push(&["--repository", "team/two"])?[0]["subject"], "bob");
    assert_eq!(push(&["--ref", "refs/heads/ada"])?[0]["subject"], "ada");
    world
        .exchanges(&["--action", "push", "--upstream", "forge", "--verdict", "permit", "--since", "1h"], 2)?;
    world.exchanges(&["--action", "push", "--until", "2020-01-01T00:00:00Z"], 0)?;
    world.exchanges(&["--action", "push", "--upstream", "elsewhere"], 0)?;
    let bogus = world.gate.run_configured(&["sessions", "search", "--outcome", "bogus"])?;
    assert_eq!(bogus.status.code(), Some(2), "{}", bogus.stdout);
    for known in ["complete", "client gone", "failed", "cut off"] {
        assert!(bogus.stderr.contains(known), "{known} in {}", bogus.stderr);
    }
    let session = ada["session"].as_str().unwrap_or_default();
    let replayed = world.gate.run_configured(&["sessions", "replay", session])?;
    assert_eq!(replayed.status.code(), Some(1), "{}", replayed.stdout);
    assert!(replayed.stderr.contains(&format!("lockgate sessions show {session}")), "{}", replayed.stderr);
    let sessions = world.gate.json(&["sessions", "list"])?;
    assert!(sessions.as_array().is_some_and(|list| list.len() >= 2), "{sessions}");
    let exchange = ada["exchange"].as_str().unwrap_or_default();
    let raw = world.gate.run_configured(&["sessions", "replay", exchange, "--raw", "request"])?;
    assert!(raw.stdout.contains("refs/heads/ada"), "{raw:?}");

    // One changed byte in one bundle is found, and where it is.
    world.stop_and_verify()?;
    let bundle = bundles(&world.gate.folder().join("data/recordings"))?.pop().expect("a bundle");
    let mut bytes = std::fs::read(&bundle)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&bundle, bytes)?;
    let found = world.gate.run_configured(&["verify"])?;
    assert_eq!(found.status.code(), Some(1), "{}{}", found.stdout, found.stderr);
    let name = bundle.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    assert!(
        (found.stdout.clone() + &found.stderr).contains(&name),
        "{name} in {}{}",
        found.stdout,
        found.stderr
    );
    Ok(())
}
