//! Which values are secrets by what they are called, and which of them can be looked for elsewhere.

/// A name with one of these in it, in any case and with any separators, names a secret.
const PARTS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
];

/// A name that ends so tells where a secret is, or how it is used.
const ENDS: [&str; 15] = [
    "file",
    "path",
    "dir",
    "name",
    "namespace",
    "url",
    "uri",
    "ttl",
    "header",
    "length",
    "enabled",
    "expiration",
    "seconds",
    "type",
    "ref",
];

/// Members that hold a secret in any object. Fewer, because what fields are called is not up to whoever fills
/// them in.
const FIELDS: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "authtoken",
    "bearertoken",
    "apikey",
    "apitoken",
    "secretkey",
    "secretaccesskey",
    "privatekey",
    "clientsecret",
    "accesskeysecret",
];

/// Whether an environment variable, or a key of a `ConfigMap`, holds a secret by its name.
pub(super) fn is_telling(name: &str) -> bool {
    let plain = plain(name);
    PARTS.iter().any(|part| plain.contains(part)) && !ENDS.iter().any(|end| plain.ends_with(end))
}

/// Whether a field of any object holds a secret by its name.
pub(super) fn is_secret_field(name: &str) -> bool {
    // Most names are ruled out by their length and first letter.
    (5..=24).contains(&name.len())
        && name.starts_with(['p', 't', 'a', 'r', 'i', 'b', 's', 'c', 'P', 'T', 'A', 'R', 'I', 'B', 'S', 'C'])
        && FIELDS.contains(&plain(name).as_str())
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// What of a value can be looked for in everything else: nothing of what is an ordinary word, a name or a small
/// number there (the user `postgres`, the namespace `default`), or is public (a certificate).
pub(super) fn worth_knowing<'a>(name: &str, value: &'a [u8]) -> Option<&'a [u8]> {
    let value = value.trim_ascii();
    let all = |is: fn(&u8) -> bool| value.iter().all(is);
    let is_word = all(|byte| byte.is_ascii_lowercase() || b"-_.:/".contains(byte))
        || all(|byte| byte.is_ascii_uppercase() || b"-_".contains(byte));
    let is_number = all(|byte| byte.is_ascii_digit() || b".:-+".contains(byte));
    let is_label = all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:/".contains(byte));
    let is_common = if is_telling(name) {
        value.len() < 6 || (is_word && value.len() < 12) || (is_number && value.len() < 16)
    } else {
        value.len() < 8
            || is_number
            || (is_word && value.len() < 24)
            || (is_label && (value.len() < 16 || value.contains(&b'.')))
    };
    let is_public = value.starts_with(b"-----BEGIN CERTIFICATE-----");
    (!is_common && !is_public).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for name in
            ["DB_PASSWORD", "db.passwd", "apiKey", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "client-secret"]
        {
            assert!(is_telling(name), "{name}");
        }
        for name in ["PATH", "DB_HOST", "TOKEN_FILE", "secretName", "PASSWORD_LENGTH", "keys", "TOKEN_URL"] {
            assert!(!is_telling(name), "{name}");
        }
        assert!(is_secret_field("clientSecret") && is_secret_field("api_key") && is_secret_field("Password"));
        assert!(!is_secret_field("secretName") && !is_secret_field("secret") && !is_secret_field("tokens"));
    }

    #[test]
    fn ordinary_words_are_not_looked_for() {
        let check = |name, value: &str, expected: bool| {
            assert_eq!(worth_knowing(name, value.as_bytes()).is_some(), expected, "{name} {value}");
        };
        check("username", "postgres", false);
        check("namespace", "kube-system", false);
        check("host", "db.prod.svc.cluster.local", false);
        check("port", "5432", false);
        check("url", "https://example.com/path", false);
        check("password", "postgres", false);
        check("password", "hunter2", true);
        check("password", "correct horse battery", true);
        check("pin", "12345678", false);
        check("value", "s3cr3t-Planted", true);
        check("tls.key", "-----BEGIN PRIVATE KEY-----\nMIIE", true);
        check("tls.crt", "-----BEGIN CERTIFICATE-----\nMIIE", false);
        assert_eq!(worth_knowing("password", b"hunter2\n"), Some(&b"hunter2"[..]));
    }
}
