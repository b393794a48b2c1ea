//! kubectl with the kubeconfig that lockgate prints.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result, ensure};
use lockgate_testkit::Kubectl;
use serde_json::{Value, json};

use crate::world::World;

#[test]
fn kubectl_works_with_what_is_printed() -> Result<()> {
    let world = World::start()?;
    let token = world.idp.token("ada").claim("aud", json!("lockgate")).claim("role", json!("agent"));
    let token = token.claim("groups", json!(["everybody"])).sign()?;
    let folder = world.gate.folder();
    let ca = world.cluster.ca().write(folder)?;
    let ca = folder.join(ca).to_str().context("a UTF-8 path")?.to_owned();
    let file = folder.join("agent-token");
    fs::write(&file, &token)?;
    let file = file.to_str().context("a UTF-8 path")?;
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": { "token": token },
    });
    let prints = folder.join("credential");
    fs::write(&prints, credential.to_string())?;
    let prints = prints.to_str().context("a UTF-8 path")?;
    let users: [&[&str]; 4] =
        [&[], &["--token-file", file], &["--token-command", "cat", file], &["--exec", "cat", prints]];
    for user in users {
        let config = world.gate.config();
        let config = config.to_str().context("a UTF-8 path")?;
        let args = ["kubeconfig", "--config", config, "--ca", &ca, "--namespace", &world.namespace];
        let printed = world.gate.run(&[&args[..], user].concat())?;
        ensure!(printed.status.success(), "{user:?}: {}", printed.stderr);
        ensure!(!printed.stdout.contains(&token), "a token is in the kubeconfig");
        let kubectl = Kubectl::with_config(&json!({}))?;
        fs::write(kubectl.config(), &printed.stdout)?;
        let environment: &[_] = if user.is_empty() { &[("LOCKGATE_TOKEN", &token[..])] } else { &[] };
        let make = ["create", "configmap", "made", "--from-literal=a=b"];
        let made = kubectl.run_in(environment, &make)?;
        assert_eq!(made.stdout, "configmap/made created\n", "{user:?}: {}", made.stderr);
        let there = world.admin()?.get(&["get", "configmap", "made", "-o", "jsonpath={.data.a}"])?;
        assert_eq!(there, "b");
        kubectl.run_in(environment, &["delete", "configmap", "made"])?;
    }
    Ok(())
}

#[test]
fn what_is_merged_is_one_context_of_several() -> Result<()> {
    let world = World::start()?;
    let kubectl = world.admin()?;
    let before: Value = serde_json::from_str(&fs::read_to_string(kubectl.config())?)?;
    fs::set_permissions(kubectl.config(), fs::Permissions::from_mode(0o640))?;
    let config = kubectl.config();
    let output = config.to_str().context("a UTF-8 path")?;
    let merged = world.gate.run_configured(&[
        "kubeconfig",
        "prod",
        "--merge",
        "--output",
        output,
        "--namespace",
        "apps",
    ])?;
    ensure!(merged.status.success(), "{}", merged.stderr);
    assert_eq!(fs::metadata(kubectl.config())?.permissions().mode() & 0o777, 0o640);
    assert_eq!(kubectl.get(&["config", "current-context"])?, "lockgate-prod\n");
    let contexts = kubectl.get(&["config", "get-contexts", "--output=name"])?;
    assert_eq!(contexts.lines().count(), 2, "{contexts}");
    let old = before["current-context"].as_str().context("a context")?;
    kubectl.get(&["config", "use-context", old])?;
    kubectl.get(&["get", "configmaps"])?;
    let twice = world.gate.run_configured(&["kubeconfig", "prod", "--output", output])?;
    assert!(!twice.status.success() && twice.stderr.contains("--merge"), "{}", twice.stderr);
    Ok(())
}

#[test]
fn the_rights_that_are_shipped_are_to_speak_for_others_alone() -> Result<()> {
    let world = World::start()?;
    let admin = world.admin()?;
    admin.apply(include_str!("../../../../deploy/kubernetes.yaml"))?;
    let can = |args: &[&str]| -> Result<bool> {
        let who = "--as=system:serviceaccount:lockgate-system:lockgate";
        let said = admin.run(&[&["auth", "can-i"], args, &[who]].concat())?;
        Ok(said.stdout.trim() == "yes")
    };
    assert!(can(&["impersonate", "users"])?);
    assert!(can(&["impersonate", "groups/lockgate:acme"])?);
    for forbidden in [
        ["impersonate", "groups/system:masters"],
        ["impersonate", "serviceaccounts"],
        ["get", "secrets"],
        ["create", "pods"],
        ["list", "namespaces"],
    ] {
        assert!(!can(&forbidden)?, "{forbidden:?}");
    }
    Ok(())
}
