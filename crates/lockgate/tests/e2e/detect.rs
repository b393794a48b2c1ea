//! `lockgate detect`, as a person and a script use it.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result};

const ID: &str = concat!("AK", "IAZ7Q3XBVN5TWMPK2R");

fn run(arguments: &[&str], input: &str) -> Result<Output> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .arg("detect")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn tells_where_a_secret_is_and_never_the_secret() -> Result<()> {
    let found = run(&["-"], &format!("one\nid = {ID}\n"))?;
    let (stdout, stderr) = texts(&found);
    assert_eq!(found.status.code(), Some(1), "{stdout}{stderr}");
    assert!(
        stdout.starts_with("standard input: line 2, byte 9: aws-access-key-id of 20 bytes, tag "),
        "{stdout}"
    );
    assert!(!stdout.contains(ID));
    let json: serde_json::Value = serde_json::from_slice(&run(&["--json", "-"], ID)?.stdout)?;
    assert_eq!((&json[0]["rule"], &json[0]["line"]), (&"aws-access-key-id".into(), &1.into()), "{json}");
    let nothing = run(&["--json", "-"], "nothing here")?;
    assert_eq!((nothing.status.code(), texts(&nothing).0.as_str()), (Some(0), "[]\n"));
    Ok(())
}

#[test]
fn masks_what_comes_by_a_pipe() -> Result<()> {
    let masked = run(&["--mask", "-"], &format!("id = {ID} and more"))?;
    let (stdout, _) = texts(&masked);
    assert_eq!(masked.status.code(), Some(0));
    assert!(
        stdout.starts_with("id = [MASKED:aws-access-key-id:") && stdout.ends_with("] and more"),
        "{stdout}"
    );
    Ok(())
}

#[test]
fn says_what_can_not_be_looked_at_and_looks_at_the_rest() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("a"), [&b"\0\xff\x80 "[..], ID.as_bytes()].concat())?;
    let output = run(&[&path("missing"), &path(""), &path("a")], "")?;
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{stdout}{stderr}");
    assert!(stdout.contains("line 1, byte 4: aws-access-key-id"), "{stdout}");
    assert!(stderr.contains("cannot read") && stderr.contains("is a directory; try: find "), "{stderr}");
    std::fs::write(path("rules"), "[[rule]]\nid = 'x'\npattern = '('\n")?;
    let output = run(&["--rules", &path("rules"), "-"], "")?;
    assert!(texts(&output).1.contains("line 3, column 11"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
    Ok(())
}
