//! What a written object says about what will run, and which secrets it will read: plain values, which the
//! policy decides on.
//!
//! Found by the names that fields have, at any depth: a pod is a pod in a `Deployment`, a `List`, and in a
//! resource that nobody has heard of. So more may be found than what takes effect, and never less.

mod scan;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use self::scan::Detector;
pub(crate) use self::scan::segment;
use crate::parse::object::{Extent, Object};
use lockgate_core::access::Finding;

/// Of each list; an object with more is not known completely.
const MAX_ITEMS: usize = 1024;

/// What is known of one object. Lists have no doubles, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its kind. Empty where it says none.
    pub kind: String,
    /// Its group and version. Empty where it says none.
    pub api_version: String,
    /// Its name, or `generateName` with `*` for what the server will add.
    pub name: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its labels; of a patch, those that it sets.
    pub labels: BTreeMap<String, String>,
    /// The images of containers of all sorts, and of image volumes.
    pub images: Vec<String>,
    /// Whether a container is privileged, or a Windows host process.
    pub privileged: bool,
    /// Whether a container may gain privileges by its own word (`allowPrivilegeEscalation: true`).
    pub privilege_escalation: bool,
    /// Whether the host's network is used.
    pub host_network: bool,
    /// Whether the host's processes are seen.
    pub host_pid: bool,
    /// Whether the host's IPC is used.
    pub host_ipc: bool,
    /// Paths of the host that are mounted.
    pub host_paths: Vec<String>,
    /// The service accounts that containers run as; `default` where a pod names none.
    pub service_accounts: Vec<String>,
    /// Secrets that are read: by the environment, volumes and pulls of images.
    pub secrets: Vec<String>,
    /// Capabilities that are added.
    pub capabilities: Vec<String>,
    /// Whether a container runs as root: surely or surely not, or as its image says.
    pub run_as_root: Option<bool>,
    /// Secrets in clear, with the path at which each stands. What a Secret holds is none.
    pub findings: Vec<Finding>,
    /// Whether this is all: not where the content could not be understood, or there are more findings.
    pub is_complete: bool,
}

impl Facts {
    /// The facts of an object; one for each of a `List`'s.
    #[must_use]
    pub fn of(object: &Object, detector: &Detector) -> Vec<Self> {
        let is_complete = object.extent != Extent::Kind;
        let items = object.value.get("items").and_then(Value::as_array);
        let is_list = text(&object.value, "kind").is_some_and(|kind| kind.ends_with("List"));
        match items.filter(|_| is_list) {
            Some(items) => items.iter().map(|item| Self::of_value(item, detector, is_complete)).collect(),
            None => vec![Self::of_value(&object.value, detector, is_complete)],
        }
    }

    /// The facts of one value, all of which is there.
    #[must_use]
    pub fn of_whole(value: &Value, detector: &Detector) -> Self {
        Self::of_value(value, detector, true)
    }

    fn of_value(value: &Value, detector: &Detector, is_complete: bool) -> Self {
        let metadata = value.get("metadata").unwrap_or(&Value::Null);
        let generated = || Some(format!("{}*", text(metadata, "generateName")?));
        let mut facts = Self {
            kind: text(value, "kind").unwrap_or_default().to_owned(),
            api_version: text(value, "apiVersion").unwrap_or_default().to_owned(),
            name: text(metadata, "name").map(str::to_owned).or_else(generated),
            namespace: text(metadata, "namespace").map(str::to_owned),
            labels: labels(metadata),
            is_complete,
            ..Self::default()
        };
        facts.read(value);
        let found = detector.findings(value);
        facts.findings = found.findings;
        facts.is_complete &= found.is_complete;
        facts
    }

