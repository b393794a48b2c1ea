//! Facts of pods in every kind that has one, of lists and of what is not known for certain.

use serde_json::json;

use super::*;
use crate::parse::object::{Encoding, object};

fn facts(value: &Value) -> Facts {
    Facts::of_whole(value, &Detector::default())
}

fn pod() -> Value {
    json!({
        "hostNetwork": true,
        "hostPID": true,
        "hostIPC": true,
        "serviceAccountName": "admin",
        "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"name": "init", "image": "init:1"}],
        "containers": [{
            "name": "app",
            "image": "app:1",
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env", "key": "a"}}}],
            "envFrom": [{"secretRef": {"name": "env-from"}}],
            "securityContext": {
                "privileged": true,
                "allowPrivilegeEscalation": true,
                "runAsUser": 0,
                "capabilities": {"add": ["SYS_ADMIN", "NET_ADMIN"], "drop": ["ALL"]},
            },
        }],
        "ephemeralContainers": [{"name": "debug", "image": "debug:1"}],
        "volumes": [
            {"name": "a", "hostPath": {"path": "/etc"}},
            {"name": "b", "secret": {"secretName": "volume"}},
            {"name": "c", "projected": {"sources": [{"secret": {"name": "projected"}}]}},
            {"name": "d", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "csi"}}},
            {"name": "e", "image": {"reference": "volume:1"}},
        ],
    })
}

fn check_pod(value: &Value) {
    let facts = facts(value);
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list.join(" ")
    };
    assert_eq!(sorted(&facts.images), "app:1 debug:1 init:1 volume:1", "{value}");
    assert_eq!(sorted(&facts.secrets), "csi env env-from projected pull volume");
    assert_eq!(sorted(&facts.capabilities), "NET_ADMIN SYS_ADMIN");
    assert_eq!(facts.host_paths, ["/etc"]);
    assert_eq!(facts.service_accounts, ["admin"]);
    assert!(facts.privileged && facts.privilege_escalation);
    assert!(facts.host_network && facts.host_pid && facts.host_ipc);
    assert_eq!(facts.run_as_root, Some(true));
    assert!(facts.is_complete);
}

#[test]
fn a_pod_is_found_in_every_kind_that_has_one() {
    let template = json!({"template": {"metadata": {}, "spec": pod()}});
    check_pod(&json!({"kind": "Pod", "spec": pod()}));
    for kind in
        ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController", "Rollout"]
    {
        check_pod(&json!({"kind": kind, "spec": template}));
    }
    check_pod(&json!({"kind": "PodTemplate", "template": {"spec": pod()}}));
    check_pod(&json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": template}}}));
    check_pod(&json!({"kind": "Workflow", "spec": {"steps": [[{"pod": pod()}]]}}));
}

#[test]
fn a_list_has_facts_for_each() {
    let list = json!({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "Pod", "metadata": {"name": "a", "namespace": "x", "labels": {"k": "v"}}},
        {"kind": "ConfigMap", "metadata": {"generateName": "b-"}},
    ]});
    let object = object(list.to_string().as_bytes(), Encoding::Json).unwrap();
    let facts = Facts::of(&object, &Detector::default());
    let seen: Vec<_> =
        facts.iter().map(|facts| (facts.kind.as_str(), facts.name.as_deref().unwrap())).collect();
    assert_eq!(seen, [("Pod", "a"), ("ConfigMap", "b-*")]);
    assert_eq!(facts[0].namespace.as_deref(), Some("x"));
    assert_eq!(facts[0].labels["k"], "v");
}

#[test]
fn who_runs_is_known_only_where_it_is_said() {
    let check = |pod: Value, expected| {
        assert_eq!(facts(&json!({"spec": pod})).run_as_root, expected, "{pod}");
    };
    let image = |context: Value| json!([{"image": "a", "securityContext": context}]);
    check(json!({"containers": image(json!({}))}), None);
    check(json!({"containers": image(json!({"runAsUser": 0}))}), Some(true));
    check(json!({"containers": image(json!({"runAsUser": 1000}))}), Some(false));
    check(json!({"containers": image(json!({"runAsNonRoot": true}))}), Some(false));
    check(json!({"securityContext": {"runAsNonRoot": true}, "containers": image(json!({}))}), Some(false));
    check(
        json!({"securityContext": {"runAsNonRoot": true}, "containers": image(json!({"runAsNonRoot": false}))}),
        None,
    );
    check(
        json!({"securityContext": {"runAsUser": 5}, "containers": image(json!({})), "initContainers": image(json!({"runAsUser": 0}))}),
        Some(true),
    );
    let two = json!([
        {"spec": {"containers": image(json!({"runAsUser": 7}))}},
        {"spec": {"containers": image(json!({}))}},
    ]);
    check(json!({"a": two}), None);
}

#[test]
fn a_flag_written_otherwise_counts_and_a_schema_does_not() {
    assert!(facts(&json!({"spec": {"hostNetwork": "true"}})).host_network);
    assert!(!facts(&json!({"spec": {"hostNetwork": false}})).host_network);
    let schema =
        json!({"properties": {"hostNetwork": {"type": "boolean"}, "privileged": {"type": "boolean"}}});
    let facts = facts(&schema);
    assert!(!facts.host_network && !facts.privileged);
}

#[test]
fn what_is_known_of_two_is_known_of_either() {
    let present = json!({"kind": "Deployment", "spec": {"template": {"spec":
        {"containers": [{"image": "a", "securityContext": {"runAsNonRoot": true}}]}}}});
    let patch = json!({"spec": {"template": {"spec":
        {"serviceAccountName": null, "hostNetwork": true, "containers": [{"image": "b"}]}}}});
    let both = facts(&present).or(facts(&patch));
    assert_eq!(both.images, ["a", "b"]);
    assert!(both.host_network);
    assert_eq!(both.run_as_root, None);
    assert_eq!(both.service_accounts, ["default"]);
    assert_eq!(both.kind, "Deployment");
}

#[test]
fn findings_have_their_path_and_no_secret() {
    let token = format!("ghp_{}", "x7Kq2ZtW9bLm4VcR8pNs3YdH6fJg1TaB5eUo");
    let value = json!({
        "kind": "Pod",
        "spec": {"containers": [{"env": [{"name": "TOKEN", "value": token}]}]},
        "metadata": {"annotations": {"a.b/c": format!("curl -H {token}")}},
    });
    let facts = facts(&value);
    let places: Vec<_> = facts.findings.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(places, [r#".metadata.annotations["a.b/c"]"#, ".spec.containers[0].env[0].value"]);
    assert!(!format!("{facts:?}").contains(&token));
    let secret = json!({"kind": "Secret", "stringData": {"token": token}});
    assert!(self::facts(&secret).findings.is_empty(), "where secrets belong");
}

#[test]
fn more_findings_than_told_are_not_all() {
    let token = format!("ghp_{}", "x7Kq2ZtW9bLm4VcR8pNs3YdH6fJg1TaB5eUo");
    let detector = Detector { findings: 1, ..Detector::default() };
    let facts = Facts::of_whole(&json!({"data": {"a": token, "b": token}}), &detector);
    assert_eq!(facts.findings.len(), 1);
    assert!(!facts.is_complete);
}
