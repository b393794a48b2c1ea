//! What a write brings: understood, kept free of placeholders, and told to the policy as far as that asks.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use lockgate_core::{
    access::{Attributes, Needs, Value as Attribute},
    protocol::Context,
    refusal::{Refusal, RefusalKind},
};
use serde_json::Value;

use crate::{
    ask::ask,
    facts::{Detector, Facts},
    guard::{self, GuardError},
    mask::Masking,
    parse::{
        info::{Address, Resource},
        kinds,
        object::{self, Encoding, Extent, ObjectError},
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
    /// What goes upstream instead, where placeholders in it were replaced by what they stand for.
    pub(crate) restored: Option<Restored>,
}

/// A write with what its placeholders stand for. It holds secrets: nobody is shown it, and it is not recorded.
pub(crate) struct Restored {
    /// In JSON.
    pub(crate) body: Bytes,
    /// Of which object the values are, and of which version, that must still be the present one.
    pub(crate) version: String,
    /// The first field that had a placeholder, and why it is refused where the policy does not let it be restored.
    pub(crate) field: String,
    pub(crate) reason: String,
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

/// A write.
#[derive(Clone, Copy)]
pub(crate) struct Writing<'a> {
    pub(crate) context: Context<'a>,
    pub(crate) address: &'a Address,
    pub(crate) resource: &'a Resource,
    pub(crate) content_type: Option<&'a HeaderValue>,
    pub(crate) body: &'a Bytes,
    /// As whom it goes.
    pub(crate) identity: &'a HeaderMap,
    /// As a read of what is written is masked.
    pub(crate) masking: &'a (dyn Fn() -> Masking + Sync),
    pub(crate) detector: &'a Detector,
}

impl Writing<'_> {
    /// Understands its body.
    pub(crate) async fn understand(self) -> Result<Content, Refused> {
        // In boxes, that those who bring nothing have no room for it.
        if self.body.is_empty() {
            Ok(Content::default())
        } else if self.resource.verb == "patch" {
            Box::pin(self.patch()).await
        } else {
            Box::pin(self.object()).await
        }
    }

    async fn patch(self) -> Result<Content, Refused> {
        let kind = PatchKind::of(self.content_type).ok_or_else(unknown)?;
        let patch = Patch::read(self.body, kind).map_err(|error| invalid(&error))?;
        let restored = self.without_placeholders(patch.object(), true).await?;
        // What can be copied, or compared, can be read.
        let reads = |kind| matches!(kind, OpKind::Copy | OpKind::Move | OpKind::Test);
        if self.resource.resource == "secrets" && patch.ops().any(|op| reads(op.kind)) {
            let reason = "a JSON patch of a Secret that copies, moves or tests would tell what is in it";
            return Err(Refusal::new(RefusalKind::Denied, reason).into());
        }
        let facts = if asks(self.context.needs) {
            let present = self.present().await?;
            // The caller is not judged yet: what the present object holds is told by nothing here.
            let patched = patch.without_tests().apply(present).map_err(|_| unseen())?;
            vec![patched.facts(self.detector)]
        } else {
            Vec::new()
        };
        Ok(Content { facts: complete(facts)?, restored, ..Content::default() })
    }

    async fn object(self) -> Result<Content, Refused> {
        let encoding = Encoding::of(self.content_type).ok_or_else(unknown)?;
        let brings = matches!(self.resource.verb, "create" | "update");
        let object = object::object(self.body, encoding)
            .map_err(|error| if brings { unrecognized(&error, self.resource) } else { invalid(&error) })?;
        let is_update = self.resource.verb == "update" && object.extent == Extent::Whole;
        let restored = self.without_placeholders(Some(&object.value), is_update).await?;
        let metadata = &object.value["metadata"];
        let generated =
            || Some(format!("{}*", metadata["generateName"].as_str().filter(|name| !name.is_empty())?));
        let name =
            metadata["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned).or_else(generated);
        let facts = if asks(self.context.needs) && brings {
            complete(Facts::of(&object, self.detector))?
        } else {
            Vec::new()
        };
        let deletes = matches!(self.resource.verb, "delete" | "deletecollection");
        let dry_run = || object.value["dryRun"].as_array().is_some_and(|list| list.contains(&"All".into()));
        let name = name.filter(|_| brings);
        Ok(Content { name, facts, is_dry_run: deletes.then(dry_run), restored })
    }

    /// Refuses what holds placeholders; or puts back what they stand for, where `can_restore` and it is a Secret.
    async fn without_placeholders(
        self,
        object: Option<&Value>,
        can_restore: bool,
    ) -> Result<Option<Restored>, Refused> {
        let Err(found) = guard::check(self.body, object) else { return Ok(None) };
        let GuardError::Placeholder(field) = &found else { return Err(unprocessable(&found, "")) };
        let Resource { group, resource, subresource, .. } = self.resource;
        let is_secret = group.is_empty() && resource == "secrets" && subresource.is_empty();
        let Some(object) = object.filter(|_| can_restore && is_secret) else {
            return Err(unprocessable(&found, field));
        };
        // Who may not read the object, or asks for none, is told of the placeholder alone.
        let present = self.present().await.map_err(|_| unprocessable(&found, field))?;
        let restored = guard::restore(object.clone(), &present, (self.masking)());
        let restored = restored.map_err(|error| match &error {
            GuardError::Placeholder(field) => unprocessable(&error, field),
            GuardError::OtherObject | GuardError::Present(_) => unprocessable(&found, field),
        })?;
        let version = ["/metadata/uid", "/metadata/resourceVersion"].map(|path| {
            let text = present.pointer(path).and_then(Value::as_str);
            text.unwrap_or_default()
        });
        Ok(Some(Restored {
            body: restored.object.to_string().into(),
            version: version.join(" at "),
            field: field.clone(),
            reason: found.to_string(),
        }))
    }

    /// The object that is to be written; null where there is none yet.
    async fn present(self) -> Result<Value, Refusal> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.address.uri(&http::Uri::default()).ok_or_else(unseen)?;
        match ask(self.context.probe, request, self.identity).await? {
            (StatusCode::OK, object) => Ok(object),
            (StatusCode::NOT_FOUND, _) => Ok(Value::Null),
            _ => Err(unseen()),
        }
    }
}

fn asks(needs: &Needs) -> bool {
    FACTS.iter().any(|name| needs.has(name))
}

fn unprocessable(error: &GuardError, field: &str) -> Refused {
    let refusal = Refusal::new(RefusalKind::Invalid, error.to_string());
    Refused::Unprocessable(Box::new(refusal), field.to_owned())
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

/// A refusal of what is no object: in the words of the API server, by which clients may know it, of what is its own.
fn unrecognized(error: &ObjectError, resource: &Resource) -> Refusal {
    let mut refusal = invalid(error);
    if let Some(kind) = kinds::of(resource) {
        let why = refusal.reason;
        refusal.reason = format!("the object provided is unrecognized (must be of type {kind}): {why}");
    }
    refusal
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
