//! What an image consists of, as somebody says who looked: the packages in a software bill of materials, of SPDX or
//! CycloneDX in JSON, also within a statement, an envelope or a bundle. Nobody's signature on it is verified.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockgate_core::text::plain;
use serde_json::Value;

/// How deep documents are in one another, and components.
const DEPTH: usize = 8;
/// Packages that are looked at of one document.
const PACKAGES: usize = 50_000;
/// Characters of a name or version that are shown.
const TEXT: usize = 120;

/// Packages by name, each with its versions: of some there are several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Packages(BTreeMap<String, BTreeSet<String>>);

impl Packages {
    /// Reads a document; `None` where it tells of no packages.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut packages = Self::default();
        packages.read(&serde_json::from_slice(bytes).ok()?, DEPTH).then_some(packages)
    }

    /// Takes those of another document.
    pub(crate) fn add(&mut self, other: Self) {
        for (name, mut versions) in other.0 {
            self.0.entry(name).or_default().append(&mut versions);
        }
    }

    /// What changes from one to the other, a line each: what is gone, what is there now, what has another version.
    pub(crate) fn changes(&self, now: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        let changes = names.into_iter().filter_map(|name| match (self.0.get(name), now.0.get(name)) {
            (Some(old), None) => Some(format!("- {name} {}", joined(old))),
            (None, Some(new)) => Some(format!("+ {name} {}", joined(new))),
            (Some(old), Some(new)) if old != new => {
                Some(format!("~ {name} {} -> {}", joined(old), joined(new)))
            }
            (Some(_), Some(_)) | (None, None) => None,
        });
        changes.collect()
    }

    /// Whether it is a document that tells of packages.
    fn read(&mut self, of: &Value, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        let text = |name: &str| of.get(name).and_then(Value::as_str);
        if text("spdxVersion").is_some() {
            for package in of.get("packages").and_then(Value::as_array).into_iter().flatten() {
                self.spdx(package);
            }
            return true;
        }
        if text("bomFormat") == Some("CycloneDX") {
            self.components(of, depth);
            return true;
        }
        if let Some(envelope) = of.get("dsseEnvelope") {
            return self.read(envelope, depth);
        }
        if let (Some(payload), Some(_)) = (text("payload"), text("payloadType")) {
            let payload = STANDARD.decode(payload).ok();
            let inner = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
            return inner.is_some_and(|inner: Value| self.read(&inner, depth));
        }
        let Some(predicate) = of.get("predicate").filter(|_| text("predicateType").is_some()) else {
            return false;
        };
        // cosign once put the document there as text.
        match predicate.get("Data") {
            Some(Value::String(data)) => {
                serde_json::from_str(data).is_ok_and(|inner: Value| self.read(&inner, depth))
            }
            Some(data) => self.read(data, depth),
            None => self.read(predicate, depth),
        }
    }

    fn spdx(&mut self, package: &Value) {
        let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
        let references = package.get("externalRefs").and_then(Value::as_array).into_iter().flatten();
        let mut urls = references.filter(|of| text(of, "referenceType").as_deref() == Some("purl"));
        let url = urls.next().and_then(|of| text(of, "referenceLocator"));
        self.put(url, text(package, "name"), text(package, "versionInfo"));
    }

    fn components(&mut self, of: &Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        for component in of.get("components").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| component.get(name).and_then(Value::as_str).map(str::to_owned);
            if text("type").as_deref() != Some("file") {
                self.put(text("purl"), text("name"), text("version"));
            }
            self.components(component, depth);
        }
    }

    /// By its package URL where there is one: the same name may be that of another ecosystem.
    fn put(&mut self, url: Option<String>, name: Option<String>, version: Option<String>) {
        let bare = |url: String| {
            let url = url.split(['?', '#']).next().unwrap_or_default();
            match url.rsplit_once('@') {
                // An `@` before a slash begins a namespace.
                Some((name, version)) if !version.contains('/') => name.to_owned(),
                Some(_) | None => url.to_owned(),
            }
        };
        let Some(name) = url.map(bare).or(name).map(|name| plain(&name, TEXT)) else { return };
        if self.0.len() < PACKAGES || self.0.contains_key(&name) {
            let version = version.map_or_else(|| "of no version".to_owned(), |version| plain(&version, TEXT));
            self.0.entry(name).or_default().insert(version);
        }
    }
}

fn joined(versions: &BTreeSet<String>) -> String {
    versions.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spdx(packages: &[(&str, &str)]) -> Value {
        let packages: Vec<_> = packages
            .iter()
            .map(|(name, version)| {
                let url = format!("pkg:deb/debian/{name}@{version}?arch=amd64");
                let of = json!({ "referenceType": "purl", "referenceLocator": url });
                json!({ "name": name, "versionInfo": version, "externalRefs": [of] })
            })
            .collect();
        json!({ "spdxVersion": "SPDX-2.3", "packages": packages })
    }

    fn read(of: &Value) -> Option<Packages> {
        Packages::parse(of.to_string().as_bytes())
    }

    #[test]
    fn what_changes_is_told() {
        let old = read(&spdx(&[("bash", "5"), ("openssl", "3.0.1"), ("zlib", "1")])).unwrap();
        let new = read(&spdx(&[("bash", "5"), ("openssl", "3.0.2"), ("curl", "8")])).unwrap();
        let expected =
            ["+ pkg:deb/debian/curl 8", "~ pkg:deb/debian/openssl 3.0.1 -> 3.0.2", "- pkg:deb/debian/zlib 1"];
        assert_eq!(old.changes(&new), expected);
        assert_eq!(new.changes(&new), [""; 0]);
    }

    #[test]
    fn documents_of_both_kinds_are_read_however_they_are_wrapped() {
        let document = spdx(&[("bash", "5")]);
        let direct = read(&document).unwrap();
        let statement = json!({ "predicateType": "https://spdx.dev/Document", "predicate": document });
        let payload = STANDARD.encode(statement.to_string());
        let envelope = json!({ "payload": payload, "payloadType": "application/vnd.in-toto+json" });
        let bundle = json!({ "dsseEnvelope": envelope });
        let text = json!({ "predicateType": "x", "predicate": { "Data": document.to_string() } });
        for wrapped in [statement, envelope, bundle, text] {
            assert_eq!(read(&wrapped).as_ref(), Some(&direct), "{wrapped}");
        }
        let cyclone = json!({
            "bomFormat": "CycloneDX",
            "components": [
                { "type": "library", "name": "left-pad", "version": "1", "purl": "pkg:npm/%40a/left-pad@1" },
                { "type": "file", "name": "/etc/motd" },
                { "type": "library", "name": "outer", "components": [{ "name": "inner\u{7}", "version": "2" }] },
            ],
        });
        let expected = ["+ inner  2", "+ outer of no version", "+ pkg:npm/%40a/left-pad 1"];
        assert_eq!(Packages::default().changes(&read(&cyclone).unwrap()), expected);
        for none in [
            json!({}),
            json!({ "predicateType": "x", "predicate": {} }),
            json!([]),
            json!({ "packages": [] }),
        ] {
            assert_eq!(read(&none), None, "{none}");
        }
        let mut deep = document;
        for _ in 0..DEPTH {
            deep = json!({ "predicateType": "x", "predicate": deep });
        }
        assert_eq!(read(&deep), None);
    }
}
