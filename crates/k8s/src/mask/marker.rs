//! What stands in the place of a value that was masked by its place.

use lockgate_detect::TagKey;

/// How every placeholder begins, of this crate and of the detector.
pub(crate) const START: &str = "[MASKED:";

/// Which object a value is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub uid: String,
    pub namespace: String,
    pub name: String,
}

/// The placeholder of the value at `key` of an object. Its tag says which value it stands for, and nothing about
/// what that is: with a tag of the value, whoever may write (a dry run is enough) could try guesses by comparing.
pub(crate) fn marker(tags: &TagKey, rule: &str, identity: &Identity, key: &str) -> String {
    let Identity { uid, namespace, name } = identity;
    // No part can hold a zero byte but the key, which is the last.
    let place = format!("k8s\0{rule}\0{uid}\0{namespace}\0{name}\0{key}");
    format!("{START}{rule}:{}]", tags.tag(&place, b""))
}
