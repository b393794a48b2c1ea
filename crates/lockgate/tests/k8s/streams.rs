//! exec, attach, cp and port-forward, over WebSocket and SPDY.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;
use lockgate_testkit::{Chaos, Cluster, KubeUser, Kubectl, Port, Transport, wait};

use crate::world::{World, pod};

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn a_command_runs_with_its_input_and_its_end() -> Result<()> {
    let world = World::start()?;
    pod(&world.admin()?, "box", "sleep 1000")?;
    for transport in Transport::ALL {
        let kubectl = world.kubectl("ada")?.transport(transport);
        let script = "read line; echo \"out $line\"; echo err >&2; exit 3";
        let done = kubectl.run_with(&["exec", "-i", "box", "--", "sh", "-c", script], "in\n")?;
        assert_eq!(done.status.code(), Some(3), "{transport:?}: {}", done.stderr);
        assert_eq!(done.stdout, "out in\n", "{transport:?}");
        assert!(done.stderr.starts_with("err\n"), "{transport:?}: {}", done.stderr);
    }
    Ok(())
}

#[test]
fn a_terminal_is_one() -> Result<()> {
    let world = World::start()?;
    pod(&world.admin()?, "box", "sleep 1000")?;
    for transport in Transport::ALL {
        let kubectl = world.kubectl("ada")?.transport(transport);
        let mut shell = kubectl.spawn_on_terminal(&["exec", "-it", "box", "--", "sh"])?;
        shell.write("tty && stty size\n")?;
        shell.wait_for_stdout("/dev/pts/")?;
        // The size comes on a stream of its own, and perhaps later.
        wait::until("the size", || {
            shell.write("stty size\n").ok()?;
            shell.stdout().contains("24 80").then_some(())
        })?;
        shell.write("exit 7\n")?;
        assert_eq!(shell.finish(LIMIT)?.status.code(), Some(7), "{transport:?}");
    }
    Ok(())
}

#[test]
fn files_are_copied_both_ways() -> Result<()> {
    let world = World::start()?;
    pod(&world.admin()?, "box", "sleep 1000")?;
    let content: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for transport in Transport::ALL {
        let kubectl = world.kubectl("ada")?.transport(transport);
        std::fs::write(kubectl.home().join("there"), &content)?;
        let name = format!("{transport:?}");
        kubectl.get(&["cp", "there", &format!("box:{name}")])?;
        kubectl.get(&["cp", &format!("box:{name}"), "back"])?;
        assert_eq!(std::fs::read(kubectl.home().join("back"))?, content, "{transport:?}");
    }
    Ok(())
}

#[test]
fn ports_are_forwarded() -> Result<()> {
    let world = World::start()?;
    let (inside, outside) = (Port::reserve()?, Port::reserve()?);
    let number = inside.number().to_string();
    let script = format!("echo hello >page; exec python3 -m http.server --bind 127.0.0.1 {number}");
    pod(&world.admin()?, "web", &script)?;
    wait::until("the server", || TcpStream::connect(inside.addr()).ok())?;
    for transport in Transport::ALL {
        let kubectl = world.kubectl("ada")?.transport(transport);
        let ports = format!("{}:{number}", outside.number());
        let mut forwarding = kubectl.spawn(&["port-forward", "pod/web", &ports])?;
        forwarding.wait_for_stdout("Forwarding from 127.0.0.1")?;
        for _ in 0..2 {
            let mut stream = TcpStream::connect(outside.addr())?;
            stream.write_all(b"GET /page HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            #[expect(clippy::disallowed_methods, reason = "taken in bounds")]
            stream.take(65_536).read_to_string(&mut answer)?;
            assert!(answer.ends_with("\r\n\r\nhello\n"), "{transport:?}: {answer}");
        }
        forwarding.kill()?;
    }
    Ok(())
}

#[test]
fn a_stream_ends_with_its_client_and_says_so() -> Result<()> {
    let world = World::start()?;
    pod(&world.admin()?, "box", "sleep 1000")?;
    for transport in Transport::ALL {
        let kubectl = world.kubectl(&format!("{transport:?}"))?.transport(transport);
        let script = "echo $$ > pid; echo begun; exec cat";
        let mut exec = kubectl.spawn(&["exec", "-i", "box", "--", "sh", "-c", script])?;
        exec.wait_for_stdout("begun")?;
        exec.kill()?;
        let who = format!("idp:{transport:?}");
        let found = world.found(&["--principal", &who, "--action", "connect"])?;
        assert_eq!(found["outcome"], "client gone", "{transport:?}: {found}");
        let folder = world.cluster.container_folder(&world.namespace, "box", "main");
        let pid = std::fs::read_to_string(folder.join("pid"))?;
        let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
        wait::until("the command to end", || (!process.exists()).then_some(()))?;
    }
    Ok(())
}

/// The connections to the API server are cut while a command runs: its client ends as it would directly (by SPDY, kubectl
/// takes that for success), and the recording says who has gone.
#[test]
fn a_stream_ends_with_its_upstream_and_says_so() -> Result<()> {
    let chaos = Chaos::start(Cluster::shared()?.address())?;
    let url = format!("https://{}", chaos.addr());
    let world = World::start_before(&url)?;
    pod(&world.admin()?, "box", "sleep 1000")?;
    for transport in Transport::ALL {
        let token = world.cluster.jwt("admin", &[Cluster::ADMINS])?;
        let (ca, user) = (world.cluster.ca().pem(), KubeUser::Bearer(&token));
        let directly = Kubectl::new(&url, &ca, user, &world.namespace)?;
        let through = world.kubectl(&format!("{transport:?}"))?;
        let cut = |kubectl: Kubectl| -> Result<bool> {
            let kubectl = kubectl.transport(transport);
            let exec = kubectl.spawn(&["exec", "box", "--", "sh", "-c", "echo begun; exec sleep 1000"])?;
            exec.wait_for_stdout("begun")?;
            chaos.cut_all();
            Ok(exec.finish(LIMIT)?.status.success())
        };
        assert_eq!(cut(through)?, cut(directly)?, "{transport:?}");
        let who = format!("idp:{transport:?}");
        let found = world.found(&["--principal", &who, "--action", "connect"])?;
        assert_eq!(found["outcome"], "upstream failed", "{transport:?}: {found}");
    }
    Ok(())
}
