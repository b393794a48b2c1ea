//! Other clients than kubectl, and many requests at once.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::world::World;

#[test]
fn helm_installs_upgrades_and_removes_a_chart() -> Result<()> {
    let world = World::start()?;
    let kubectl = world.kubectl("ada")?;
    let chart = kubectl.home().join("chart");
    std::fs::create_dir_all(chart.join("templates"))?;
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: paint\nversion: 0.1.0\n")?;
    std::fs::write(chart.join("values.yaml"), "colour: blue\n")?;
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: '{{ .Release.Name }}' }\n\
        data: { colour: '{{ .Values.colour }}' }\n";
    std::fs::write(chart.join("templates/paint.yaml"), template)?;
    let helm = |args: &[&str]| {
        let output = kubectl.helm(args)?;
        ensure!(output.status.success(), "{args:?}: {}", output.stderr);
        Ok(output.stdout)
    };
    let colour = || kubectl.get(&["get", "configmap", "house", "-o", "jsonpath={.data.colour}"]);
    helm(&["install", "house", "chart"])?;
    assert_eq!(colour()?, "blue");
    helm(&["upgrade", "house", "chart", "--set=colour=red"])?;
    assert_eq!(colour()?, "red");
    helm(&["rollback", "house", "1"])?;
    assert_eq!(colour()?, "blue");
    assert!(helm(&["list"])?.contains("house"));
    helm(&["uninstall", "house"])?;
    assert!(kubectl.run(&["get", "configmap", "house"])?.stderr.contains("NotFound"));
    Ok(())
}

/// More watches than an HTTP/2 connection to the API server has streams.
#[test]
fn many_watches_leave_room_for_a_call() -> Result<()> {
    let world = World::start()?;
    let kubectl = world.kubectl("ada")?;
    let script = r#"
import http.client, ssl, sys, threading
host, port, path, token, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
seen = threading.Semaphore(0)
def watch():
    line = b""
    while b'"first"' not in line:
        # A server that has just been started ends watches until it is ready for them.
        if not line:
            connection = http.client.HTTPSConnection(host, int(port), context=context)
            connection.request("GET", path, headers={"authorization": token})
            answer = connection.getresponse()
        line = answer.readline()
    seen.release()
    answer.readline()
for _ in range(105):
    threading.Thread(target=watch, daemon=True).start()
for _ in range(105):
    assert seen.acquire(timeout=60)
print("all", flush=True)
sys.stdin.readline()
"#;
    let path = format!("/k8s/prod/api/v1/namespaces/{}/configmaps?watch=1", world.namespace);
    let authorization = world.authorization("ada")?;
    let token = authorization.strip_prefix("authorization: ").context("a header")?;
    let (address, ca) = (world.gate.port().addr(), world.cluster.folder().join("ca.pem"));
    let port = address.port().to_string();
    let args = [&address.ip().to_string(), &port, &path, token, ca.to_str().context("a UTF-8 path")?];
    let mut watching = kubectl.spawn_python(script, &args)?;
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "first" } });
    kubectl.apply(&map.to_string())?;
    watching.wait_for_stdout("all")?;
    kubectl.get(&["get", "configmap", "first", "--request-timeout=5s"])?;
    watching.kill()
}

