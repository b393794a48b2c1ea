//! What was masked can't be written back, or is put back: no Secret is changed by it, and none is read.

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockgate_testkit::Kubectl;
use serde_json::json;

use crate::secrets::{PLANTED, forms, masking, plant};
use crate::world::World;

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
    let first = world.gate.pending()?;
    let shown = world.gate.run_configured(&["approvals", "show", &first])?.stdout;
    assert!(shown.contains("restore") && shown.contains("+      \"app\": \"approved\""), "{shown}");
    assert!(!shown.contains("W01BU0tFRDp") && !forms().iter().any(|form| shown.contains(form)), "{shown}");
    // Meanwhile it becomes another one.
    let changed = r#"{"stringData":{"password":"a newer password than that"}}"#;
    world.admin()?.get(&["patch", "secret", "db", "--type=merge", "-p", changed])?;
    assert!(world.gate.run_configured(&["approvals", "approve", &first])?.status.success());
    let done = replace.finish(std::time::Duration::from_secs(90))?;
    assert!(done.stderr.contains("the object has been modified"), "{}{}", done.stdout, done.stderr);
    assert_eq!(stored(&world)?, "a newer password than that");
    let replace = kubectl.spawn(&["replace", "-f", "object.json"])?;
    let second = world.gate.pending()?;
    assert_ne!(first, second, "of another version another approval is asked");
    assert!(world.gate.run_configured(&["approvals", "approve", &second])?.status.success());
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
