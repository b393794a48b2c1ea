//! Configurations that are good, and what is said of those that are not.

use std::path::Path;

use super::Config;

const KINDS: [&str; 2] = ["git", "k8s"];

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("etc/lockgate.yaml"), text, &KINDS).map_err(|error| error.to_string())
}

fn refused(text: &str) -> String {
    match parse(text) {
        Ok(config) => panic!("should have been refused: {config:?}"),
        Err(error) => error,
    }
}

#[test]
fn every_key_has_a_default_that_suits() {
    let config = parse("upstreams: []\n").unwrap();
    assert_eq!(config.file.listen.address.value.0.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data_dir(), Path::new("etc/lockgate-data"));
    assert_eq!(config.file.limits.push.0, 4 << 30);
}

#[test]
fn the_examples_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            Config::load(&path, &KINDS).unwrap();
        }
    }
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(refused("listen:\n  adress: 127.0.0.1:1\n"), @r"
    etc/lockgate.yaml:2:3: unknown key `adress`
      hint: did you mean `address`?
    ");
    insta::assert_snapshot!(refused("upstream: []\n"), @r"
    etc/lockgate.yaml:1:1: unknown key `upstream`
      hint: did you mean `upstreams`?
    ");
    insta::assert_snapshot!(refused("colour: red\n"), @r"
    etc/lockgate.yaml:1:1: unknown key `colour`
      hint: known here: name, listen, public_url, data_dir, upstreams, issuers, policy, recording, control, proxy, limits
    ");
    let inline = "upstreams:\n  - name: a\n    kind: git\n    url: https://h\n    credential:\n      basic: { user: u, password: hunter2 }\n";
    insta::assert_snapshot!(refused(inline), @r"
    etc/lockgate.yaml:6:25: unknown key `password`
      hint: a secret does not stand in this file: use `password_file` or `password_env`
    ");
}

#[test]
fn wrong_types_and_values() {
    insta::assert_snapshot!(refused("listen: 8080\n"), @"etc/lockgate.yaml:1:9: keys with values are expected here");
    insta::assert_snapshot!(refused("listen: { address: localhost }\n"), @"etc/lockgate.yaml:1:20: `localhost` is not an address: write an IP and a port, as in `127.0.0.1:8080`, `[::1]:8080`");
    insta::assert_snapshot!(refused("listen: { tls: maybe }\n"), @"etc/lockgate.yaml:1:11: expected `off`, `generated` or `{ cert: file, key: file }`, found string");
    insta::assert_snapshot!(refused("listen: { tls: { cert: a } }\n"), @"etc/lockgate.yaml:1:18: `key` is missing");
    insta::assert_snapshot!(refused("limits: { head_timeout: 10 }\n"), @"etc/lockgate.yaml:1:25: `10` is not a time: write a number and a unit, as in `500ms`, `10s`, `15m`, `1h`, `90d`");
    insta::assert_snapshot!(refused("limits: { push: 1GB }\n"), @"etc/lockgate.yaml:1:17: `1GB` is not a size: write bytes, or a number and a unit, as in `64KiB`, `1MiB`, `2GiB`");
    for limit in ["connections", "streams", "headers"] {
        let error = refused(&format!("limits:\n  {limit}: 0\n"));
        assert!(error.starts_with("etc/lockgate.yaml:2:") && error.contains("`0` is not a count"), "{error}");
    }
    for limit in ["head", "push"] {
        let error = refused(&format!("limits:\n  {limit}: 0\n"));
        assert!(error.starts_with("etc/lockgate.yaml:2:") && error.contains("nothing would fit"), "{error}");
    }
    insta::assert_snapshot!(refused("upstreams: {}\n"), @"etc/lockgate.yaml:1:12: a list is expected here, its entries beginning with `-`");
    insta::assert_snapshot!(refused("upstreams:\n  - name: Forge\n    kind: git\n    url: https://h\n"), @"etc/lockgate.yaml:2:11: `Forge` is not a name: up to 64 small letters, digits, `-`, `_` and `.`, the first a letter or digit");
    insta::assert_snapshot!(refused("upstreams:\n  - { name: f, kind: svn, url: 'https://h' }\n"), @r"
    etc/lockgate.yaml:2:22: there is no protocol `svn`
      hint: known: git, k8s
    ");
    insta::assert_snapshot!(refused("upstreams:\n  - { name: f, kind: git, url: 'https://u:hunter2@h' }\n"), @"etc/lockgate.yaml:2:32: a credential does not belong into a URL: it would stand in logs");
    insta::assert_snapshot!(refused("upstreams:\n  - { name: f, kind: git }\n"), @"etc/lockgate.yaml:2:16: `url` is missing");
}

#[test]
fn empty_and_broken() {
    insta::assert_snapshot!(refused(""), @r"
    etc/lockgate.yaml: the file is empty
      hint: examples/lockgate.yaml is one to begin with
    ");
    insta::assert_snapshot!(refused("# only a comment\n\n"), @r"
    etc/lockgate.yaml: the file is empty
      hint: examples/lockgate.yaml is one to begin with
    ");
    insta::assert_snapshot!(refused("listen: [\n"), @"etc/lockgate.yaml:1:9: keys with values are expected here");
    insta::assert_snapshot!(refused("listen: {}\nlisten: {}\n"), @"etc/lockgate.yaml:2:1: `listen` stands here twice");
    insta::assert_snapshot!(refused("upstreams:\n\t- a\n"), @"etc/lockgate.yaml:2:2: tabs disallowed within this context (block indentation)");
    insta::assert_snapshot!(refused("public_url:\n  - a\n"), @"etc/lockgate.yaml:2:3: a single value is expected here");
}

fn upstream(lines: &str) -> String {
    format!("upstreams:\n- name: a\n  kind: git\n  url: https://github.com/\n{lines}")
}

#[test]
fn credentials_of_every_kind() {
    let good = [
        "  credential: none\n",
        "  credential: { gitlab: { token_env: T } }\n",
        "  credential: { exec: { command: [bin/token, --for, git], user: x, env: [HOME], timeout: 5s, lifetime: 1h } }\n",
        "  credential: { github_app: { app_id: 7, private_key_file: k, installation_id: 1, permissions: { contents: write } } }\n",
        "  credentials:\n  - { repositories: ['team/**', other], credential: { github_app: { client_id: c, private_key_env: K, api_url: 'https://h/api/v3', per_repository: false } } }\n  - { credential: none }\n",
    ];
    for lines in good {
        parse(&upstream(lines)).unwrap();
    }
}

#[test]
fn credentials_that_are_wrong() {
    let rows = [
        ("  credential: { github: {} }\n", "5", "`github` is not known here"),
        (
            "  credential: { github_app: { private_key_file: k } }\n",
            "5:15",
            "`client_id` or `app_id` is missing",
        ),
        (
            "  credential: { github_app: { app_id: 7, client_id: c, private_key_file: k } }\n",
            "5:15",
            "exclude each other",
        ),
        (
            "  credential: { github_app: { app_id: 7 } }\n",
            "5:15",
            "`private_key_file` or `private_key_env` is missing",
        ),
        (
            "  credential: { github_app: { app_id: 7, private_key: hunter2 } }\n",
            "5",
            "a secret does not stand in this file",
        ),
        (
            "  credential: { github_app: { app_id: 7, private_key_file: k, permissions: { contents: all } } }\n",
            "5",
            "`all` is not known here",
        ),
        ("  credential: { exec: { command: [] } }\n", "5:15", "`command` is a list"),
        ("  credential: { exec: { command: [a], timeout: 5m } }\n", "5:15", "`timeout` is from 1ms to 60s"),
        ("  credential: { exec: { command: [a], lifetime: 5ms } }\n", "5:15", "`lifetime` is 1s or more"),
        ("  credential: { exec: { command: [a], user: 'a:b' } }\n", "5:15", "has no colon"),
        ("  credential: { gitlab: {} }\n", "5:15", "`token_file` or `token_env` is missing"),
        ("  credential: none\n  credentials: []\n", "6:16", "exclude each other"),
        ("  credentials: []\n", "5:16", "an empty list: no request could go"),
        (
            "  credentials:\n  - { repositories: [], credential: none }\n",
            "6:21",
            "an empty list matches no repository",
        ),
        ("  credentials:\n  - { repositories: [a, '[b'], credential: none }\n", "6:25", "["),
        (
            "  credentials:\n  - { credential: none }\n  - { credential: none }\n",
            "7:19",
            "the entry in line 6 is for all",
        ),
        ("  credentials:\n  - { repository: [a], credential: none }\n", "6", "did you mean `repositories`?"),
        ("  auth: passthrough\n  credentials:\n  - { credential: none }\n", "7", "is never used"),
        ("  ignore_case: true\n  repositories: [a, 'Team/*']\n", "6:21", "in small letters"),
        ("  repositories: ['[a']\n", "5:18", "["),
        ("  redirects: maybe\n", "5", "`maybe` is not known here"),
        ("  forward: at_once\n", "5", "`at_once` is not known here"),
        ("  reads: never\n", "5", "`never` is not known here"),
    ];
    for (lines, place, message) in rows {
        let error = refused(&upstream(lines));
        assert!(error.starts_with(&format!("etc/lockgate.yaml:{place}:")), "{place} {error}");
        assert!(error.contains(message), "{message}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn contradictions() {
    insta::assert_snapshot!(refused("listen: { address: '0.0.0.0:443' }\n"), @r"
    etc/lockgate.yaml:1:20: tokens would cross the network readable: this address is not a loopback one and `tls` is off
      hint: set `tls: generated` or `tls: { cert, key }`; or `allow_plain_http: true` where something in front ends TLS
    ");
    let twice = "upstreams:\n  - { name: a, kind: git, url: 'https://h' }\n  - { name: a, kind: git, url: 'https://i' }\n";
    insta::assert_snapshot!(refused(twice), @"etc/lockgate.yaml:3:13: there is another upstream of this name, in line 2");
    let both = "upstreams:\n  - name: a\n    kind: git\n    url: https://h\n    credential: { bearer: { token_file: a, token_env: B } }\n";
    insta::assert_snapshot!(refused(both), @"etc/lockgate.yaml:5:17: `token_file` and `token_env` exclude each other");
    let passed = "upstreams:\n  - name: a\n    kind: git\n    url: https://h\n    auth: passthrough\n    credential: { bearer: { token_env: B } }\n";
    insta::assert_snapshot!(refused(passed), @"etc/lockgate.yaml:6:17: `auth: passthrough` sends the client's own credential: one of lockgate's is never used");
    let symmetric = "issuers:\n  - { name: i, issuer: 'https://i', audiences: [a], algorithms: [HS256] }\n";
    insta::assert_snapshot!(refused(symmetric), @r"
    etc/lockgate.yaml:2:66: `HS256` is not an algorithm for tokens
      hint: known: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA; symmetric ones and `none` are never accepted
    ");
    insta::assert_snapshot!(refused("control: { listen: '0.0.0.0:1' }\n"), @r"
    etc/lockgate.yaml:1:20: tokens would cross the network readable: the control plane needs TLS here
      hint: set `tls: generated` or `tls: { cert, key }`
    ");
    insta::assert_snapshot!(refused("recording: { store: 'file:///x', s3: { region: r } }\n"), @"etc/lockgate.yaml:1:38: `s3` belongs to a store at `s3://bucket/prefix`");
}
