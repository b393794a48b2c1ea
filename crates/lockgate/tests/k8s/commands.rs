//! Every command of kubectl is refused where the policy forbids it, and waits where people have to approve it.

use std::time::Duration;

use anyhow::{Result, ensure};
use lockgate_testkit::{Kubectl, Running, Transport, wait};

use crate::world::{POLICY, World, config_map, pod};

const LIMIT: Duration = Duration::from_secs(90);

/// Also what only reads waits.
const ALL_WAIT: &str = r#"
  - id: all-of-it
    match: { k8s: { names: [production] } }
    decide: require_approval
    approval: { hold: 60s, ttl: 1h }
"#;

/// `NAME` stands for the name of a pod, and of a ConfigMap.
const CALLS: &[&[&str]] = &[
    &["get", "pod", "NAME", "--output=yaml"],
    &["describe", "pod", "NAME"],
    &["logs", "--tail=1", "NAME"],
    &["label", "configmap", "NAME", "a=b"],
    &["patch", "configmap", "NAME", "--type=merge", "--patch={\"data\":{\"colour\":\"green\"}}"],
    &["edit", "configmap", "NAME"],
    &["apply", "--filename=object.json"],
    &["apply", "--server-side", "--force-conflicts", "--filename=object.json"],
    &["delete", "configmap", "NAME", "--wait=false"],
];

const STREAMS: &[&[&str]] = &[
    &["exec", "NAME", "--", "true"],
    &["exec", "--stdin", "--tty", "NAME", "--", "true"],
    &["cp", "object.json", "NAME:there"],
    &["cp", "NAME:there", "back"],
];

/// What goes on for ever, and what it says when it has begun.
const ENDLESS: &[(&[&str], &str)] = &[
    (&["logs", "--follow", "NAME"], "tick"),
    (&["attach", "NAME"], "tick"),
    (&["port-forward", "pod/NAME", ":1234"], "Forwarding from"),
    (&["get", "pod", "NAME", "--watch", "--output=name"], "pod/NAME"),
];

/// A gateway, and a pod and a ConfigMap of that name.
fn world(policy: &str, name: &str) -> Result<World> {
    let world = World::start_under(policy)?;
    pod(&world.admin()?, name, "while :; do echo tick; sleep 1; done")?;
    world.admin()?.apply(&config_map(name, "blue"))?;
    Ok(world)
}

/// An agent's kubectl, which finds what it applies and copies.
fn agent(world: &World, transport: Transport, name: &str) -> Result<Kubectl> {
    let kubectl = world.kubectl("ada")?.transport(transport);
    std::fs::write(kubectl.home().join("object.json"), config_map(name, "white"))?;
    Ok(kubectl)
}

fn start(kubectl: &Kubectl, args: &[&str], name: &str) -> Result<Running> {
    let args = args.iter().map(|word| word.replace("NAME", name));
    let mut command = kubectl.command("kubectl")?;
    Running::start(command.env("KUBE_EDITOR", "sed -i s/colour:.*/colour:\\ red/").args(args))
}

#[test]
fn every_command_is_refused_with_the_rule() -> Result<()> {
    let name = "protected";
    let world = world(POLICY, name)?;
    for transport in Transport::ALL {
        let kubectl = agent(&world, transport, name)?;
        for args in CALLS.iter().chain(STREAMS).chain(ENDLESS.iter().map(|(args, _)| args)) {
            let output = start(&kubectl, args, name)?.finish(LIMIT)?;
            let told = output.stderr.contains("protected is protected (rule protected)");
            ensure!(!output.status.success() && told, "{transport:?} {args:?}: {}", output.stderr);
        }
    }
    Ok(())
}

#[test]
fn every_command_waits_and_passes_once_it_is_approved() -> Result<()> {
    let name = "production";
    let world = world(&[POLICY, ALL_WAIT].concat(), name)?;
    for (transport, calls) in [(Transport::WebSocket, CALLS), (Transport::Spdy, &[][..])] {
        let kubectl = agent(&world, transport, name)?;
        for args in STREAMS.iter().chain(calls) {
            let mut running = start(&kubectl, args, name)?;
            let asked = approve_until(&world, || running.has_ended().ok())?;
            let output = running.finish(LIMIT)?;
            let done = output.status.success() && !output.stderr.contains("cancelled");
            ensure!(done && asked > 0, "{transport:?} {args:?}: {}", output.stderr);
        }
        for (args, begun) in ENDLESS {
            let begun = begun.replace("NAME", name);
            let mut running = start(&kubectl, args, name)?;
            let asked = approve_until(&world, || Some(running.stdout().contains(&begun)))?;
            ensure!(asked > 0, "{transport:?} {args:?}");
            running.kill()?;
        }
    }
    Ok(())
}

/// Approves whatever waits until something has come to pass; gives how much that was.
fn approve_until(world: &World, mut has_come: impl FnMut() -> Option<bool>) -> Result<usize> {
    let mut approved = 0;
    wait::until("an approved command", || {
        if has_come()? {
            return Some(());
        }
        for waits in world.gate.json(&["approvals", "list"]).ok()?.as_array()? {
            let done = world.gate.run_configured(&["approvals", "approve", waits["id"].as_str()?]).ok()?;
            approved += usize::from(done.status.success());
        }
        None
    })?;
    Ok(approved)
}
