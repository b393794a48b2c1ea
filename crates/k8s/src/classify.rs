//! Wire to access: what a request asks for, in the words of policies.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256, digest};
use http::{HeaderMap, Method, header};
use lockgate_core::access::{Access, Action, Attribute, Attributes, Matcher, Schema, Value};
use percent_encoding::percent_decode_str;

use crate::{
    content::{self, Content},
    facts::Facts,
    parse::{
        info::{Info, Resource},
        query::Query,
    },
};

/// Reads: `get`, `list` and `watch`, and a `get` of what is no resource.
pub const READ: &str = "read";
/// Changes: `create`, `update`, `patch`, `delete`, `deletecollection`, also of what is no resource.
pub const WRITE: &str = "write";
/// What leads into a pod, a service or a node: `exec`, `attach`, `portforward`, `proxy`.
pub const CONNECT: &str = "connect";
/// Puts back, in a write of a Secret, the values that a read had masked: asked for besides the write itself.
pub const RESTORE: &str = "restore";
/// Those that bring an object.
const WRITES: &[&str] = &[WRITE, RESTORE];

/// The mask that leaves Secrets of Helm's releases as they are, for Helm reads them.
pub const ALL_BUT_HELM: &str = "all-but-helm";

const VERBS: &[&str] =
    &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "proxy", RESTORE];

/// What policies may say of the Kubernetes API.
pub static SCHEMA: Schema = Schema {
    protocol: "k8s",
    actions: &[
        Action { name: READ, mutates: false, maskable: true, parts: None },
        Action { name: WRITE, mutates: true, maskable: true, parts: None },
        Action { name: CONNECT, mutates: true, maskable: true, parts: None },
        Action { name: RESTORE, mutates: true, maskable: true, parts: None },
    ],
    attributes: &[
        Attribute::glob("resource", "resources", "the resource as RBAC names it: `pods`, `pods/exec`"),
        Attribute::new(
            "verb",
            "verbs",
            Matcher::Choice(VERBS),
            "the verb as RBAC names it; exec, attach and port-forward are `create`; `restore` is the action's; of what \
             is no resource a HEAD is `get`, a POST `create`, a PUT `update`",
        ),
        Attribute::glob("group", "groups", "the API group; empty for the core"),
        Attribute::glob("version", "versions", "the API version: `v1`"),
        Attribute::glob("subresource", "subresources", "the subresource: `exec`, `log`, `status`"),
        Attribute::glob(
            "namespace",
            "namespaces",
            "the namespace; absent where it is of the cluster, or of all",
        ),
        Attribute::glob("name", "names", "the name; absent for a collection"),
        Attribute::glob(
            "path",
            "paths",
            "the path of what is no resource: `/version`; or what a proxy is asked for",
        ),
        Attribute::flag("dry_run", "dry_runs", "whether the change is only tried"),
        Attribute::glob(
            "field_manager",
            "field_managers",
            "who says to manage the fields: `kubectl-client-side-apply`",
        ),
        Attribute::glob("user_agent", "user_agents", "the client, as it calls itself: `kubectl/**`"),
        regex("command", "commands", "the words of the command that an exec begins, with spaces between")
            .only(&[CONNECT]),
        Attribute::glob("container", "containers", "the container that is named; absent for the default one")
            .only(&[CONNECT]),
        Attribute::flag("stdin", "stdins", "whether the client can type into it").only(&[CONNECT]),
        Attribute::flag("tty", "ttys", "whether it is a terminal").only(&[CONNECT]),
        Attribute::glob(
            "port",
            "ports",
            "the ports that a port-forward names; absent where the stream names them",
        )
        .only(&[CONNECT]),
        Attribute::glob("kind", "kinds", "of an object that is written: its kind").only(WRITES),
        Attribute::glob("image", "images", "of an object that is written: the images of its containers")
            .only(WRITES),
        Attribute::flag(
            "privileged",
            "privilegeds",
            "of an object that is written: whether a container is privileged",
        )
        .only(WRITES),
        Attribute::flag(
            "privilege_escalation",
            "privilege_escalations",
            "of an object that is written: whether a container may gain privileges",
        )
        .only(WRITES),
        Attribute::new(
            "host_namespace",
            "host_namespaces",
            Matcher::Choice(&["network", "pid", "ipc"]),
            "of an object that is written: what its pods share with the host",
        )
        .only(WRITES),
        Attribute::glob(
            "host_path",
            "host_paths",
            "of an object that is written: paths of the host that it mounts",
        )
        .only(WRITES),
        Attribute::glob(
            "service_account",
            "service_accounts",
            "of an object that is written: as which its pods run",
        )
        .only(WRITES),
        Attribute::glob("secret", "secrets", "of an object that is written: the Secrets that its pods read")
            .only(WRITES),
        Attribute::glob(
            "capability",
            "capabilities",
            "of an object that is written: the capabilities that it adds",
        )
        .only(WRITES),
        Attribute::flag(
            "run_as_root",
            "run_as_roots",
            "of an object that is written: whether a container runs as root",
        )
        .only(WRITES),
        Attribute::glob("label", "labels", "of an object that is written: its labels, `name=value`")
            .only(WRITES),
        Attribute::new(
            "finding",
            "findings",
            Matcher::Finding,
            "of an object that is written: secrets in it, outside of Secrets",
        )
        .only(WRITES),
    ],
    masks: &[ALL_BUT_HELM],
};

