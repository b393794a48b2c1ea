//! What a write brings: understood, kept free of placeholders, and told to the policy as far as that asks.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use lockgate_core::{
    access::{Attributes, Needs, Value as Attribute},
    body,
    protocol::{Context, Sets},
    refusal::{Refusal, RefusalKind},
};
use serde_json::Value;

use crate::{
    body::answered,
    facts::{Detector, Facts},
    guard::{self, GuardError},
    identity,
    parse::{
        info::{Address, Resource},
        object::{self, Encoding},
        patch::{OpKind, Patch, PatchKind},
    },
};

/// The attributes that are found in the content of what is written.
pub(crate) const FACTS: [&str; 12] = [
    "kind",
    "image",
    "privileged",
    "privilege_escalation",
    "host_namespace",
    "host_path",
    "service_account",
    "secret",
    "capability",
    "run_as_root",
    "label",
    "finding",
];

/// What is known of what is written.
#[derive(Default)]
pub(crate) struct Content {
    /// The name that an object says it will have.
    pub(crate) name: Option<String>,
    /// Of each object, where the policy asks for facts.
    pub(crate) facts: Vec<Facts>,
    /// Of a delete with options in its body: whether they say that it is only tried. The API server does not read
    /// the query then.
    pub(crate) is_dry_run: Option<bool>,
}

/// Why a write is refused.
pub(crate) enum Refused {
    /// As any.
    Plain(Box<Refusal>),
    /// It is understood, and must not be stored (RFC 9110, section 15.5.21): for what stands in this field.
    Unprocessable(Box<Refusal>, String),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Plain(Box::new(refusal))
    }
}

/// Understands the body of a write.
pub(crate) async fn understand(
    context: Context<'_>,
    address: &Address,
    resource: &Resource,
    content_type: Option<&HeaderValue>,
    body: &Bytes,
    detector: &Detector,
) -> Result<Content, Refused> {
    if body.is_empty() {
        return Ok(Content::default());
    }
    let is_asked = asks(context.needs);
    if resource.verb == "patch" {
        let kind = PatchKind::of(content_type).ok_or_else(unknown)?;
        let patch = Patch::read(body, kind).map_err(|error| invalid(&error))?;
        placeholders(body, patch.object())?;
        // What can be copied, or compared, can be read.
        let reads = |kind| matches!(kind, OpKind::Copy | OpKind::Move | OpKind::Test);
        if resource.resource == "secrets" && patch.ops().any(|op| reads(op.kind)) {
            let reason = "a JSON patch of a Secret that copies, moves or tests would tell what is in it";
            return Err(Refusal::new(RefusalKind::Denied, reason).into());
        }
        let facts = if is_asked {
            let present = present(context, address).await?;
            // The caller is not judged yet: what the present object holds is told by nothing here.
            let patched = patch.without_tests().apply(present).map_err(|_| unseen())?;
            vec![patched.facts(detector)]
        } else {
            Vec::new()
        };
        return Ok(Content { facts: complete(facts)?, ..Content::default() });
    }
    let encoding = Encoding::of(content_type).ok_or_else(unknown)?;
    let object = object::object(body, encoding).map_err(|error| invalid(&error))?;
    placeholders(body, Some(&object.value))?;
    let brings = matches!(resource.verb, "create" | "update");
    let metadata = &object.value["metadata"];
    let generated =
        || Some(format!("{}*", metadata["generateName"].as_str().filter(|name| !name.is_empty())?));
    let name =
        metadata["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned).or_else(generated);
    let facts = if is_asked && brings { complete(Facts::of(&object, detector))? } else { Vec::new() };
    let deletes = matches!(resource.verb, "delete" | "deletecollection");
    let dry_run = || object.value["dryRun"].as_array().is_some_and(|list| list.contains(&"All".into()));
    Ok(Content { name: name.filter(|_| brings), facts, is_dry_run: deletes.then(dry_run) })
}

fn asks(needs: &Needs) -> bool {
    FACTS.iter().any(|name| needs.has(name))
}

fn placeholders(body: &Bytes, object: Option<&Value>) -> Result<(), Refused> {
    guard::check(body, object).map_err(|error| {
        let refusal = Box::new(Refusal::new(RefusalKind::Invalid, error.to_string()));
        match error {
            GuardError::Placeholder(field) => Refused::Unprocessable(refusal, field),
            GuardError::OtherObject | GuardError::Present(_) => Refused::Plain(refusal),
        }
    })
}

/// What is not known completely can't be judged.
fn complete(facts: Vec<Facts>) -> Result<Vec<Facts>, Refusal> {
    if facts.iter().all(|facts| facts.is_complete) {
        return Ok(facts);
    }
    let reason =
        "the policy asks for what this holds, and it can't be understood completely; send it as JSON";
    Err(Refusal::new(RefusalKind::Invalid, reason))
}

/// What a patch makes of the present object can't be told: there is none, or it is not shown, or not so.
fn unseen() -> Refusal {
    let reason = "the policy asks for what this patch makes of the present object, and that can't be told";
    Refusal::new(RefusalKind::Denied, reason)
}

/// The object that is to be patched; null where there is none yet.
async fn present(context: Context<'_>, address: &Address) -> Result<Value, Refusal> {
    let uri = address.uri(&http::Uri::default()).ok_or_else(unseen)?;
    let mut request = Request::new(body::empty());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let set = identity::headers(context).map_err(|_| unseen())?;
    request.extensions_mut().insert(Sets(set));
    let response = context.probe.send(request).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(Value::Null),
        _ => return Err(unseen()),
    }
    answered(response.into_body()).await
}

fn unknown() -> Refusal {
    let reason = "what is written comes in a form that is not understood here: it is JSON, YAML or protobuf, \
                  or a patch";
    Refusal::new(RefusalKind::Invalid, reason)
}

fn invalid(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let mut reason = error.to_string();
    // The next cause says where.
    if let Some(cause) = error.source() {
        reason = format!("{reason}: {cause}");
    }
    Refusal::new(RefusalKind::Invalid, reason)
}

/// The attributes of one object.
pub(crate) fn attributes(mut attributes: Attributes, facts: Facts) -> Attributes {
    let mut host_namespaces = Vec::new();
    for (name, is_shared) in
        [("network", facts.host_network), ("pid", facts.host_pid), ("ipc", facts.host_ipc)]
    {
        if is_shared {
            host_namespaces.push(name.to_owned());
        }
    }
    let labels = facts.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let lists = [
        ("image", facts.images),
        ("host_namespace", host_namespaces),
        ("host_path", facts.host_paths),
        ("service_account", facts.service_accounts),
        ("secret", facts.secrets),
        ("capability", facts.capabilities),
        ("label", labels),
    ];
    for (name, list) in lists {
        attributes = attributes.with(name, Attribute::List(list));
    }
    attributes = attributes
        .with("kind", facts.kind)
        .with("privileged", facts.privileged)
        .with("privilege_escalation", facts.privilege_escalation)
        .with("finding", Attribute::Findings { list: facts.findings, further: 0 });
    match facts.run_as_root {
        Some(is_root) => attributes.with("run_as_root", is_root),
        None => attributes,
    }
}
