//! Wire to access: what a request asks for, in the words of policies. Pure: no I/O, no state.
//!
//! Images are pulled and pushed by their manifests (`pull`, `push`): that is where a policy says what may be. Their
//! blobs come and go by themselves (`pull-blob`, `push-blob`), with no tag and no meaning but their digest. A push of
//! one manifest by several tags is one access each.

use lockgate_core::access::{Access, Action, Attribute, Attributes, Matcher, Schema};

use crate::parse::{
    name::{Digest, Reference},
    route::Endpoint,
};

/// Reads a manifest, by tag or digest.
pub const PULL: &str = "pull";
/// Writes a manifest.
pub const PUSH: &str = "push";
/// Reads a blob.
pub const PULL_BLOB: &str = "pull-blob";
/// Writes a blob, or a part of one.
pub const PUSH_BLOB: &str = "push-blob";
/// Lists tags, referrers or repositories.
pub const LIST: &str = "list";
/// Deletes a manifest, a tag or a blob.
pub const DELETE: &str = "delete";

/// The actions that carry content.
const CARRY: &[&str] = &[PULL, PUSH];

/// What policies may say of registries.
pub static SCHEMA: Schema = Schema {
    protocol: "oci",
    actions: &[
        // All content is verified by its hash: nothing of an answer can be masked.
        action(PULL, false),
        action(PUSH, true),
        action(PULL_BLOB, false),
        action(PUSH_BLOB, true),
        action(LIST, false),
        action(DELETE, true),
    ],
    attributes: &[
        Attribute::glob(
            "repository",
            "repositories",
            "the repository's name on the upstream; absent for the list of all",
        ),
        Attribute::glob("tag", "tags", "the tag; absent where it is a digest").only(&[PULL, PUSH, DELETE]),
        Attribute::glob(
            "digest",
            "digests",
            "the digest, e.g. sha256:e3b0...; of a push, that of what is pushed",
        ),
        Attribute::new(
            "kind",
            "kinds",
            Matcher::Choice(&["manifest", "tag", "blob", "tags", "referrers", "catalog"]),
            "what it is about; a manifest that is named by its digest is `manifest`, else `tag`",
        ),
        Attribute::new(
            "change",
            "changes",
            Matcher::Choice(&["create", "update", "same"]),
            "what a push by a tag does to it: update where it stands for something else",
        )
        .only(&[PUSH]),
        Attribute::glob("media_type", "media_types", "of a manifest that is pushed: what it says to be")
            .only(&[PUSH]),
        Attribute::glob(
            "artifact_type",
            "artifact_types",
            "the kind of artifact: of a manifest, or of referrers that are listed",
        )
        .only(&[PUSH, LIST]),
        Attribute::glob("subject", "subjects", "of a manifest: the digest of what it is attached to")
            .only(CARRY),
        Attribute::glob("base", "bases", "of an image: what it says to be built on, by name and digest")
            .only(CARRY),
        vouches(
            "built_on",
            "of an image: the bases that the configuration names, with whose layers it begins; of \
             an index, those with which all of its images do",
        )
        .only(CARRY),
        Attribute::glob("platform", "platforms", "of an image: `linux/amd64`; of an index, all of them")
            .only(CARRY),
        Attribute::glob("user", "users", "of an image: as whom it runs; empty where that is not said")
            .only(CARRY),
        Attribute::flag(
            "root",
            "roots",
            "whether an image runs as root, or as nobody says whom; of an index, any of its images",
        )
        .only(CARRY),
        Attribute::glob("env", "envs", "of an image: its environment, `NAME=value`").only(CARRY),
        Attribute::new(
            "entrypoint",
            "entrypoints",
            Matcher::Regex,
            "of an image: the words of what it runs, with spaces between",
        )
        .only(CARRY),
        Attribute::glob("label", "labels", "of an image: its labels, `name=value`").only(CARRY),
        number("layers", "of an image: how many layers").only(CARRY),
        size("size", "sizes", "of an image: the bytes of all its blobs, as they are stored").only(CARRY),
        size("layer_size", "layer_sizes", "of an image: the bytes of its largest layer, as it is stored")
            .only(CARRY),
        Attribute::flag("foreign", "foreigns", "whether a layer of an image is to be had elsewhere")
            .only(CARRY),
        Attribute::flag(
            "documents",
            "documents",
            "whether there are only documents in it, such as signatures: nothing that could run",
        )
        .only(CARRY),
        Attribute::flag(
            "signed",
            "signed",
            "whether a signature is attached to an image, by cosign or notation; it need not be good",
        )
        .only(CARRY),
        vouches(
            "signed_by",
            "of an image: the keys and authorities that the configuration names, whose signatures \
             by cosign or notation were verified",
        )
        .only(CARRY),
        vouches(
            "signer",
            "of an image: who signed it by cosign without a key of their own, verified by \
             certificate and log: the issuer who vouched for them, a space, and their address or \
             URI",
        )
        .only(CARRY),
        Attribute::new(
            "finding",
            "findings",
            Matcher::Finding,
            "of what is pushed: secrets in it; of a manifest, in all that it stands for",
        )
        .only(&[PUSH, PUSH_BLOB]),
    ],
    masks: &[],
};

const fn action(name: &'static str, mutates: bool) -> Action {
    Action { name, mutates, maskable: false, parts: None }
}