const fn regex(name: &'static str, plural: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, plural, Matcher::Regex, doc)
}

/// What is asked for: of each object that a write brings, once its content is asked for; and that values of this
/// version of the object are put back, where they are.
pub(crate) fn accesses(
    info: &Info,
    query: &Query,
    head: Asked<'_>,
    content: Content,
    restored: Option<&str>,
) -> Vec<Access> {
    let named = |info: &Info, name: Option<String>| match (info, name) {
        (Info::Resource(resource), Some(name)) if resource.name.is_empty() && resource.verb == "create" => {
            Info::Resource(Resource { name, ..resource.clone() })
        }
        (info, _) => info.clone(),
    };
    let with_facts = |facts: Facts| {
        let mut access = access(&named(info, facts.name.clone()), query, head);
        access.attributes = content::attributes(access.attributes, facts);
        access
    };
    let mut accesses: Vec<Access> = match content.facts.is_empty() {
        true => vec![access(&named(info, content.name), query, head)],
        false => content.facts.into_iter().map(with_facts).collect(),
    };
    if let Some(version) = restored {
        for access in &mut accesses {
            // With what is put back, which the version stands for: a digest of it could be tried against guesses.
            let _ = write!(access.binding, " restored of {version}");
        }
        let restoring: Vec<_> = accesses.iter().cloned().map(restoring).collect();
        accesses.extend(restoring);
    }
    accesses
}

/// What a write asks for besides that puts masked values back.
fn restoring(mut access: Access) -> Access {
    access.action = RESTORE;
    access.attributes = access.attributes.with("verb", RESTORE.to_owned());
    access
}

fn access(info: &Info, query: &Query, head: Asked<'_>) -> Access {
    let (action, resource) = match info {
        Info::Resource(resource) => (action(resource), resource.shown()),
        Info::Other { path, verb } => (if *verb == "get" { READ } else { WRITE }, path.clone()),
    };
    Access {
        protocol: SCHEMA.protocol,
        action,
        resource,
        attributes: attributes(info, query, &head),
        binding: binding(info, query, &head),
    }
}

/// What else a request is made of.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it goes upstream.
    pub path: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, of what has one that is looked at.
    pub body: &'a [u8],
    /// Whether it is only tried, as [`is_dry_run`] says.
    pub is_dry_run: bool,
}

/// Whether the API server can only try this. It does not heed `dryRun` where no object is stored: a token that is
/// asked for so is a token, and a stream a stream.
pub fn can_be_tried(resource: &Resource) -> bool {
    matches!(resource.verb, "create" | "update" | "patch" | "delete" | "deletecollection")
        && !resource.is_proxy()
        && !is_stream(resource)
        && resource.subresource != "token"
}

/// Whether a change is only tried; `said` is what the body of a delete says, which counts instead of the query.
pub fn is_dry_run(info: &Info, query: &Query, said: Option<bool>) -> bool {
    info.resource().is_some_and(can_be_tried) && said.unwrap_or_else(|| query.is_dry_run())
}

/// Whether a request becomes a stream both ways, where its client asks for one.
pub fn is_stream(resource: &Resource) -> bool {
    matches!(
        (&*resource.group, &*resource.resource, &*resource.subresource),
        ("", "pods", "exec" | "attach" | "portforward")
    )
}

fn action(resource: &Resource) -> &'static str {
    match resource.verb {
        _ if resource.is_proxy() || is_stream(resource) => CONNECT,
        "get" | "list" | "watch" => READ,
        _ => WRITE,
    }
}

