//! What Debian does not bring of registries' clients: crane, oras and regctl, and the conformance suite, in the versions
//! that `crates/testkit/images/go.mod` pins; and oras's Python library, for which the test kit has a driver.

use std::path::PathBuf;

use anyhow::Result;

use super::{clients, go, part::Part};

/// Builds what is missing below the target directory, where the test kit finds it.
pub(super) fn install() -> Result<()> {
    clients::python(&Part::new("images/python", "image-clients-python"))?;
    programs().map(drop)
}

/// The path of OCI's conformance suite of registries.
pub(super) fn suite() -> Result<PathBuf> {
    Ok(programs()?.join("conformance"))
}

/// The folder of what is built from the module.
fn programs() -> Result<PathBuf> {
    let part = Part::new("images", "image-clients");
    part.install(&["go.mod", "go.sum"], "", || {
        println!("building crane, oras, regctl and the conformance suite of registries (once)");
        go::build(&part, "-s -w", &["tool"])
    })?;
    Ok(part.place)
}