const fn vouches(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, name, Matcher::Vouches, doc)
}

const fn number(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, name, Matcher::Number, doc)
}

const fn size(name: &'static str, plural: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, plural, Matcher::Size, doc)
}

/// The attributes that only content says; all but those of the address.
pub(crate) fn of_content() -> Vec<&'static str> {
    const OF_ADDRESS: [&str; 3] = ["repository", "tag", "kind"];
    SCHEMA.attributes.iter().map(|of| of.name).filter(|name| !OF_ADDRESS.contains(name)).collect()
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Pull,
    Push,
    List,
    Delete,
}

/// An access by the address alone: what is known of content is added.
pub(crate) fn access(verb: Verb, endpoint: &Endpoint) -> Access {
    let (action, kind) = match (verb, endpoint) {
        (Verb::Pull, Endpoint::Blob(..)) => (PULL_BLOB, "blob"),
        (Verb::Pull, _) => (PULL, kind(endpoint)),
        (Verb::Push, Endpoint::Manifest(..)) => (PUSH, kind(endpoint)),
        (Verb::Push, _) => (PUSH_BLOB, "blob"),
        (Verb::List, _) => (LIST, kind(endpoint)),
        (Verb::Delete, _) => (DELETE, kind(endpoint)),
    };
    let mut attributes = Attributes::new().with("kind", kind);
    if let Some(repository) = endpoint.repository() {
        attributes = attributes.with("repository", repository);
    }
    let named = match endpoint {
        Endpoint::Manifest(_, reference) => Some(reference.clone()),
        Endpoint::Blob(_, digest) | Endpoint::Referrers(_, digest) => Some(Reference::Digest(digest.clone())),
        Endpoint::Base
        | Endpoint::Catalog
        | Endpoint::Uploads(_)
        | Endpoint::Upload(..)
        | Endpoint::Tags(_) => None,
    };
    let binding = match &named {
        Some(reference) => format!("{action} {}", reference.as_str()),
        None => format!("{action} {kind}"),
    };
    attributes = match named {
        Some(Reference::Tag(tag)) => attributes.with("tag", tag),
        Some(Reference::Digest(digest)) => attributes.with("digest", digest.as_str()),
        None => attributes,
    };
    let resource = endpoint.repository().unwrap_or("_catalog").to_owned();
    Access { protocol: SCHEMA.protocol, action, resource, attributes, binding }
}

/// The same of a blob that is pushed, once it is known which one it is.
pub(crate) fn blob_access(endpoint: &Endpoint, digest: Option<&Digest>) -> Access {
    let mut access = access(Verb::Push, endpoint);
    if let Some(digest) = digest {
        access.attributes = access.attributes.with("digest", digest.as_str());
        access.binding = format!("{} {digest}", access.action);
    }
    access
}

fn kind(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Manifest(_, Reference::Tag(_)) => "tag",
        Endpoint::Manifest(_, Reference::Digest(_)) => "manifest",
        Endpoint::Blob(..) | Endpoint::Uploads(_) | Endpoint::Upload(..) => "blob",
        Endpoint::Tags(_) => "tags",
        Endpoint::Referrers(..) => "referrers",
        Endpoint::Base | Endpoint::Catalog => "catalog",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn addresses_are_accesses() {
        let check = |verb: Verb, path: &str, expected: &str| {
            let access = access(verb, &Endpoint::parse(path).unwrap());
            let attributes: Vec<_> =
                access.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let text = format!(
                "{} {} [{}] {}",
                access.action,
                access.resource,
                attributes.join(" "),
                access.binding
            );
            assert_eq!(text, expected);
            assert!(SCHEMA.action(access.action).is_some());
            assert!(access.attributes.iter().all(|(name, _)| SCHEMA.attribute(name).is_some()));
        };
        check(Verb::Pull, "/v2/a/b/manifests/v1", "pull a/b [kind=tag repository=a/b tag=v1] pull v1");
        let by_digest = format!("/v2/a/manifests/{HEX}");
        check(
            Verb::Push,
            &by_digest,
            &format!("push a [kind=manifest repository=a digest={HEX}] push {HEX}"),
        );
        let blob = format!("/v2/a/blobs/{HEX}");
        check(
            Verb::Pull,
            &blob,
            &format!("pull-blob a [kind=blob repository=a digest={HEX}] pull-blob {HEX}"),
        );
        check(Verb::Delete, &blob, &format!("delete a [kind=blob repository=a digest={HEX}] delete {HEX}"));
        check(Verb::Push, "/v2/a/blobs/uploads/", "push-blob a [kind=blob repository=a] push-blob blob");
        check(Verb::List, "/v2/a/tags/list", "list a [kind=tags repository=a] list tags");
        check(Verb::List, "/v2/_catalog", "list _catalog [kind=catalog] list catalog");
        check(Verb::Delete, "/v2/a/manifests/v1", "delete a [kind=tag repository=a tag=v1] delete v1");
    }

    #[test]
    fn a_blob_is_named_once_it_is_known() {
        let endpoint = Endpoint::parse("/v2/a/blobs/uploads/1").unwrap();
        let access = blob_access(&endpoint, Digest::parse(HEX).as_ref());
        assert_eq!(access.binding, format!("push-blob {HEX}"));
    }
}
