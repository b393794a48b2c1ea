//! Configurations and policies that are right alone and wrong together.

use std::{fs, path::Path};

use anyhow::Result;

use super::*;
use crate::wiring;

/// What is said of a configuration with these lines, and a policy with this rule.
fn said(config: &str, rule: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("lockgate.yaml");
    fs::write(&file, config)?;
    let groups = "groups: { ours: [ { issuer: corp, claim: { team: x } } ] }";
    let policy =
        format!("version: 1\n{groups}\nrules: [ {{ id: prod, decide: require_approval, {rule} }} ]\n");
    let policy = Policy::load(&policy, &wiring::schemas())?;
    Ok(advice(&Config::load(&file, &wiring::kinds())?, &policy).join("\n"))
}

const PUSH: &str = "match: { git: { action: push } }";

#[test]
fn a_rule_that_nobody_can_approve_is_named() -> Result<()> {
    let release = format!("{PUSH}, approval: {{ from: [group:release] }}");
    let ours = format!("{PUSH}, approval: {{ from: [ours] }}");
    let two = format!("{PUSH}, approval: {{ count: 2 }}");
    let corp =
        "issuers: [ { name: corp, issuer: \"https://i.example\", audiences: [a], groups_claim: g } ]\n";
    let no_groups = corp.replace(", groups_claim: g", "");
    let role = |group: &str| format!("control: {{ roles: {{ approver: [{group}] }} }}\n");
    let cases = [
        ("", PUSH, ""),
        (
            "control: { operator: { roles: [viewer] } }\n",
            PUSH,
            "nobody can approve: it asks for an approver,",
        ),
        ("", &release, "nobody can approve: it asks for one of release,"),
        ("control: { operator: { groups: [release] } }\n", &release, ""),
        (corp, &release, "nobody"),
        (&format!("{corp}{}", role("release")), &release, ""),
        (&format!("{no_groups}{}", role("release")), &release, "nobody"),
        (&format!("{no_groups}{}", role("ours")), &ours, ""),
        ("", &two, "only the operator can approve"),
        (&format!("{corp}{}", role("dev")), &two, ""),
    ];
    for (config, rule, expected) in cases {
        let said = said(&format!("name: gate\n{config}"), rule)?;
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{config}{rule}: {said}");
    }
    Ok(())
}

#[test]
fn a_rule_under_which_anybody_may_approve_what_they_ask_for_is_named() -> Result<()> {
    let upstream =
        |auth: &str| format!("upstreams: [ {{ name: lab, kind: git, url: \"http://h/\", auth: {auth} }} ]\n");
    let corp = "control: { roles: { approver: [dev] } }\n\
                issuers: [ { name: corp, issuer: \"https://i.example\", audiences: [a], groups_claim: g } ]\n";
    let cases = [
        ("oidc", PUSH.to_owned(), ""),
        ("passthrough", PUSH.to_owned(), "rule prod: callers of lab are not verified"),
        ("passthrough", "match: { who: ours }".to_owned(), ""),
        ("passthrough", "match: { upstreams: [forge] }".to_owned(), ""),
        ("passthrough", format!("{PUSH}, approval: {{ count: 2 }}"), ""),
    ];
    for (auth, rule, expected) in cases {
        let said = said(&format!("{}{corp}", upstream(auth)), &rule)?;
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{auth} {rule}: {said}");
    }
    Ok(())
}

/// The files that are shipped work together, as they stand.
#[test]
fn the_shipped_example_needs_no_advice() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let config = Config::load(&root.join("examples/lockgate.yaml"), &wiring::kinds())?;
    let policy = config.file.policy.as_ref().expect("the example names its policy");
    let text = fs::read_to_string(config.resolve(&policy.value))?;
    let policy = Policy::load(&text, &wiring::schemas())?;
    assert_eq!(advice(&config, &policy), <[String; 0]>::default());
    // Who passes the issuer's requirements is an agent to the policy.
    for (claim, values) in &config.file.issuers[0].required {
        for value in values {
            assert!(text.contains(&format!("{claim}: \"{value}\"")), "{claim}: {value}");
        }
    }
    let unit = fs::read_to_string(root.join("deploy/lockgate.service"))?;
    let example = fs::read_to_string(&config.path)?;
    assert!(unit.contains("LoadCredential=forge-token:"));
    assert!(example.contains("/run/credentials/lockgate.service/forge-token"));
    Ok(())
}

/// As above, for a cluster; and its account is the one that is shipped.
#[test]
fn the_shipped_example_of_a_cluster_needs_no_advice() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let config = Config::load(&root.join("examples/kubernetes.yaml"), &wiring::kinds())?;
    let policy = config.file.policy.as_ref().expect("the example names its policy");
    let policy = Policy::load(&fs::read_to_string(config.resolve(&policy.value))?, &wiring::schemas())?;
    assert_eq!(advice(&config, &policy), <[String; 0]>::default());
    let (example, rights) =
        (fs::read_to_string(&config.path)?, fs::read_to_string(root.join("deploy/kubernetes.yaml"))?);
    for (file, part) in [
        (&example, "prefix: \"lockgate:\""),
        (&rights, "resourceNames: [\"lockgate:acme\"]"),
        (&example, "https://lockgate.lockgate-system.svc:8443"),
        (&rights, "namespace: lockgate-system"),
    ] {
        assert!(file.contains(part), "{part}");
    }
    Ok(())
}

#[test]
fn a_group_of_an_issuer_that_there_is_not_is_named() -> Result<()> {
    let gateway = "upstreams: [ { name: u, kind: git, url: \"https://h.example/\" } ]\n";
    let issuer = |name: &str| {
        format!("issuers: [ {{ name: {name}, issuer: \"https://i.example\", audiences: [a] }} ]\n")
    };
    let other = said(&format!("{gateway}{}", issuer("other")), PUSH)?;
    assert!(other.contains("group ours: nobody is in it by issuer `corp`"), "{other}");
    assert_eq!(said(&format!("{gateway}{}", issuer("corp")), PUSH)?, "");
    // A control plane has no issuers of its own.
    assert_eq!(said("data_dir: data\n", PUSH)?, "");
    Ok(())
}

#[test]
fn what_is_asked_of_images_and_said_of_no_registry_is_named() -> Result<()> {
    let corp = "issuers: [ { name: corp, issuer: \"https://i.example\", audiences: [a] } ]\n";
    let upstream = |more: &str| {
        format!("name: gate\n{corp}upstreams: [ {{ name: hub, kind: oci, url: \"http://h/\"{more} }} ]\n")
    };
    let asks = |what: &str| format!("match: {{ oci: {{ action: pull, {what}: [x] }} }}");
    for (more, what, expected) in [
        ("", "signed_by", "whose `signatures` count"),
        ("", "signer", "whose `signatures` count"),
        (", signatures: { keys: [ { name: x, file: x.pub } ] }", "signed_by", ""),
        ("", "built_on", "no upstream names `bases`"),
        (", bases: [ { name: x, image: \"x:1\" } ]", "built_on", ""),
        ("", "repository", ""),
    ] {
        let said = said(&upstream(more), &asks(what))?;
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{more} {what}: {said}");
    }
    assert_eq!(said("name: gate\n", &asks("signed_by"))?, "");
    Ok(())
}
