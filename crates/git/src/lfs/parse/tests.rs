//! Valid and hostile JSON.

use proptest::prelude::*;

use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// What of a batch's request goes upstream, or why nothing does. `A` and `B` stand for two oids.
fn request(text: &str) -> String {
    let text =
        text.replace("'A'", &format!("\"{A}\"")).replace("'B'", &format!("\"{B}\"")).replace('\'', "\"");
    match BatchRequest::parse(text.as_bytes(), 3) {
        Ok(request) => serde_json::to_string(&request).unwrap().replace(A, "A").replace(B, "B"),
        Err(error) => error.to_string().split(" at line").next().unwrap().replace(A, "A"),
    }
}

#[test]
fn writes_requests_anew() {
    let check =
        |text: &str, expected: &str| assert_eq!(request(text), expected.replace('\'', "\""), "{text}");
    let plain = "{'operation':'download','transfers':['basic'],'objects':[{'oid':'A','size':1}],'hash_algo':'sha256'}";
    check("{'operation':'download','objects':[{'oid':'A','size':1}]}", plain);
    // What git-lfs 3 sends.
    check(
        "{'operation':'upload','objects':[{'oid':'A','size':0},{'oid':'B','size':2}],
          'transfers':['lfs-standalone-file','basic','ssh'],'ref':{'name':'refs/heads/main'},'hash_algo':'sha256'}",
        "{'operation':'upload','transfers':['basic'],'ref':{'name':'refs/heads/main'},\
         'objects':[{'oid':'A','size':0},{'oid':'B','size':2}],'hash_algo':'sha256'}",
    );
    // What is not known goes no further, however deep it is.
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    check(
        &format!(
            "{{'operation':'download','x-evil':{deep},'objects':[{{'oid':'A','size':1,'x-oid':'B'}}],
              'ref':null,'hash_algo':null}}"
        ),
        plain,
    );
    // The same object twice is one.
    check("{'operation':'download','objects':[{'oid':'A','size':1},{'oid':'A','size':1}]}", plain);
}

#[test]
fn refuses_hostile_requests() {
    let check = |text: &str, expected: &str| {
        let refused = request(text);
        assert!(refused.contains(expected), "{text}: {refused}");
    };
    let with = |objects: &str| format!("{{'operation':'upload','objects':[{objects}]}}");
    check("", "EOF");
    check("[]", "invalid length 0");
    check("{}", "missing field `operation`");
    check("{'operation':'delete','objects':[]}", "unknown variant `delete`");
    check("{'operation':'upload'}", "missing field `objects`");
    check(&with(""), "list of objects is not valid");
    check(&with("{'oid':'A'}"), "missing field `size`");
    check(&with("{'oid':'A','size':-1}"), "invalid value");
    check(&with("{'oid':'A','size':1.5}"), "invalid type: floating point");
    check(&with("{'oid':'A','size':1e30}"), "invalid type: floating point");
    check(&with("{'oid':'A','size':99999999999999999999999999}"), "invalid type: floating point");
    check(&with("{'oid':'A','size':9223372036854775808}"), "no object has this size");
    check(&with("{'oid':'A','size':'1'}"), "invalid type: string");
    check(&with("{'oid':'A','size':null}"), "invalid type: null");
    check(&with("{'oid':'../../etc/passwd','size':1}"), "64 small hex digits");
    check(&with(&format!("{{'oid':'{}','size':1}}", A.to_uppercase())), "64 small hex digits");
    check(&with(&format!("{{'oid':'{A}a','size':1}}")), "64 small hex digits");
    // Which of two would another reader take?
    check(&with("{'oid':'A','oid':'B','size':1}"), "duplicate field `oid`");
    check("{'operation':'download','operation':'upload','objects':[]}", "duplicate field `operation`");
    check("{'operation':'upload','\\u006fperation':'download','objects':[]}", "duplicate field `operation`");
    check(&with("{'oid':'A','size':1},{'oid':'A','size':2}"), "object A is listed with two sizes");
    check(&with(&["{'oid':'A','size':1}"; 4].join(",")), "more than 3 objects");
    check("{'operation':'upload','objects':[{'oid':'A','size':1}],'transfers':['tus']}", "`basic`");
    check("{'operation':'upload','objects':[{'oid':'A','size':1}],'hash_algo':'sha1'}", "sha256");
    check(
        "{'operation':'upload','objects':[{'oid':'A','size':1}],'ref':{'name':'a\\u0000b'}}",
        "ref is not valid",
    );
    check(
        "{'operation':'upload','objects':[{'oid':'A','size':1}],'ref':{'name':'\\u202e'}}",
        "ref is not valid",
    );
    check("{'operation':'upload','objects':[{'oid':'A','size':1}],'ref':'main'}", "invalid type");
    // However deep: what is not known is passed over without a stack.
    check(&format!("{{'operation':{}", "[".repeat(100_000)), "expected value");
    check(&format!("{{'x':{}", "[".repeat(100_000)), "EOF");
    check(&with(&"[".repeat(100_000)), "invalid type");
    check("{'operation':'upload','objects':[]} {}", "trailing characters");
    check("\u{feff}{}", "expected value");
}