fn attributes(info: &Info, query: &Query, head: &Asked<'_>) -> Attributes {
    let mut attributes = Attributes::new();
    match info {
        Info::Resource(it) => {
            // A WebSocket begins by a GET, SPDY by a POST: the same is asked for.
            let verb = if is_stream(it) { "create" } else { it.verb };
            attributes = attributes
                .with("resource", it.full().into_owned())
                .with("verb", verb.to_owned())
                .with("group", it.group.clone())
                .with("version", it.version.clone());
            let parts = [("subresource", &it.subresource), ("namespace", &it.namespace), ("name", &it.name)];
            for (name, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
                attributes = attributes.with(name, value.clone());
            }
            if it.is_proxy() {
                // As who is behind the proxy reads it, so that `%65xec` is `exec` to a rule.
                let path = percent_decode_str(&it.rest).decode_utf8_lossy();
                attributes = attributes.with("path", path.into_owned());
            }
            if is_stream(it) {
                attributes = stream(attributes, it, query);
            }
        }
        Info::Other { path, verb } => {
            attributes = attributes.with("path", path.clone()).with("verb", (*verb).to_owned());
        }
    }
    attributes = attributes.with("dry_run", head.is_dry_run);
    if let Some(manager) = query.first("fieldManager") {
        attributes = attributes.with("field_manager", manager.to_owned());
    }
    let agent = head.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    match agent {
        Some(agent) => attributes.with("user_agent", agent.to_owned()),
        None => attributes,
    }
}

fn stream(mut attributes: Attributes, resource: &Resource, query: &Query) -> Attributes {
    if resource.subresource == "portforward" {
        let ports: Vec<String> = query.all("ports").map(str::to_owned).collect();
        return if ports.is_empty() { attributes } else { attributes.with("port", Value::List(ports)) };
    }
    if resource.subresource == "exec" {
        let command: Vec<&str> = query.all("command").collect();
        // As a list, of which what is written down is short, and without secrets.
        attributes = attributes.with("command", Value::List(vec![command.join(" ")]));
    }
    if let Some(container) = query.first("container") {
        attributes = attributes.with("container", container.to_owned());
    }
    attributes.with("stdin", query.flag("stdin")).with("tty", query.flag("tty"))
}

/// The request in one line: a retry of it by the client is the same, and so is one by another transport.
fn binding(info: &Info, query: &Query, head: &Asked<'_>) -> String {
    let method = match info {
        Info::Resource(resource) if is_stream(resource) => "CONNECT",
        Info::Resource(_) | Info::Other { .. } => head.method.as_str(),
    };
    let mut line = format!("{method} {}", head.path);
    let mut sum = Context::new(&SHA256);
    for (name, value) in query.pairs() {
        // Lengths, so that no two queries are the same bytes. The values may be secret, as those of a command.
        sum.update(format!("{}:{name}{}:{value}", name.len(), value.len()).as_bytes());
    }
    if query.pairs().next().is_some() {
        let _ = write!(line, " query sha256:{}", hex::encode(sum.finish()));
    }
    if !head.body.is_empty() {
        let kind = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        let sum = hex::encode(digest(&SHA256, head.body));
        let _ = write!(line, " {} sha256:{sum}", String::from_utf8_lossy(kind));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::info::Address;

    #[test]
    fn only_what_the_api_server_only_tries_is_a_dry_run() {
        let check = |method: Method, path: &str, said: Option<bool>, expected: bool| {
            let uri = format!("/api/v1/namespaces/prod/{path}?dryRun=All").parse().unwrap();
            let query = Query::parse(Some("dryRun=All")).unwrap();
            let info = Address::parse(&method, &uri, &query).unwrap().info;
            assert_eq!(is_dry_run(&info, &query, said), expected, "{method} {path}");
        };
        check(Method::POST, "pods", None, true);
        check(Method::POST, "pods/web/eviction", None, true);
        check(Method::DELETE, "pods/web", None, true);
        check(Method::DELETE, "pods/web", Some(false), false);
        check(Method::DELETE, "pods", Some(false), false);
        check(Method::POST, "pods/web/exec", None, false);
        check(Method::POST, "services/web/proxy/x", None, false);
        check(Method::POST, "serviceaccounts/default/token", None, false);
        check(Method::GET, "pods", None, false);
    }
}
