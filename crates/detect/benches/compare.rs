//! This crate beside other tools on the same inputs in one run, in megabytes per CPU second. Tools that are
//! not installed are left out; each one's own rules are used, and ripgrep searches for this crate's patterns.
//! `cargo bench -p lockgate-detect --bench compare`.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::path::Path;
use std::process::Command;

use lockgate_detect::{Discard, KnownValues, MaskOptions, Masker, RuleSet, TagKey};

#[path = "support/inputs.rs"]
mod inputs;

/// The slow tools see this much of each input.
const SLICE: usize = 2 << 20;

fn main() {
    let folder = std::env::temp_dir().join(format!("lockgate-compare-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let rules = RuleSet::builtin();
    rules.prepare();
    let patterns: Vec<&str> = rules.iter().map(|rule| rule.pattern()).collect();
    std::fs::write(
        folder.join("patterns"),
        patterns.join("\n").replace("(?P<secret>", "(?:").replace("\\'", "'").replace("\\\"", "\""),
    )
    .expect("the temporary folder can be written");
    println!("{:<14} {:>10} {:>10} {:>10} {:>14}", "", "lockgate", "gitleaks", "ripgrep", "detect-secrets");
    for (name, text) in inputs::all() {
        let file = folder.join(name.replace(' ', "-"));
        std::fs::create_dir_all(&file).expect("the temporary folder can be written");
        let file = file.join("input.txt");
        std::fs::write(&file, &text[..SLICE]).expect("the temporary folder can be written");
        let set = if name.contains("JSON") { rules.structured() } else { rules.clone() };
        print!("{name:<14} {:>10.0}", ours(&text, &set));
        print!(" {:>10}", tool(&["gitleaks", "dir", "--no-banner", "--exit-code", "0"], file.parent()));
        let list = folder.join("patterns");
        let list = list.to_string_lossy();
        print!(
            " {:>10}",
            tool(
                &[
                    "rg",
                    "--no-unicode",
                    "--text",
                    "--count-matches",
                    "--regex-size-limit",
                    "2G",
                    "--dfa-size-limit",
                    "2G",
                    "-f",
                    &list
                ],
                Some(&file)
            )
        );
        println!(" {:>14}", tool(&["detect-secrets", "scan", "--all-files"], file.parent()));
    }
    let _ = std::fs::remove_dir_all(&folder);
}

fn ours(text: &[u8], rules: &RuleSet) -> f64 {
    let once = || {
        let mut masker =
            Masker::new(rules, &KnownValues::new(), &TagKey::new(b"key"), MaskOptions::default());
        let before = cpu();
        for piece in text.chunks(16 << 10) {
            masker.push(piece, &mut Discard);
        }
        masker.finish(&mut Discard);
        text.len() as f64 / 1e6 / (cpu() - before)
    };
    (0..3).map(|_| once()).fold(0.0, f64::max)
}

/// A tool's rate, without the time it takes on an empty folder.
fn tool(command: &[&str], input: Option<&Path>) -> String {
    let Some(input) = input else { return "-".into() };
    let empty = std::env::temp_dir().join(format!("lockgate-empty-{}", std::process::id()));
    let nothing =
        std::fs::create_dir_all(&empty).and_then(|()| std::fs::write(empty.join("nothing.txt"), "\n"));
    if nothing.is_err() {
        return "-".into();
    }
    match (seconds(command, &empty), seconds(command, input)) {
        // A smaller difference is the noise of two starts, not a scan.
        (Some(idle), Some(busy)) if busy > idle + 0.1 => format!("{:.2}", SLICE as f64 / 1e6 / (busy - idle)),
        _ => "-".into(),
    }
}

/// User and system time of a command; none if it is missing or fails, since a tool that refuses its input
/// would look like the fastest. The input is named relative to where the tool runs: detect-secrets passes
/// over anything else.
fn seconds(command: &[&str], input: &Path) -> Option<f64> {
    let script = "command -v \"$1\" >/dev/null || exit 127; TIMEFORMAT='%U %S'; time timeout 60 \"$@\" >/dev/null 2>/dev/null";
    let output = Command::new("bash")
        .args(["-c", script, "bash"])
        .args(command)
        .arg(input.file_name()?)
        .current_dir(input.parent()?)
        .output()
        .ok()?;
    // ripgrep says 1 for no match.
    if !matches!(output.status.code(), Some(0 | 1)) {
        return None;
    }
    let text = String::from_utf8(output.stderr).ok()?;
    text.split_whitespace().map(|part| part.parse::<f64>().ok()).sum()
}

/// CPU seconds of this thread.
fn cpu() -> f64 {
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells the time a thread ran");
    text.split(' ')
        .next()
        .and_then(|nanos| nanos.parse::<f64>().ok())
        .expect("its first field is nanoseconds")
        / 1e9
}
