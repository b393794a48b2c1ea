//! What LFS requests ask for, as accesses.

use lockgate_core::access::{Access, Attributes};

use super::{oid::LfsOid, parse::Object, route::Transfer};
use crate::{
    SCHEMA,
    classify::{self, content},
    facts::{Facts, Found, Wanted},
};

/// To see or get objects or locks.
pub(super) fn fetch(repository: &str) -> Access {
    let access = classify::fetch(repository);
    Access { attributes: access.attributes.with("lfs", true), ..access }
}

/// To download one object.
pub(super) fn download(repository: &str, oid: LfsOid) -> Access {
    Access { binding: binding(Transfer::Download, oid), ..fetch(repository) }
}

/// To be told where one object would be uploaded; its content is judged when it comes.
pub(super) fn offer(repository: &str, wanted: Wanted, object: &Object) -> Access {
    upload(repository, wanted, object, Vec::new())
}

/// To upload one object, in which these secrets were found. It brings neither commits nor paths.
pub(super) fn upload(repository: &str, wanted: Wanted, object: &Object, findings: Vec<Found>) -> Access {
    let facts = Facts { largest: object.size, findings, ..Facts::default() };
    change(repository, wanted, &facts, binding(Transfer::Upload, object.oid))
}

/// To say that an object was uploaded.
pub(super) fn verify(repository: &str, wanted: Wanted, object: &Object) -> Access {
    Access { binding: binding(Transfer::Verify, object.oid), ..offer(repository, wanted, object) }
}

/// To lock or unlock something.
pub(super) fn lock(repository: &str, wanted: Wanted, binding: String) -> Access {
    change(repository, wanted, &Facts::default(), binding)
}

fn change(repository: &str, wanted: Wanted, facts: &Facts, binding: String) -> Access {
    let attributes = Attributes::new().with("repository", repository).with("lfs", true);
    Access {
        protocol: SCHEMA.protocol,
        action: classify::PUSH,
        resource: repository.to_owned(),
        attributes: content::add(attributes, wanted, facts),
        binding,
    }
}

/// The object's name is the digest of its content.
fn binding(transfer: Transfer, oid: LfsOid) -> String {
    format!("lfs {} {oid}", transfer.word())
}
