//! `lockgate demo`, as a newcomer runs it.

use anyhow::Result;
use lockgate_testkit::Lockgate;

#[test]
fn the_demo_tells_its_whole_story() -> Result<()> {
    let gate = Lockgate::prepare(env!("CARGO_BIN_EXE_lockgate"))?;
    let said = gate.run(&["demo", "--yes", "--exit"])?;
    let story = said.stdout.clone() + &said.stderr;
    assert!(said.status.success(), "{story}");
    let mut rest = story.as_str();
    for part in ["git clone", "git push", "remote:", "approve", "remote rejected", "replay", "verify"] {
        let at = rest.find(part);
        assert!(at.is_some(), "{part} in what is left of the story: {rest}");
        rest = &rest[at.unwrap_or_default()..];
    }
    Ok(())
}
