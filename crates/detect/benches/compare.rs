//! This crate beside other tools on the same inputs in one run, in megabytes per CPU second. Tools that are
//! not installed are left out; each one's own rules are used, and ripgrep searches for this crate's patterns.
//! `cargo bench -p lockgate-detect --bench compare`.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::path::Path;
use std::process::Command;

use lockgate_detect::{Discard, KnownValues, MaskOptions, Masker, RuleSet, TagKey};

#[path = "support/clock.rs"]
mod clock;
#[path = "support/inputs.rs"]
mod inputs;

/// Another tool: its command, to which the input is added, and how much of each input it is shown; the slow
/// ones, less.
struct Tool {
    command: Vec<String>,
    size: usize,
}

impl Tool {
    fn new(command: &[&str], size: usize) -> Self {
        Self { command: command.iter().map(|&word| word.to_owned()).collect(), size }
    }
}

fn main() {
    let folder = std::env::temp_dir().join(format!("lockgate-compare-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let rules = RuleSet::builtin();
    rules.prepare();
    let patterns: Vec<_> = rules.iter().map(|rule| for_ripgrep(rule.pattern())).collect();
    let list = folder.join("patterns");
    std::fs::write(&list, patterns.join("\n")).expect("the temporary folder can be written");
    let limits = ["--regex-size-limit", "2G", "--dfa-size-limit", "2G"];
    let ripgrep = ["rg", "--no-unicode", "--multiline", "--text", "--count-matches"];
    let list = ["-f", list.to_str().expect("the temporary folder's name is UTF-8")];
    let tools = [
        Tool::new(&["gitleaks", "dir", "--no-banner", "--exit-code", "0"], 2 << 20),
        Tool::new(&[&ripgrep[..], &limits, &list].concat(), 2 << 20),
        Tool::new(&["detect-secrets", "scan", "--all-files"], 256 << 10),
    ];
    println!("{:<14} {:>14} {:>14} {:>14} {:>14}", "", "lockgate", "gitleaks", "ripgrep", "detect-secrets");
    for (name, text) in inputs::all() {
        let set = if name.contains("JSON") { rules.structured() } else { rules.clone() };
        print!("{name:<14} {:>14.0}", ours(&text, &set));
        for tool in &tools {
            let file = folder.join("input.txt");
            std::fs::write(&file, &text[..tool.size]).expect("the temporary folder can be written");
            print!(" {:>14}", rate(tool, &file));
        }
        println!();
    }
    let _ = std::fs::remove_dir_all(&folder);
}

/// A rule's pattern in the dialect of an older ripgrep, which knows no escaped quotes.
fn for_ripgrep(pattern: &str) -> String {
    let (mut out, mut rest) = (String::new(), pattern.chars());
    while let Some(c) = rest.next() {
        match (c, rest.as_str().chars().next()) {
            ('\\', Some('\'' | '"')) => {}
            ('\\', Some(_)) => out.extend([Some(c), rest.next()].into_iter().flatten()),
            _ => out.push(c),
        }
    }
    out.replace("(?P<secret>", "(?:")
}

fn ours(text: &[u8], rules: &RuleSet) -> f64 {
    let once = || {
        let mut masker =
            Masker::new(rules, &KnownValues::new(), &TagKey::new(b"key"), MaskOptions::default());
        let before = clock::cpu();
        for piece in text.chunks(16 << 10) {
            masker.push(piece, &mut Discard);
        }
        masker.finish(&mut Discard);
        text.len() as f64 / 1e6 / (clock::cpu() - before)
    };
    (0..3).map(|_| once()).fold(0.0, f64::max)
}

/// A tool's rate, without the time that it takes on an empty file.
fn rate(tool: &Tool, input: &Path) -> String {
    let empty = input.with_file_name("empty.txt");
    std::fs::write(&empty, "\n").expect("the temporary folder can be written");
    match (seconds(&tool.command, &empty), seconds(&tool.command, input)) {
        (Ok(idle), Ok(busy)) if busy > idle => format!("{:.2}", tool.size as f64 / 1e6 / (busy - idle)),
        (Ok(_), Ok(_)) => "too fast".into(),
        (Err(why), _) | (_, Err(why)) => why.into(),
    }
}

/// User and system time of a command, or why there is none: a tool that refuses its input would look like the
/// fastest. The input is named relative to where the tool runs: detect-secrets passes over anything else.
fn seconds(command: &[String], input: &Path) -> Result<f64, &'static str> {
    let script = "command -v \"$1\" >/dev/null || exit 127; TIMEFORMAT='%U %S'; time timeout 60 \"$@\" >/dev/null 2>/dev/null";
    let (folder, name) = input.parent().zip(input.file_name()).ok_or("no input")?;
    let output = Command::new("bash")
        .args(["-c", script, "bash"])
        .args(command)
        .arg(name)
        .current_dir(folder)
        .output()
        .map_err(|_| "no bash")?;
    match output.status.code() {
        // ripgrep says 1 for no match.
        Some(0 | 1) => {}
        Some(124) => return Err("over a minute"),
        Some(127) => return Err("missing"),
        _ => return Err("failed"),
    }
    let text = String::from_utf8(output.stderr).map_err(|_| "failed")?;
    let parts = text.split_whitespace().map(|part| part.parse::<f64>());
    parts.sum::<Result<f64, _>>().map_err(|_| "failed")
}
