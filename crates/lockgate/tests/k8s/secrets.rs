//! Secrets are masked wherever they can be read, and usable where they are not.

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockgate_testkit::{Kubectl, Transport};
use serde_json::json;

use crate::world::World;

pub(crate) const PLANTED: &str = "correct-horse-battery-staple-7";

/// A Secret, applied by the admin so that it stands in its own annotation too, and a pod that reads it.
pub(crate) fn plant(world: &World) -> Result<()> {
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
pub(crate) fn forms() -> Vec<String> {
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

/// An admission policy that quotes the password of a Secret in a warning about it.
fn quoting(namespace: &str) -> String {
    let name = format!("quoting-{namespace}");
    let rule = json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["secrets"] });
    let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "matchConstraints": { "resourceRules": [rule], "namespaceSelector": selector },
            "validations": [{ "expression": "false", "messageExpression": "'saw ' + string(object.data.password)" }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": { "policyName": name, "validationActions": ["Warn"] },
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [policy, binding] }).to_string()
}

#[test]
fn what_a_warning_quotes_is_masked() -> Result<()> {
    let world = World::start_under(&masking(&["secrets"]))?;
    plant(&world)?;
    let admin = world.admin()?;
    admin.apply(&quoting(&world.namespace))?;
    let label = |kubectl: &Kubectl, value: &str| {
        kubectl.run(&["label", "--overwrite", "secret", "db", &format!("quoted={value}")])
    };
    let mut count = 0;
    lockgate_testkit::wait::until("a warning", || {
        count += 1;
        let quoted = label(&admin, &count.to_string()).ok()?.stderr;
        quoted.contains(&format!("saw {}", STANDARD.encode(PLANTED))).then_some(())
    })?;
    // The first that this session hears of the Secret.
    let said = label(&world.kubectl("ada")?, "through")?.stderr;
    assert!(said.contains("saw [MASKED:secret:"), "{said}");
    assert!(!forms().iter().any(|form| said.contains(form)), "{said}");
    Ok(())
}

/// Agents may do everything, and read these resources masked.
pub(crate) fn masking(resources: &[&str]) -> String {
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
