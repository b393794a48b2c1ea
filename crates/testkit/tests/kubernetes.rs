//! The cluster and its clients, directly: what passes here must pass through lockgate.

#![expect(clippy::unwrap_used, reason = "a test panics")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use lockgate_testkit::{Cluster, KubeUser, Kubectl, Port, Transport, wait};
use serde_json::{Value, json};

/// A namespace of its own, and the admin's kubectl in it.
fn admin() -> (&'static Cluster, String, Kubectl) {
    let cluster = Cluster::shared().unwrap();
    let namespace = cluster.namespace().unwrap();
    let kubectl = cluster.kubectl(&namespace).unwrap();
    (cluster, namespace, kubectl)
}

/// A pod with one container, `main`, which runs this with a shell; waits until it runs.
fn pod(kubectl: &Kubectl, name: &str, script: &str) {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "main",
                "image": "none",
                "stdin": true,
                "command": ["sh", "-c", script],
                "env": [{
                    "name": "PASSWORD",
                    "valueFrom": { "secretKeyRef": { "name": "db", "key": "password", "optional": true } },
                }],
                "volumeMounts": [{ "name": "db", "mountPath": "/etc/db" }],
            }],
            "volumes": [{ "name": "db", "secret": { "secretName": "db", "optional": true } }],
        },
    });
    kubectl.apply(&manifest.to_string()).unwrap();
    let ready =
        kubectl.run(&["wait", "--for=condition=Ready", "--timeout=60s", &format!("pod/{name}")]).unwrap();
    if !ready.status.success() {
        let status = kubectl.get(&["get", "pod", name, "-o", "jsonpath={.status}"]);
        panic!("{}{status:?}{:?}", ready.stderr, kubectl.get(&["logs", name]));
    }
}

#[test]
fn objects_are_made_changed_watched_and_gone() {
    let (_, _, kubectl) = admin();
    let mut watch = kubectl.spawn(&["get", "configmaps", "--watch", "--output=name"]).unwrap();
    let manifest = |colour: &str| {
        let data = json!({ "colour": colour });
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "paint" }, "data": data })
            .to_string()
    };
    assert_eq!(kubectl.apply(&manifest("blue")).unwrap(), "configmap/paint created\n");
    assert_eq!(kubectl.apply(&manifest("red")).unwrap(), "configmap/paint configured\n");
    watch.wait_for_stdout("configmap/paint").unwrap();
    assert_eq!(
        kubectl.get_json(&["get", "configmap", "paint", "-o", "json"]).unwrap()["data"]["colour"],
        "red"
    );
    assert!(kubectl.get(&["describe", "configmap", "paint"]).unwrap().contains("red"));
    kubectl.get(&["delete", "configmap", "paint"]).unwrap();
    let gone = kubectl.run(&["get", "configmap", "paint"]).unwrap();
    assert!(gone.stderr.contains("NotFound") && !gone.status.success());
    watch.kill().unwrap();
}

#[test]
fn the_clients_and_the_server_know_their_version() {
    let (_, _, kubectl) = admin();
    let version = kubectl.get_json(&["version", "--output=json"]).unwrap();
    let of = |side: &str| version[side]["gitVersion"].as_str().unwrap().to_owned();
    assert!(of("clientVersion").starts_with("v1.36."), "{version}");
    assert_eq!(of("clientVersion"), of("serverVersion"));
}

#[test]
fn commands_run_in_pods_with_their_secrets() {
    let (_, _, kubectl) = admin();
    kubectl.get(&["create", "secret", "generic", "db", "--from-literal=password=hunter2"]).unwrap();
    pod(&kubectl, "app", "cat");
    for transport in Transport::ALL {
        let kubectl = Kubectl::with_config(&config(&kubectl)).unwrap().transport(transport);
        let script = "echo out; echo err >&2; cat etc/db/password; echo \" $PASSWORD\"; exit 3";
        let output = kubectl.run(&["exec", "app", "--", "sh", "-c", script]).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_str()), (Some(3), "out\nhunter2 hunter2\n"));
        assert!(output.stderr.starts_with("err\n"), "{}", output.stderr);

        let output =
            kubectl.run_with(&["exec", "--stdin", "app", "--", "tr", "a-z", "A-Z"], "typed").unwrap();
        assert_eq!((output.status.code(), output.stdout.as_str()), (Some(0), "TYPED"));

        let output = kubectl.run(&["exec", "app", "--", "no-such-program"]).unwrap();
        assert!(output.stderr.contains("executable file not found"), "{}", output.stderr);
    }
}