    /// Adds what another object says: for what an object will be, of which only this is known, that nothing is in
    /// it which is not in one of the two.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        let own = |own: String, other: String| if own.is_empty() { other } else { own };
        self.kind = own(self.kind, other.kind);
        self.api_version = own(self.api_version, other.api_version);
        self.name = self.name.or(other.name);
        self.namespace = self.namespace.or(other.namespace);
        for (name, value) in other.labels {
            // The later one is what a patch sets.
            self.labels.insert(name, value);
        }
        let lists = [
            (&mut self.images, other.images),
            (&mut self.host_paths, other.host_paths),
            (&mut self.service_accounts, other.service_accounts),
            (&mut self.secrets, other.secrets),
            (&mut self.capabilities, other.capabilities),
        ];
        for (list, more) in lists {
            self.is_complete &= add(list, more.iter().map(String::as_str));
        }
        self.privileged |= other.privileged;
        self.privilege_escalation |= other.privilege_escalation;
        self.host_network |= other.host_network;
        self.host_pid |= other.host_pid;
        self.host_ipc |= other.host_ipc;
        self.run_as_root = match (self.run_as_root, other.run_as_root) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            (None | Some(false), None) | (None, Some(false)) => None,
        };
        for finding in other.findings {
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
        self.is_complete &= other.is_complete;
        self
    }

    /// Reads everything below a value; the depth was bounded when it was parsed.
    fn read(&mut self, value: &Value) {
        match value {
            Value::Array(list) => list.iter().for_each(|value| self.read(value)),
            Value::Object(object) => {
                self.pod(object);
                for (name, value) in object {
                    self.member(name, value);
                    self.read(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn member(&mut self, name: &str, value: &Value) {
        let is_all = match name {
            "containers" | "initContainers" | "ephemeralContainers" => {
                let images = elements(value).filter_map(|container| text(container, "image"));
                add(&mut self.images, images)
            }
            "image" => add(&mut self.images, text(value, "reference")),
            "hostPath" | "local" => add(&mut self.host_paths, text(value, "path")),
            "serviceAccountName" | "serviceAccount" => add(&mut self.service_accounts, account(value)),
            "secretKeyRef" | "secretRef" | "nodePublishSecretRef" | "secret" => {
                add(&mut self.secrets, text(value, "name"))
                    & add(&mut self.secrets, text(value, "secretName"))
            }
            "secretName" => add(&mut self.secrets, value.as_str()),
            "imagePullSecrets" => {
                add(&mut self.secrets, elements(value).filter_map(|secret| text(secret, "name")))
            }
            "capabilities" => {
                let added = value.get("add").into_iter().flat_map(elements);
                add(&mut self.capabilities, added.filter_map(Value::as_str))
            }
            _ => true,
        };
        self.is_complete &= is_all;
        match name {
            "privileged" | "hostProcess" => self.privileged |= is_set(value),
            "allowPrivilegeEscalation" => self.privilege_escalation |= is_set(value),
            "hostNetwork" => self.host_network |= is_set(value),
            "hostPID" => self.host_pid |= is_set(value),
            "hostIPC" => self.host_ipc |= is_set(value),
            "runAsUser" if is_root(value) => self.run_as_root = Some(true),
            _ => {}
        }
    }

    /// What follows from a pod's fields together.
    fn pod(&mut self, pod: &Map<String, Value>) {
        let containers = ["containers", "initContainers", "ephemeralContainers"];
        let containers: Vec<&Value> =
            containers.iter().filter_map(|name| pod.get(*name)).flat_map(elements).collect();
        if !containers.iter().any(|container| container.get("image").is_some()) {
            return;
        }
        if pod.get("serviceAccountName").is_none() && pod.get("serviceAccount").is_none() {
            self.is_complete &= add(&mut self.service_accounts, ["default"]);
        }
        let context = pod.get("securityContext");
        let is_other = containers.iter().all(|container| {
            let own = container.get("securityContext");
            let said =
                |name| own.and_then(|own| own.get(name)).or_else(|| context.and_then(|all| all.get(name)));
            said("runAsNonRoot") == Some(&Value::Bool(true))
                || said("runAsUser").and_then(Value::as_u64).is_some_and(|user| user > 0)
        });
        // The first pod of several decides as long as the others agree.
        let is_first = self.images.is_empty();
        self.run_as_root = match (self.run_as_root, is_other) {
            (Some(true), _) => Some(true),
            (Some(false), true) => Some(false),
            (None, true) if is_first => Some(false),
            (None | Some(false), _) => None,
        };
    }
}

fn labels(metadata: &Value) -> BTreeMap<String, String> {
    let labels = metadata.get("labels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether a flag is set, also by a value that a server might take for it.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::Number(_) | Value::String(_) => true,
        // A schema that describes the field.
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

fn is_root(value: &Value) -> bool {
    value.as_f64() == Some(0.0) || value.as_str().is_some_and(|text| text.trim() == "0")
}

/// The account of a pod that says so; the default one where a patch takes it away.
fn account(value: &Value) -> Option<&str> {
    match value {
        Value::String(account) if !account.is_empty() => Some(account),
        Value::Null | Value::String(_) => Some("default"),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Adds what is not there yet; false where there is no room for it.
fn add<'a>(list: &mut Vec<String>, items: impl IntoIterator<Item = &'a str>) -> bool {
    for item in items {
        if list.iter().any(|known| known == item) {
            continue;
        }
        if list.len() == MAX_ITEMS {
            return false;
        }
        list.push(item.to_owned());
    }
    true
}

#[cfg(test)]
mod tests;
