//! Secrets are masked wherever they can be read, and usable where they are not; what was masked can't be
//! written back.

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockgate_testkit::{Kubectl, Transport};
use serde_json::json;

use crate::world::World;

const PLANTED: &str = "correct-horse-battery-staple-7";

/// A Secret, applied by the admin so that it stands in its own annotation too, and a pod that reads it.
fn plant(world: &World) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "db", "labels": { "app": "db" } },
        "stringData": { "password": PLANTED },
    });
    let admin = world.admin()?;
    admin.apply(&secret.to_string())?;
    let from = json!({ "secretKeyRef": { "name": "db", "key": "password" } });
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "app" },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "main",
                "image": "none",
                "command": ["sh", "-c", "echo password is $PASSWORD; exec sleep 1000"],
                "env": [{ "name": "PASSWORD", "valueFrom": from }],
                "volumeMounts": [{ "name": "db", "mountPath": "/etc/db" }],
            }],
            "volumes": [{ "name": "db", "secret": { "secretName": "db" } }],
        },
    });
    admin.apply(&pod.to_string())?;
    admin.get(&["wait", "--for=condition=Ready", "--timeout=60s", "pod/app"])?;
    Ok(())
}

/// The forms in which the planted value could be seen.
fn forms() -> Vec<String> {
    let mut forms = vec![PLANTED.to_owned(), hex(PLANTED.as_bytes())];
    for offset in 0..3 {
        let padded = [&vec![b'x'; offset][..], PLANTED.as_bytes()].concat();
        let encoded = STANDARD.encode(&padded);
        let skip = [0, 2, 3][offset];
        forms.push(encoded[skip..encoded.len() - 4].to_owned());
    }
    forms
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Commands of kubectl by which a Secret can be read, whose words are separated by spaces.
const READS: &[&str] = &[
    "get secret db -o json",
    "get secret db -o yaml",
    "get secret db -o wide",
    "get secret db -o name",
    "get secret db -o jsonpath={.data.password}",
    "get secret db -o go-template={{.data.password|base64decode}}",
    "get secret db -o custom-columns=P:.data.password",
    "get secret db --show-managed-fields -o json",
    "get secrets",
    "get secrets -o json",
    "get secrets -o yaml",
    "get secrets -A -o json",
    "get secrets -l app=db -o json",
    "get secrets --field-selector=metadata.name=db -o yaml",
    "get secrets --chunk-size=1 -o json",
    "get secrets,configmaps -o json",
    "get secrets --watch --request-timeout=2s -o json",
    "get secrets --watch-only=false --watch --request-timeout=2s -o yaml",
    "describe secret db",
    "describe secrets",
    "annotate secret db seen=yes -o json --overwrite",
    "label secret db seen=yes -o yaml --overwrite",
    "apply view-last-applied secret/db",
    "apply view-last-applied secret/db -o json",
    "patch secret db --type=merge -p {\"metadata\":{\"labels\":{\"a\":\"b\"}}} -o json",
    "patch secret db --type=strategic -p {\"metadata\":{\"labels\":{\"a\":\"c\"}}} -o yaml",
    "patch secret db --type=json -p [{\"op\":\"add\",\"path\":\"/metadata/labels/x\",\"value\":\"y\"}] -o json",
    "patch secret db --type=json -p [{\"op\":\"copy\",\"from\":\"/data/password\",\"path\":\"/metadata/annotations/x\"}] -o json",
    "patch secret db --type=json -p [{\"op\":\"test\",\"path\":\"/data/password\",\"value\":\"eA==\"}] -o json",
    "patch secret db --type=merge -p {\"data\":{\"password\":17}}",
    "patch secret db --type=merge -p {\"data\":{\"other\":\"not-base64\"}}",
    "get --raw /api/v1/namespaces/NS/secrets/db",
    "get --raw /api/v1/namespaces/NS/secrets",
    "get --raw /api/v1/namespaces/NS/secrets?limit=1",
    "get --raw /api/v1/secrets",
    "get --raw /api/v1/namespaces/NS/secrets?watch=1&timeoutSeconds=1",
    "get --raw /api/v1/watch/namespaces/NS/secrets/db?timeoutSeconds=1",
    "get --raw /api/v1/namespaces/NS/secrets?fieldSelector=metadata.name%3Ddb",
    "get --raw /api/v1/namespaces/NS/%73ecrets/db",
    "get --raw /api/v1/namespaces/NS/secrets%2Fdb",
    "delete secret db --dry-run=server -o json",
    "logs app",
    "exec app -- cat etc/db/password",
    "exec app -- env",
    "exec app -- sh -c base64<etc/db/password",
    "exec app -- sh -c cat<etc/db/password>&2",
    "exec -i app -- sh -c cat${IFS}etc/db/password",
    "attach app --pod-running-timeout=1s",
];

#[test]
fn a_masked_secret_is_seen_in_no_way() -> Result<()> {
    let world = World::start_under(&masking(&["secrets", "pods/log", "pods/exec"]))?;
    plant(&world)?;
    let forms = forms();
    for transport in Transport::ALL {
        let kubectl = world.kubectl("ada")?.transport(transport);
        // What the session has seen it will know wherever it comes back.
        let first = kubectl.get(&["get", "secret", "db", "-o", "json"])?;
        assert!(first.contains("\"password\": \""), "{first}");
        for read in READS.iter().filter(|read| !read.starts_with("attach")) {
            let line = read.replace("NS", &world.namespace);
            let output = kubectl.run(&line.split(' ').collect::<Vec<_>>())?;
            let seen = output.stdout + &output.stderr;
            let lower = seen.replace(' ', "");
            for form in &forms {
                assert!(!seen.contains(form) && !lower.contains(form), "{line}: {form} in {seen}");
            }
        }
        // Cut within the value: the beginning alone is nothing that is known.
        for limit in [13, 20, 30] {
            let cut = kubectl.get(&["logs", "app", &format!("--limit-bytes={limit}")])?;
            assert_eq!(cut.len(), limit, "{cut}");
            assert!(cut.starts_with("password is [") && !cut.contains("correct"), "{cut}");
        }
        kubectl.get(&["cp", "app:etc/db/password", "copied"])?;
        let copied = std::fs::read_to_string(kubectl.home().join("copied"))?;
        assert!(copied.len() == PLANTED.len() && !copied.contains(PLANTED), "{copied}");
        if transport == Transport::WebSocket {
            let table = kubectl.run(&["get", "secrets"])?;
            assert!(table.stdout.contains("Opaque"), "{}{}", table.stdout, table.stderr);
        }
    }
    Ok(())
}

#[test]
fn a_secret_is_read_where_no_mask_is_asked() -> Result<()> {
    let world = World::start_under(&masking(&["configmaps"]))?;
    plant(&world)?;
    let kubectl = world.kubectl("ada")?;
    let read = kubectl.get(&["get", "secret", "db", "-o", "jsonpath={.data.password}"])?;
    assert_eq!(STANDARD.decode(read)?, PLANTED.as_bytes());
    assert_eq!(kubectl.get(&["exec", "app", "--", "cat", "etc/db/password"])?, PLANTED);
    assert!(kubectl.get(&["describe", "secret", "db"])?.contains("30 bytes"));
    assert_eq!(kubectl.get(&["logs", "app", "--limit-bytes=19"])?, "password is correct");
    let refused = kubectl.run(&[
        "get",
        "--raw",
        &format!("/api/v1/namespaces/{}/pods/app/log?limitBytes=0", world.namespace),
    ])?;
    assert!(refused.stderr.contains("greater than 0"), "{}", refused.stderr);
    Ok(())
}

/// What the Secret holds, asked directly.
fn stored(world: &World) -> Result<String> {
    let stored = world.admin()?.get(&["get", "secret", "db", "-o", "jsonpath={.data.password}"])?;
    String::from_utf8(STANDARD.decode(stored)?).context("text")
}

#[test]
fn what_was_masked_can_not_be_written_back() -> Result<()> {
    let world = World::start_under(&masking(&["secrets"]))?;
    plant(&world)?;
    let kubectl = world.kubectl("ada")?;
    let masked = kubectl.get(&["get", "secret", "db", "-o", "yaml"])?;
    for args in [
        &["replace", "-f", "-"][..],
        &["apply", "-f", "-"],
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &["create", "-f", "-"],
    ] {
        let output = kubectl.run_with(args, &masked)?;
        assert_eq!(stored(&world)?, PLANTED, "{args:?}: {}{}", output.stdout, output.stderr);
    }
    let replaced = kubectl.run_with(&["replace", "-f", "-"], &masked)?;
    assert!(!replaced.status.success());
    let expected = "data.password holds a placeholder of a masked value";
    assert!(replaced.stderr.contains(expected), "{}", replaced.stderr);
    std::fs::write(
        kubectl.home().join("editor"),
        "#!/bin/sh\nsed -i 's/Opaque/Opaque/; s/app: db/app: other/' \"$1\"\n",
    )?;
    edit(&kubectl)?;
    assert_eq!(stored(&world)?, PLANTED);
    let label = world.admin()?.get(&["get", "secret", "db", "-o", "jsonpath={.metadata.labels.app}"])?;
    assert_eq!(label, "other", "an edit of something else passes");
    kubectl.get(&[
        "patch",
        "secret",
        "db",
        "--type=merge",
        "-p",
        "{\"stringData\":{\"password\":\"quite another one\"}}",
    ])?;
    assert_eq!(stored(&world)?, "quite another one", "a real value passes");
    Ok(())
}

/// With the values that were masked put back, every way of writing back what was read changes only what is meant.
#[test]
fn what_was_masked_is_put_back_where_a_rule_allows_it() -> Result<()> {
    let policy = masking(&["secrets"]).replace("rules:\n", RESTORING);
    let world = World::start_under(&policy)?;
    plant(&world)?;
    let kubectl = world.kubectl("ada")?;
    let meta = |path: &str| {
        world.admin()?.get(&["get", "secret", "db", "-o", &format!("jsonpath={{.metadata.{path}}}")])
    };
    let write = |args: &[&str], object: &str| {
        let output = kubectl.run_with(args, object)?;
        anyhow::ensure!(output.status.success(), "{args:?}: {}{}", output.stdout, output.stderr);
        let seen = output.stdout + &output.stderr;
        assert!(!forms().iter().any(|form| seen.contains(form)), "{args:?}: {seen}");
        assert_eq!(stored(&world)?, PLANTED, "{args:?}");
        anyhow::Ok(())
    };
    let ways = [
        &["replace", "-o", "json", "-f", "-"][..],
        &["apply", "-o", "json", "-f", "-"],
        &["apply", "-o", "yaml", "--server-side", "--force-conflicts", "-f", "-"],
    ];
    for (number, args) in ways.iter().enumerate() {
        let read = kubectl.get(&["get", "secret", "db", "-o", "yaml"])?;
        assert!(read.contains("app: "), "{read}");
        let app = format!("app: by-{number}");
        let lines = read.lines().map(|line| {
            if line == "    app: db" || line.starts_with("    app: by-") {
                format!("    {app}")
            } else {
                line.to_owned()
            }
        });
        write(args, &lines.collect::<Vec<_>>().join("\n"))?;
        assert_eq!(meta("labels.app")?, format!("by-{number}"), "{args:?}");
    }
    let copy = meta("annotations.kubectl\\.kubernetes\\.io/last-applied-configuration")?;
    assert!(copy.contains(&STANDARD.encode(PLANTED)) && !copy.contains("W01BU0tFRDp"), "{copy}");
    std::fs::write(kubectl.home().join("editor"), "#!/bin/sh\nsed -i 's/app: by-2/app: edited/' \"$1\"\n")?;
    edit(&kubectl)?;
    assert_eq!((meta("labels.app")?, stored(&world)?), ("edited".to_owned(), PLANTED.to_owned()));
    let stale = kubectl.get(&["get", "secret", "db", "-o", "yaml"])?;
    kubectl.get(&["label", "secret", "db", "changed=since"])?;
    let output = kubectl.run_with(&["replace", "-f", "-"], &stale)?;
    assert!(output.stderr.contains("the object has been modified"), "{}", output.stderr);
    Ok(())
}

const RESTORING: &str = "rules:
  - id: restore
    match: { who: agents, k8s: { action: restore, resources: [secrets], names: [db, other, copied] } }
    decide: allow
";

/// A placeholder anywhere but where a read shows it can be used by nobody to read what it stands for.
#[test]
fn a_placeholder_elsewhere_is_refused() -> Result<()> {
    let policy = masking(&["secrets"]).replace("rules:\n", RESTORING);
    let world = World::start_under(&policy)?;
    plant(&world)?;
    let kubectl = world.kubectl("ada")?;
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "other" }, "stringData": { "password": "another one" } });
    world.admin()?.apply(&secret.to_string())?;
    let read = |name: &str| kubectl.get_json(&["get", "secret", name, "-o", "json"]);
    let (db, other) = (read("db")?, read("other")?);
    let placeholder = db["data"]["password"].as_str().context("a placeholder")?.to_owned();
    let text = String::from_utf8(STANDARD.decode(&placeholder)?)?;
    let changed = |object: &serde_json::Value, change: &dyn Fn(&mut serde_json::Value)| {
        let mut object = object.clone();
        change(&mut object);
        object
    };
    let objects = [
        ("another key", changed(&db, &|it| it["data"]["copy"] = json!(placeholder))),
        ("another key alone", changed(&db, &|it| it["data"] = json!({ "copy": placeholder }))),
        ("another object", changed(&other, &|it| it["data"]["password"] = json!(placeholder))),
        ("an annotation", changed(&db, &|it| it["metadata"]["annotations"]["note"] = json!(placeholder))),
        ("an annotation in clear", changed(&db, &|it| it["metadata"]["annotations"]["note"] = json!(text))),
        ("a label", changed(&db, &|it| it["metadata"]["labels"]["note"] = json!(text))),
        ("text", changed(&db, &|it| it["stringData"] = json!({ "password": text }))),
        ("text of it", changed(&db, &|it| it["stringData"] = json!({ "password": format!("-{text}") }))),
        ("another name", changed(&db, &|it| it["metadata"]["uid"] = other["metadata"]["uid"].clone())),
    ];
    for (what, object) in &objects {
        refused(&kubectl, what, &["replace", "-f", "-"], &object.to_string())?;
    }
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "copied" }, "data": { "password": text, "a": placeholder } });
    refused(&kubectl, "a new ConfigMap", &["create", "-f", "-"], &map.to_string())?;
    let new = changed(&db, &|it| it["metadata"] = json!({ "name": "copied" }));
    refused(&kubectl, "a new Secret", &["create", "-f", "-"], &new.to_string())?;
    let path = format!("/api/v1/namespaces/{}/secrets/other", world.namespace);
    refused(&kubectl, "the path of another", &["replace", "--raw", &path, "-f", "-"], &db.to_string())?;
    for (kind, patch) in [
        ("json", format!(r#"[{{"op":"add","path":"/data/copy","value":"{placeholder}"}}]"#)),
        ("json", format!(r#"[{{"op":"replace","path":"/data/password","value":"{placeholder}"}}]"#)),
        ("merge", json!({ "data": { "copy": placeholder } }).to_string()),
        ("strategic", json!({ "metadata": { "annotations": { "a": placeholder } } }).to_string()),
    ] {
        let kind = format!("--type={kind}");
        refused(&kubectl, &patch, &["patch", "secret", "db", &kind, "-p", &patch], "")?;
    }
    assert_eq!(stored(&world)?, PLANTED);
    Ok(())
}

fn refused(kubectl: &Kubectl, what: &str, args: &[&str], object: &str) -> Result<()> {
    let output = kubectl.run_with(args, object)?;
    let said = "holds a placeholder of a masked value";
    assert!(
        !output.status.success() && output.stderr.contains(said),
        "{what}: {}{}",
        output.stdout,
        output.stderr
    );
    Ok(())
}

/// An approval of a write with placeholders is one for the values that are put back, and for no others.
#[test]
fn an_approval_is_for_the_values_that_are_put_back() -> Result<()> {
    let held = "rules:
  - id: restore
    match: { who: agents, k8s: { action: restore, resources: [secrets] } }
    decide: require_approval
    approval: { hold: 60s, ttl: 1h }
";
    let world = World::start_under(&masking(&["secrets"]).replace("rules:\n", held))?;
    plant(&world)?;
    let kubectl = world.kubectl("ada")?;
    let mut object = kubectl.get_json(&["get", "secret", "db", "-o", "json"])?;
    object["metadata"].as_object_mut().context("an object")?.remove("resourceVersion");
    object["metadata"]["labels"]["app"] = json!("approved");
    std::fs::write(kubectl.home().join("object.json"), object.to_string())?;
    let replace = kubectl.spawn(&["replace", "-f", "object.json"])?;
    let first = world.pending()?;
    let shown = world.run(&["approvals", "show", &first])?.stdout;
    assert!(shown.contains("restore") && shown.contains("+      \"app\": \"approved\""), "{shown}");
    assert!(!shown.contains("W01BU0tFRDp") && !forms().iter().any(|form| shown.contains(form)), "{shown}");
    // Meanwhile it becomes another one.
    let changed = r#"{"stringData":{"password":"a newer password than that"}}"#;
    world.admin()?.get(&["patch", "secret", "db", "--type=merge", "-p", changed])?;
    assert!(world.run(&["approvals", "approve", &first])?.status.success());
    let done = replace.finish(std::time::Duration::from_secs(90))?;
    assert!(done.stderr.contains("the object has been modified"), "{}{}", done.stdout, done.stderr);
    assert_eq!(stored(&world)?, "a newer password than that");
    let replace = kubectl.spawn(&["replace", "-f", "object.json"])?;
    let second = world.pending()?;
    assert_ne!(first, second, "of another version another approval is asked");
    assert!(world.run(&["approvals", "approve", &second])?.status.success());
    let done = replace.finish(std::time::Duration::from_secs(90))?;
    assert!(done.status.success(), "{}", done.stderr);
    assert_eq!(stored(&world)?, "a newer password than that");
    Ok(())
}

fn edit(kubectl: &Kubectl) -> Result<()> {
    let editor = format!("KUBE_EDITOR=sh {}", kubectl.home().join("editor").display());
    let editor = editor.strip_prefix("KUBE_EDITOR=").context("it begins so")?;
    let output = kubectl.run_in(&[("KUBE_EDITOR", editor)], &["edit", "secret", "db"])?;
    anyhow::ensure!(output.status.success(), "{}{}", output.stdout, output.stderr);
    Ok(())
}

/// Agents may do everything, and read these resources masked.
fn masking(resources: &[&str]) -> String {
    format!(
        r#"
version: 1
groups:
  agents: [ {{ issuer: idp, claim: {{ role: agent }} }} ]
rules:
  - id: agents
    match: {{ who: agents, k8s: {{ action: [read, write, connect] }} }}
    decide: allow
  - id: masked
    match: {{ who: agents, k8s: {{ action: [read, write, connect], resources: [{}] }} }}
    decide: allow
    oblige: {{ mask: [all] }}
"#,
        resources.join(", ")
    )
}