#[test]
fn reads_answers() {
    let text = format!(
        r#"{{"transfer":"basic","objects":[{{"oid":"{A}","size":1,"authenticated":true,"actions":{{"download":
        {{"href":"https://x/y?sig=1","header":{{"Authorization":"Bearer s","X-N":"1"}},"expires_in":10}}}}}},
        {{"oid":"{B}","size":2,"error":{{"code":404,"message":"gone"}}}}],"hash_algo":"sha256","more":1}}"#
    );
    let mut answer = BatchResponse::parse(text.as_bytes()).unwrap();
    assert_eq!(answer.objects[1].error, Some(ObjectError::new(404, "gone")));
    let action = answer.objects.remove(0).actions.unwrap().download.unwrap();
    assert_eq!(format!("{action:?}"), "Action(..)", "it holds credentials");
    let headers = action.headers().unwrap();
    assert_eq!((headers.len(), headers["authorization"].to_str().unwrap()), (2, "Bearer s"));
    assert!(headers["authorization"].is_sensitive());
    for (text, expected) in [
        (r#"{"transfer":"tus","objects":[]}"#, "`basic`"),
        (r#"{"hash_algo":"md5","objects":[]}"#, "sha256"),
        (r#"{"objects":{}}"#, "invalid type"),
        (r#"<html>"#, "expected value"),
        (r#"{"objects":[{"oid":1}]}"#, "invalid type"),
    ] {
        let error = BatchResponse::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn reads_times_and_headers() {
    let action =
        |rest: &str| -> Action { serde_json::from_str(&format!(r#"{{"href":"x"{rest}}}"#)).unwrap() };
    let check = |rest: &str, expected: Option<i64>| {
        assert_eq!(action(rest).expires(1_000_000_000).unwrap(), expected, "{rest}");
    };
    check("", None);
    check(r#","expires_in":0,"expires_at":"0001-01-01T00:00:00Z""#, None);
    check(r#","expires_in":60"#, Some(1_000_000_060));
    check(r#","expires_in":-60"#, Some(999_999_940));
    check(r#","expires_in":9223372036854775807"#, Some(i64::MAX));
    check(r#","expires_at":"2001-09-09T03:46:41.5+02:00""#, Some(1_000_000_001));
    // What is left is more exact than a clock.
    check(r#","expires_in":1,"expires_at":"2030-01-01T00:00:00Z""#, Some(1_000_000_001));
    assert!(action(r#","expires_at":"tomorrow""#).expires(0).is_err());
    for wrong in [r#"{"a b":"1"}"#, r#"{"a":"1\n2"}"#, r#"{"":"1"}"#] {
        assert!(action(&format!(r#","header":{wrong}"#)).headers().is_err(), "{wrong}");
    }
    let many: Vec<String> = (0..33).map(|n| format!(r#""h{n}":"v""#)).collect();
    assert!(action(&format!(r#","header":{{{}}}"#, many.join(","))).headers().is_err());
}

#[test]
fn writes_requests_for_locks_anew() {
    fn written<T: Serialize>(parsed: Result<T, LfsError>) -> String {
        parsed.map_or_else(|error| error.to_string(), |value| serde_json::to_string(&value).unwrap())
    }
    let lock = |text: &str| written(LockRequest::parse(text.as_bytes()));
    let verify = |text: &str| written(LocksVerification::parse(text.as_bytes()));
    let unlock = |text: &str| written(Unlocking::parse(text.as_bytes()));
    assert_eq!(lock(r#"{"path":"a.bin","x":1}"#), r#"{"path":"a.bin"}"#);
    assert_eq!(
        lock(r#"{"path":"a","ref":{"name":"refs/heads/x"}}"#),
        r#"{"path":"a","ref":{"name":"refs/heads/x"}}"#
    );
    assert_eq!(lock(r#"{"path":""}"#), "the LFS request's path is not valid");
    assert_eq!(lock(r#"{"path":"a\u001b[2J"}"#), "the LFS request's path is not valid");
    assert_eq!(verify(r#"{"cursor":"c","limit":5,"x":1}"#), r#"{"cursor":"c","limit":5}"#);
    assert!(verify(r#"{"limit":-1}"#).contains("invalid value"));
    assert_eq!(unlock(r#"{"force":true}"#), r#"{"force":true}"#);
    assert_eq!(unlock("{}"), r#"{"force":false}"#);
    assert!(unlock(r#"{"force":"yes"}"#).contains("invalid type"));
}

/// Something like an LFS JSON, with what belongs there and what does not.
fn hostile() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("oid"),
        Just("size"),
        Just("objects"),
        Just("operation"),
        Just("transfers"),
        Just("ref"),
        Just("name"),
        Just("actions"),
        Just("upload"),
        Just("href"),
        Just("header"),
        Just("expires_in"),
        Just("expires_at"),
        Just("error"),
        Just("code"),
        Just("message"),
        Just("path"),
        Just("limit"),
        Just("force"),
        Just("x"),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("1e400".to_owned()),
        Just(format!("\"{A}\"")),
        Just("\"upload\"".to_owned()),
        Just("\"basic\"".to_owned()),
        ".{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let pair = (word.clone(), inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(pair, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics_and_what_is_written_is_what_was_understood(text in hostile(), noise in any::<Vec<u8>>()) {
        fuzz_lfs(text.as_bytes());
        fuzz_lfs(&noise);
    }

    #[test]
    fn requests_survive_writing(sizes in prop::collection::vec(0..=SIZE, 1..20), upload in any::<bool>()) {
        let objects = sizes.iter().enumerate().map(|(n, size)| format!(r#"{{"oid":"{n:064x}","size":{size}}}"#));
        let objects: Vec<_> = objects.collect();
        let operation = if upload { "upload" } else { "download" };
        let text = format!(r#"{{"operation":"{operation}","objects":[{}]}}"#, objects.join(","));
        let request = BatchRequest::parse(text.as_bytes(), 20).unwrap();
        prop_assert_eq!(request.objects.iter().map(|object| object.size).collect::<Vec<_>>(), sizes);
        let written = serde_json::to_vec(&request).unwrap();
        prop_assert_eq!(BatchRequest::parse(&written, 20).unwrap(), request);
    }
}