/// A call that the policy allows only while the object is harmless.
#[test]
fn what_an_object_holds_is_judged() -> Result<()> {
    let world = World::start_under(
        r#"
version: 1
groups:
  agents: [ { issuer: idp, claim: { role: agent } } ]
rules:
  - id: agents
    match: { who: agents, k8s: { action: [read, write, connect] } }
    decide: allow
  - id: no-privileges
    match: { k8s: { privileged: true } }
    decide: deny
    reason: "{name} has a privileged container"
  - id: registries
    match: { k8s: { kinds: [Pod], action: write }, not: { k8s: { images: ["registry.example/**"] } } }
    decide: deny
    reason: "{image} comes from elsewhere"
  - id: no-host
    match: { k8s: { host_paths: ["/**"] } }
    decide: deny
"#,
    )?;
    let kubectl = world.kubectl("ada")?;
    let pod = |name: &str, image: &str, privileged: bool| {
        let container =
            json!({ "name": "main", "image": image, "securityContext": { "privileged": privileged } });
        let spec = json!({ "containers": [container], "restartPolicy": "Never" });
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec }).to_string()
    };
    let good = "registry.example/app:1";
    let apply = |object: &str| kubectl.run_with(&["apply", "-f", "-"], object);
    let passed = apply(&pod("good", good, false))?;
    assert!(passed.status.success(), "{}", passed.stderr);
    for (object, why) in [
        (pod("privileged", good, true), "privileged has a privileged container (rule no-privileges)"),
        (
            pod("elsewhere", "evil.example/app", false),
            "evil.example/app comes from elsewhere (rule registries)",
        ),
    ] {
        let refused = apply(&object)?;
        assert!(refused.stderr.contains(why), "{}{}", refused.stdout, refused.stderr);
    }
    let run = kubectl.run(&["run", "quick", "--image=evil.example/app"])?;
    assert!(run.stderr.contains("rule registries"), "{}", run.stderr);
    let template = json!({ "containers": [{ "name": "main", "image": good, "securityContext": { "privileged": true } }] });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } }, "spec": template },
        },
    });
    let refused = apply(&deployment.to_string())?;
    assert!(refused.stderr.contains("rule no-privileges"), "{}", refused.stderr);
    for args in [
        &["set", "image", "pod/good", "main=evil.example/app"][..],
        &[
            "patch",
            "pod",
            "good",
            "--type=json",
            "-p",
            r#"[{"op":"replace","path":"/spec/containers/0/image","value":"evil.example/app"}]"#,
        ],
        &[
            "patch",
            "pod",
            "good",
            "--type=merge",
            "-p",
            r#"{"spec":{"containers":[{"name":"main","image":"evil.example/app"}]}}"#,
        ],
    ] {
        let refused = kubectl.run(args)?;
        assert!(refused.stderr.contains("rule registries"), "{args:?}: {}{}", refused.stdout, refused.stderr);
    }
    let passed = kubectl.run(&["label", "pod", "good", "a=b"])?;
    assert!(passed.status.success(), "{}", passed.stderr);
    Ok(())
}

/// The Python client, which many agents use.
#[test]
fn the_python_client_reads_writes_watches_and_runs_commands() -> Result<()> {
    let world = World::start()?;
    crate::world::pod(&world.admin()?, "box", "sleep 1000")?;
    let kubectl = world.kubectl("ada")?;
    let script = r#"
import sys
from kubernetes import client, config, watch
from kubernetes.stream import stream
config.load_kube_config()
namespace = sys.argv[1]
core = client.CoreV1Api()
body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="py"), data={"a": "b"})
core.create_namespaced_config_map(namespace, body)
assert core.read_namespaced_config_map("py", namespace).data == {"a": "b"}
core.patch_namespaced_config_map("py", namespace, {"data": {"a": "c"}})
for event in watch.Watch().stream(core.list_namespaced_config_map, namespace, timeout_seconds=10):
    if event["object"].metadata.name == "py":
        assert event["object"].data == {"a": "c"}
        break
out = stream(core.connect_get_namespaced_pod_exec, "box", namespace, command=["echo", "hi"],
             stderr=True, stdin=False, stdout=True, tty=False)
assert out == "hi\n", out
core.delete_namespaced_config_map("py", namespace)
try:
    core.read_namespaced_config_map("protected", namespace)
    raise SystemExit("not refused")
except client.exceptions.ApiException as error:
    assert error.status == 403 and "rule protected" in error.body, error
print("done")
"#;
    let output = kubectl.python(script, &[&world.namespace])?;
    assert_eq!(output.stdout, "done\n", "{}", output.stderr);
    Ok(())
}
