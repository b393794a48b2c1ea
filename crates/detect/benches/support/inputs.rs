//! Inputs of the kinds that a gateway sees, the same in every run.

use base64::Engine as _;
use bytes::Bytes;

const SIZE: usize = 16 << 20;

pub(crate) fn all() -> Vec<(String, Bytes)> {
    [
        ("k8s JSON", kubernetes()),
        ("logs", logs()),
        ("base64", base64()),
        ("source code", source()),
        ("random bytes", random(SIZE)),
    ]
    .map(|(name, text)| (name.to_owned(), Bytes::from(text)))
    .into()
}

/// `pattern` over and over.
#[allow(dead_code, reason = "not every bench needs it")]
pub(crate) fn fill(pattern: &[u8]) -> Bytes {
    pattern.iter().copied().cycle().take(SIZE / 16).collect()
}

fn kubernetes() -> Vec<u8> {
    let mut random = Random(7);
    let mut text = Vec::with_capacity(SIZE + 4096);
    text.extend_from_slice(
        br#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"8812345"},"items":["#,
    );
    while text.len() < SIZE {
        let (a, b, c) = (random.hex(10), random.hex(5), random.uuid());
        text.extend_from_slice(format!(r#"{{"metadata":{{"name":"checkout-api-{a}-{b}","generateName":"checkout-api-{a}-","namespace":"shop","uid":"{c}","resourceVersion":"{}","creationTimestamp":"2026-03-0{}T09:12:44Z","labels":{{"app":"checkout-api","pod-template-hash":"{a}","team":"payments"}},"annotations":{{"prometheus.io/scrape":"true","checksum/config":"{}","kubectl.kubernetes.io/restartedAt":"2026-03-01T08:00:00Z"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"checkout-api-{a}","uid":"{}","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-03-01T08:00:01Z","fieldsType":"FieldsV1","fieldsV1":{{"f:metadata":{{"f:annotations":{{".":{{}},"f:checksum/config":{{}}}},"f:labels":{{"f:app":{{}}}}}},"f:spec":{{"f:containers":{{"k:{{\"name\":\"api\"}}":{{".":{{}},"f:env":{{}},"f:image":{{}},"f:imagePullPolicy":{{}},"f:volumeMounts":{{}}}}}}}}}}}}]}},"spec":{{"volumes":[{{"name":"kube-api-access-{b}","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt","items":[{{"key":"ca.crt","path":"ca.crt"}}]}}}}]}}}},{{"name":"tls","secret":{{"secretName":"checkout-tls","defaultMode":420}}}}],"containers":[{{"name":"api","image":"registry.acme.io/shop/checkout@sha256:{}","args":["--listen=:8080","--log-level=info"],"env":[{{"name":"DATABASE_HOST","value":"db.shop.svc"}},{{"name":"DATABASE_PASSWORD","valueFrom":{{"secretKeyRef":{{"name":"db","key":"password"}}}}}}],"resources":{{"limits":{{"cpu":"2","memory":"1Gi"}}}},"terminationMessagePath":"/dev/termination-log","imagePullPolicy":"IfNotPresent"}}],"serviceAccountName":"checkout","nodeName":"ip-10-0-{}-{}.eu-west-1.compute.internal"}},"status":{{"phase":"Running","podIP":"10.2.{}.{}","qosClass":"Burstable"}}}},"#,
            random.below(9_000_000), random.below(9) + 1, random.hex(64), random.uuid(), random.hex(64), random.below(255), random.below(255), random.below(255), random.below(255)).as_bytes());
    }
    text.truncate(SIZE);
    text
}

fn logs() -> Vec<u8> {
    let mut random = Random(11);
    let mut text = Vec::with_capacity(SIZE + 4096);
    let paths =
        ["/api/v1/orders", "/healthz", "/assets/app.3f9c.js", "/api/v1/users/me", "/login", "/metrics"];
    let lines = [
        "cache miss, loading from database",
        "retrying after backoff",
        "token refreshed for subject",
        "connection pool exhausted, waiting",
        "user authenticated",
        "request completed",
    ];
    while text.len() < SIZE {
        let path = paths[random.below(paths.len())];
        let line = match random.below(3) {
            0 => format!(
                "10.2.{}.{} - - [03/Mar/2026:09:12:{:02} +0000] \"GET {path}?page={} HTTP/1.1\" 200 {} \"https://shop.acme.io/\" \"Mozilla/5.0 (X11; Linux x86_64)\"\n",
                random.below(255),
                random.below(255),
                random.below(60),
                random.below(100),
                random.below(90_000)
            ),
            1 => format!(
                "2026-03-03T09:12:{:02}.{:06}Z INFO checkout::orders: {} order_id={} trace_id={} elapsed_ms={}\n",
                random.below(60),
                random.below(1_000_000),
                lines[random.below(lines.len())],
                random.uuid(),
                random.hex(32),
                random.below(900)
            ),
            _ => format!(
                "{{\"level\":\"warn\",\"ts\":17093{},\"msg\":\"{}\",\"path\":\"{path}\",\"status\":{},\"request_id\":\"{}\"}}\n",
                random.below(100_000),
                lines[random.below(lines.len())],
                200 + random.below(300),
                random.hex(20)
            ),
        };
        text.extend_from_slice(line.as_bytes());
    }
    text.truncate(SIZE);
    text
}

fn base64() -> Vec<u8> {
    let mut text = base64::engine::general_purpose::STANDARD.encode(random(SIZE * 3 / 4));
    text.truncate(SIZE);
    text.into_bytes()
}

/// This crate's own sources, over and over.
fn source() -> Vec<u8> {
    let sources = [
        include_str!("../../src/filter.rs"),
        include_str!("../../src/mask/mod.rs"),
        include_str!("../../src/mask/engine.rs"),
        include_str!("../../src/mask/candidate.rs"),
        include_str!("../../src/rules/compile.rs"),
        include_str!("../../src/known/mod.rs"),
    ];
    sources.concat().into_bytes().into_iter().cycle().take(SIZE).collect()
}

fn random(size: usize) -> Vec<u8> {
    let mut random = Random(3);
    (0..size / 8 + 1).flat_map(|_| random.next().to_le_bytes()).take(size).collect()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect()
    }

    fn uuid(&mut self) -> String {
        format!("{}-{}-4{}-a{}-{}", self.hex(8), self.hex(4), self.hex(3), self.hex(3), self.hex(12))
    }
}
