//! kube-rs: a program with it, and its own tests, directly and through the gateway.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use lockgate_testkit::{Kubectl, Port};

use crate::world::{World, pod};

const LIMIT: Duration = Duration::from_secs(300);

fn client(kubectl: &Kubectl, args: &[&str]) -> Result<()> {
    let done = kubectl.kube_rs("client", args)?;
    ensure!(done.stdout == "done\n", "{args:?}: {}{}", done.stdout, done.stderr);
    Ok(())
}

#[test]
fn objects_are_read_watched_and_changed() -> Result<()> {
    let world = World::start()?;
    client(&world.kubectl("ada")?, &["objects"])
}

#[test]
fn commands_logs_and_ports_are_reached() -> Result<()> {
    let world = World::start()?;
    let admin = world.admin()?;
    pod(&admin, "box", "echo begun; while read line; do echo read $line; done; sleep 1000")?;
    let port = Port::reserve()?;
    let echo = format!(
        "exec python3 -c 'import socket
server = socket.create_server((\"127.0.0.1\", {}))
print(\"listening\", flush=True)
while True:
    stream, _ = server.accept()
    while data := stream.recv(65536): stream.sendall(data)'",
        port.number()
    );
    pod(&admin, "echo", &echo)?;
    lockgate_testkit::wait::until("a server in the pod", || {
        admin.get(&["logs", "echo"]).ok()?.contains("listening").then_some(())
    })?;
    let kubectl = world.kubectl("ada")?;
    client(&kubectl, &["streams", "box"])?;
    client(&kubectl, &["forward", "echo", &port.number().to_string()])
}

#[test]
fn a_refusal_is_told() -> Result<()> {
    let world = World::start()?;
    pod(&world.admin()?, "protected", "sleep 1000")?;
    client(&world.kubectl("ada")?, &["refused", "protected"])
}

#[test]
fn a_call_and_a_command_wait_for_people() -> Result<()> {
    let world = World::start()?;
    pod(&world.admin()?, "production", "sleep 1000")?;
    let kubectl = world.kubectl("ada")?;
    for args in [["create", "production"], ["exec", "production"]] {
        let waiting = kubectl.spawn_kube_rs("client", &args)?;
        let id = world.gate.pending()?;
        assert!(world.gate.run_configured(&["approvals", "approve", &id])?.status.success());
        let done = waiting.finish(LIMIT)?;
        assert_eq!(done.stdout, "done\n", "{args:?}: {}", done.stderr);
    }
    world.admin()?.get(&["get", "configmap", "production"])?;
    Ok(())
}

/// Its own tests that want a cluster, by name, and whether each passes; and what they say.
fn own_tests(kubectl: &Kubectl) -> Result<(BTreeMap<String, bool>, String)> {
    let (mut outcomes, mut said) = (BTreeMap::new(), String::new());
    for program in ["kube_client", "kube"] {
        // They share their pods' names, and the API server.
        let done = kubectl.spawn_kube_rs(program, &["--ignored", "--test-threads=1"])?.finish(LIMIT)?;
        let lines = done.stdout.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
        outcomes.extend(lines.map(|(name, outcome)| (format!("{program}: {name}"), outcome == "ok")));
        said += &done.stdout;
    }
    Ok((outcomes, said))
}

#[test]
fn what_of_its_own_tests_passes_directly_passes_through() -> Result<()> {
    let world = World::start()?;
    let (directly, said) = own_tests(&world.cluster.kubectl(&world.cluster.namespace()?)?)?;
    assert!(directly.values().filter(|passed| **passed).count() >= 20, "{directly:#?}{said}");
    let (through, said) = own_tests(&world.kubectl("ada")?)?;
    assert_eq!(directly, through, "{said}");
    Ok(())
}
