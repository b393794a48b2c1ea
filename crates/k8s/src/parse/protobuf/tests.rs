//! Objects on the wire, written by hand.

use serde_json::json;

use super::*;

/// A field of a number with content.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    // Numbers from 16 on take two bytes.
    if number >= 16 {
        field = vec![(number << 3 | 2) | 0x80, number >> 4];
    }
    let mut length = content.len();
    while length >= 0x80 {
        field.push((length as u8 & 0x7f) | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    [&field, content].concat()
}

fn varint(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn unknown(kind: &str, api_version: &str, object: &[u8]) -> Vec<u8> {
    let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [&MAGIC[..], &bytes(1, &meta), &bytes(2, object), &bytes(3, b""), &bytes(4, b"")].concat()
}

fn pod_spec() -> Vec<u8> {
    let secret_key = bytes(3, &bytes(4, &[bytes(1, &bytes(1, b"db")), bytes(2, b"password")].concat()));
    let env = bytes(7, &[bytes(1, b"PASSWORD"), secret_key].concat());
    let security = bytes(15, &[bytes(1, &bytes(1, b"SYS_ADMIN")), varint(2, 1), varint(4, 0)].concat());
    let container = bytes(2, &[bytes(1, b"app"), bytes(2, b"nginx:1"), env, security].concat());
    let ephemeral = bytes(34, &bytes(1, &[bytes(1, b"debug"), bytes(2, b"busybox")].concat()));
    let volume = bytes(1, &[bytes(1, b"root"), bytes(2, &bytes(1, &bytes(1, b"/")))].concat());
    [volume, container, ephemeral, varint(11, 1), bytes(8, b"admin")].concat()
}

fn deployment(spec: &[u8]) -> Vec<u8> {
    let metadata =
        bytes(1, &[bytes(1, b"web"), bytes(11, &[bytes(1, b"a"), bytes(2, b"b")].concat())].concat());
    let spec = bytes(2, &[varint(1, 3), bytes(3, &bytes(2, spec))].concat());
    unknown("Deployment", "apps/v1", &[metadata, spec].concat())
}

#[test]
fn a_workload_is_read_as_the_same_in_json() {
    let decoded = read(&deployment(&pod_spec())).unwrap();
    assert!(decoded.is_known);
    let expected = json!({
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "labels": {"a": "b"}},
        "spec": {"template": {"spec": {
            "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
            "containers": [{
                "name": "app",
                "image": "nginx:1",
                "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db"}}}],
                "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}, "privileged": true, "runAsUser": 0},
            }],
            "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
            "hostNetwork": true,
            "serviceAccountName": "admin",
        }}},
    });
    assert_eq!(decoded.value, expected);
}

#[test]
fn options_of_a_deletion_have_no_metadata() {
    let options =
        [varint(1, 0), bytes(2, &bytes(1, b"1-2")), bytes(4, b"Background"), bytes(5, b"All")].concat();
    for api_version in ["v1", "apps/v1", "meta.k8s.io/v1", "example.com/v1"] {
        let decoded = read(&unknown("DeleteOptions", api_version, &options)).unwrap();
        assert!(decoded.is_known);
        let expected = json!({
            "kind": "DeleteOptions",
            "apiVersion": api_version,
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": "1-2"},
            "propagationPolicy": "Background",
            "dryRun": ["All"],
        });
        assert_eq!(decoded.value, expected);
    }
}

#[test]
fn a_secret_is_base64_as_in_json() {
    let entry = [bytes(1, b"password"), bytes(2, b"hunter2")].concat();
    let decoded = read(&unknown("Secret", "v1", &bytes(2, &entry))).unwrap();
    assert_eq!(decoded.value["data"], json!({"password": "aHVudGVyMg=="}));
}

#[test]
fn a_kind_that_is_not_known_is_said_to_be_none() {
    let decoded = read(&unknown("Widget", "acme.example/v1", &varint(1, 1))).unwrap();
    assert!(!decoded.is_known);
    assert_eq!(decoded.value, json!({"kind": "Widget", "apiVersion": "acme.example/v1"}));
    let decoded = read(&unknown("Service", "v1", &bytes(1, &bytes(1, b"web")))).unwrap();
    assert!(decoded.is_known);
    assert_eq!(decoded.value["metadata"]["name"], "web");
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    let check = |spec: &[u8], expected| assert_eq!(read(&deployment(spec)).unwrap_err(), expected);
    check(&[varint(11, 0), varint(11, 1)].concat(), ProtobufError::Twice("hostNetwork"));
    check(&bytes(11, b"x"), ProtobufError::Type("hostNetwork"));
    check(&varint(2, 1), ProtobufError::Type("containers"));
    check(&bytes(8, b"\xff"), ProtobufError::Utf8("serviceAccountName"));
    // The number 11 plus 2^32, which Go cuts off to 11.
    check(&[0xd8, 0x80, 0x80, 0x80, 0x80, 0x01, 0x01], ProtobufError::Malformed(0));
    check(&[0x5b, 0x5c], ProtobufError::Malformed(0));
    check(&[0x58, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], ProtobufError::Malformed(11));
    check(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], ProtobufError::Malformed(6));
}

#[test]
fn envelopes_are_read_strictly() {
    let meta = bytes(1, &bytes(2, b"Pod"));
    let envelope = |fields: &[Vec<u8>]| [&MAGIC[..], &meta, &fields.concat()].concat();
    let check = |fields: &[Vec<u8>], expected| assert_eq!(read(&envelope(fields)).unwrap_err(), expected);
    check(&[bytes(2, b""), bytes(2, b"")], ProtobufError::Twice("raw"));
    check(&[varint(2, 1)], ProtobufError::Type("raw"));
    check(&[bytes(3, b"gzip")], ProtobufError::Encoded);
    check(&[bytes(4, b"application/json")], ProtobufError::Encoded);
    check(std::slice::from_ref(&meta), ProtobufError::Twice("typeMeta"));
    assert_eq!(read(b"{}").unwrap_err(), ProtobufError::Magic);
    assert_eq!(read(b"k8s").unwrap_err(), ProtobufError::Magic);
}

#[test]
fn a_bomb_of_small_fields_ends_at_the_limit() {
    let many = bytes(2, b"").repeat(MAX_VALUES);
    assert_eq!(read(&deployment(&many)).unwrap_err(), ProtobufError::TooMany);
}

#[test]
fn every_cut_is_refused_or_reads_as_less() {
    let whole = deployment(&pod_spec());
    for end in 0..whole.len() {
        if let Ok(decoded) = read(&whole[..end]) {
            // The envelope may end between two of its fields.
            assert!(decoded.value.is_object());
        }
    }
}