#[test]
fn commands_run_on_terminals() {
    let (_, _, kubectl) = admin();
    pod(&kubectl, "app", "cat");
    for transport in Transport::ALL {
        let kubectl = Kubectl::with_config(&config(&kubectl)).unwrap().transport(transport);
        let mut shell = kubectl.spawn_on_terminal(&["exec", "-it", "app", "--", "sh"]).unwrap();
        shell.write("tty && stty size\n").unwrap();
        shell.wait_for_stdout("/dev/pts/").unwrap();
        // The size comes on a stream of its own, and perhaps later.
        wait::until("the size", || {
            shell.write("stty size\n").ok()?;
            shell.stdout().contains("24 80").then_some(())
        })
        .unwrap();
        shell.write("exit 7\n").unwrap();
        assert_eq!(shell.finish(wait::PATIENCE).unwrap().status.code(), Some(7));
    }
}

#[test]
fn attached_clients_share_the_containers_streams() {
    let (_, _, kubectl) = admin();
    pod(&kubectl, "app", r#"while read -r line; do echo "heard $line"; done"#);
    for (transport, word) in [(Transport::WebSocket, "one"), (Transport::Spdy, "two")] {
        let kubectl = Kubectl::with_config(&config(&kubectl)).unwrap().transport(transport);
        let mut attached = kubectl.spawn(&["attach", "--stdin", "app"]).unwrap();
        attached.write(format!("{word}\n")).unwrap();
        attached.wait_for_stdout(&format!("heard {word}")).unwrap();
        attached.kill().unwrap();
    }
    assert_eq!(kubectl.get(&["logs", "app"]).unwrap(), "heard one\nheard two\n");
}

#[test]
fn files_are_copied_both_ways() {
    let (cluster, namespace, kubectl) = admin();
    pod(&kubectl, "app", "cat");
    for (transport, name) in [(Transport::WebSocket, "one"), (Transport::Spdy, "two")] {
        let kubectl = Kubectl::with_config(&config(&kubectl)).unwrap().transport(transport);
        let content: Vec<u8> = (0..300_000_u32).map(|number| (number * 7 % 251) as u8).collect();
        std::fs::write(kubectl.home().join("there"), &content).unwrap();
        kubectl.get(&["cp", "there", &format!("app:{name}")]).unwrap();
        let copied = cluster.container_folder(&namespace, "app", "main").join(name);
        assert!(std::fs::read(copied).unwrap() == content);
        kubectl.get(&["cp", &format!("app:{name}"), "back"]).unwrap();
        assert!(std::fs::read(kubectl.home().join("back")).unwrap() == content);
    }
}

#[test]
fn logs_are_followed_until_the_container_ends() {
    let (_, _, kubectl) = admin();
    pod(
        &kubectl,
        "app",
        r#"echo one; while read -r line && [ "$line" ]; do echo "$line"; done; printf three"#,
    );
    let following = kubectl.spawn(&["logs", "--follow", "app"]).unwrap();
    following.wait_for_stdout("one").unwrap();
    let mut attached = kubectl.spawn(&["attach", "--stdin", "app"]).unwrap();
    attached.write("two\n").unwrap();
    following.wait_for_stdout("two").unwrap();
    assert_eq!(kubectl.get(&["logs", "--tail=1", "app"]).unwrap(), "two\n");
    assert!(kubectl.get(&["logs", "--timestamps", "app"]).unwrap().lines().all(|line| line.contains("Z ")));
    attached.write("\n").unwrap();
    assert_eq!(attached.finish(wait::PATIENCE).unwrap().stdout, "two\nthree");
    assert_eq!(following.finish(wait::PATIENCE).unwrap().stdout, "one\ntwo\nthree");
    kubectl.get(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s", "pod/app"]).unwrap();
}

#[test]
fn ports_are_forwarded() {
    let (_, _, kubectl) = admin();
    let (inside, outside) = (Port::reserve().unwrap(), Port::reserve().unwrap());
    let number = inside.number().to_string();
    pod(&kubectl, "web", &format!("echo hello >page; exec python3 -m http.server --bind 127.0.0.1 {number}"));
    wait::until("the server", || TcpStream::connect(inside.addr()).ok()).unwrap();
    for transport in Transport::ALL {
        let kubectl = Kubectl::with_config(&config(&kubectl)).unwrap().transport(transport);
        let ports = format!("{}:{number}", outside.number());
        let mut forwarding = kubectl.spawn(&["port-forward", "pod/web", &ports]).unwrap();
        forwarding.wait_for_stdout("Forwarding from 127.0.0.1").unwrap();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(outside.addr()).unwrap();
            stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            #[expect(clippy::disallowed_methods, reason = "taken in bounds")]
            stream.take(65_536).read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with("\r\n\r\nhello\n"), "{answer}");
        }
        forwarding.kill().unwrap();
    }
}

#[test]
fn helm_installs_and_removes_a_chart() {
    let (_, _, kubectl) = admin();
    let chart = kubectl.home().join("chart");
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: paint\nversion: 0.1.0\n").unwrap();
    std::fs::write(chart.join("values.yaml"), "colour: blue\n").unwrap();
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: '{{ .Release.Name }}' }\n\
        data: { colour: '{{ .Values.colour }}' }\n";
    std::fs::write(chart.join("templates/paint.yaml"), template).unwrap();
    let helm = |args: &[&str]| {
        let output = kubectl.helm(args).unwrap();
        assert!(output.status.success(), "{}", output.stderr);
    };
    let colour = || kubectl.get(&["get", "configmap", "house", "-o", "jsonpath={.data.colour}"]);
    helm(&["install", "house", "chart"]);
    assert_eq!(colour().unwrap(), "blue");
    helm(&["upgrade", "house", "chart", "--set", "colour=red"]);
    assert_eq!(colour().unwrap(), "red");
    helm(&["rollback", "house", "1"]);
    assert_eq!(colour().unwrap(), "blue");
    helm(&["uninstall", "house"]);
    assert!(colour().unwrap_err().to_string().contains("NotFound"));
}

#[test]
fn lockgate_may_impersonate_and_nothing_else() {
    let (cluster, namespace, _) = admin();
    let user = KubeUser::Bearer(cluster.token());
    let kubectl = Kubectl::new(&cluster.url(), &cluster.ca().pem(), user, &namespace).unwrap();
    let refused = kubectl.run(&["get", "pods"]).unwrap();
    assert!(refused.stderr.contains("Forbidden"), "{}", refused.stderr);
    let viewer = format!("--as-group={}", Cluster::VIEWERS);
    kubectl.get(&["get", "pods", "--as=ada", &viewer]).unwrap();
    let refused = kubectl.run(&["get", "secrets", "--as=ada", &viewer]).unwrap();
    assert!(refused.stderr.contains("User \"ada\" cannot list"), "{}", refused.stderr);

    let event = cluster
        .wait_for_audit("the event", |event| {
            event["stage"] == "ResponseComplete"
                && event["objectRef"]["namespace"] == json!(namespace)
                && event["objectRef"]["resource"] == "secrets"
        })
        .unwrap();
    assert_eq!(event["user"]["username"], "system:serviceaccount:lockgate:lockgate");
    assert_eq!((&event["impersonatedUser"]["username"], &event["verb"]), (&json!("ada"), &json!("list")));
}

#[test]
fn a_gateways_own_token_names_user_and_groups() {
    let (cluster, namespace, _) = admin();
    let who = |token: &str| {
        let user = KubeUser::Bearer(token);
        let kubectl = Kubectl::new(&cluster.url(), &cluster.ca().pem(), user, &namespace).unwrap();
        kubectl.get_json(&["auth", "whoami", "-o", "json"])
    };
    let ada = who(&cluster.jwt("ada", &[Cluster::VIEWERS]).unwrap()).unwrap();
    assert_eq!(ada["status"]["userInfo"]["username"], "ada");
    assert_eq!(ada["status"]["userInfo"]["groups"], json!([Cluster::VIEWERS, "system:authenticated"]));
    let elsewhere = cluster.idp().token("ada").sign().unwrap();
    assert!(who(&elsewhere).unwrap_err().to_string().contains("Unauthorized"));
}

/// The kubeconfig of a client, for one that speaks otherwise.
fn config(kubectl: &Kubectl) -> Value {
    serde_json::from_slice(&std::fs::read(kubectl.config()).unwrap()).unwrap()
}
