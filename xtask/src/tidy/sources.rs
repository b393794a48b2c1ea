//! Every text file: its length, its first line, words that must not stay, sleeps in tests.

use super::allow::{Allowed, Check};
use super::{File, Problems};

/// Where a reader stops and looks for the seam.
const MAX_LINES: usize = 400;

/// What says that something is not finished; in halves, so that this file does not hold them.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
];

/// What git leaves in a file that was merged by half, at the start of a line.
const CONFLICT: [&str; 2] = [concat!("<<<<", "<<< "), concat!(">>>>", ">>> ")];

pub(super) fn check(files: &[File], allowed: &[Allowed]) -> Problems {
    let mut problems = Problems::new();
    for file in files {
        problems.extend(words(file));
        if file.path.ends_with(".rs") {
            problems.extend(first_line(file));
        }
    }
    for (check, violates) in [(Check::Length, length as fn(&File) -> Problems), (Check::Sleep, sleeps)] {
        let excepted = |path: &str| allowed.iter().any(|it| it.check == check && it.path == path);
        problems.extend(files.iter().filter(|file| !excepted(&file.path)).flat_map(violates));
        let needed = |path: &str| files.iter().any(|it| it.path == path && !violates(it).is_empty());
        let stale = allowed.iter().filter(|it| it.check == check && !needed(it.path));
        problems
            .extend(stale.map(|it| format!("{}: no exception needed: {check:?}, {}", it.path, it.reason)));
    }
    problems
}

fn words(file: &File) -> Problems {
    let mut problems = Problems::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let unfinished = UNFINISHED.iter().filter(|word| line.contains(**word));
        problems.extend(unfinished.map(|word| format!("{}:{number}: {word}", file.path)));
        if CONFLICT.iter().any(|marker| line.starts_with(marker)) {
            problems.push(format!("{}:{number}: a conflict marker", file.path));
        }
    }
    problems
}

fn first_line(file: &File) -> Problems {
    if file.text.starts_with("//! ") {
        return Problems::new();
    }
    vec![format!("{}: the first line says what the file is for: `//! ...`", file.path)]
}

fn length(file: &File) -> Problems {
    let lines = file.text.lines().count();
    if !file.path.ends_with(".rs") || lines <= MAX_LINES {
        return Problems::new();
    }
    vec![format!("{}: {lines} lines, more than {MAX_LINES}: find the seam", file.path)]
}

/// Sleeps in the code of tests: files below a `tests` or `benches` folder or in the test kit, and elsewhere the
/// module of tests at the end of a file.
fn sleeps(file: &File) -> Problems {
    if !file.path.ends_with(".rs") {
        return Problems::new();
    }
    let mut in_test = file.path.starts_with("crates/testkit/")
        || file.path.split('/').any(|part| ["tests", "tests.rs", "benches"].contains(&part));
    let mut problems = Problems::new();
    let mut previous = "";
    for (number, line) in (1..).zip(file.text.lines()) {
        in_test |= previous == "#[cfg(test)]" && line.starts_with("mod ") && line.ends_with('{');
        previous = line;
        let code = line.split("//").next().unwrap_or_default();
        if in_test && ["sleep(", "sleep_until(", "sleep_ms("].iter().any(|call| code.contains(call)) {
            problems.push(format!("{}:{number}: a test waits on a condition, it does not sleep", file.path));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::allow::{Allowed, Check};
    use super::super::file;
    use super::{CONFLICT, UNFINISHED, check};

    const SLEEP: &str = concat!("    std::thread::sl", "eep(second);\n");

    fn problems(path: &str, text: &str) -> Vec<String> {
        check(&[file(path, text)], &[])
    }

    fn finds(path: &str, text: &str, problem: &str) {
        let found = problems(path, text);
        assert!(found.iter().any(|it| it.contains(problem)), "{found:?}");
    }

    #[test]
    fn a_good_file_passes() {
        assert_eq!(problems("crates/git/src/lib.rs", "//! Git.\n\nfn f() {}\n"), [""; 0]);
        assert_eq!(problems("README.md", "Read me\n=======\n"), [""; 0]);
    }

    #[test]
    fn what_is_unfinished_is_found() {
        for word in UNFINISHED {
            finds("a.rs", &format!("//! A.\n// {word} later"), &format!("a.rs:2: {word}"));
            finds("a.md", word, word);
        }
    }

    #[test]
    fn half_a_merge_is_found() {
        for marker in CONFLICT {
            finds("a.yml", &format!("a: 1\n{marker}main\n"), "a.yml:2: a conflict marker");
        }
    }

    #[test]
    fn a_file_without_a_doc_is_found() {
        finds("crates/git/src/parse.rs", "use std::fmt;\n", "the first line says");
        finds("crates/git/src/parse.rs", "", "the first line says");
        finds("crates/git/src/parse.rs", "//!\n", "the first line says");
    }

    #[test]
    fn a_long_file_is_found() {
        let lines = |count: usize| format!("//! A.\n{}", "\n".repeat(count - 1));
        assert_eq!(problems("a.rs", &lines(400)), [""; 0]);
        finds("a.rs", &lines(401), "a.rs: 401 lines");
    }

    #[test]
    fn a_sleep_in_a_test_is_found() {
        let message = "it does not sleep";
        finds("crates/git/tests/push.rs", &format!("//! A.\n{SLEEP}"), message);
        finds("crates/git/src/parse/tests.rs", &format!("//! A.\n{SLEEP}"), message);
        finds("crates/testkit/src/git.rs", &format!("//! A.\n{SLEEP}"), message);
        finds("crates/git/src/lib.rs", &format!("//! A.\n#[cfg(test)]\nmod tests {{\n{SLEEP}}}"), message);
        assert_eq!(problems("crates/git/src/lib.rs", &format!("//! A.\n{SLEEP}")), [""; 0]);
        let elsewhere = format!("//! A.\n#[cfg(test)]\nmod tests;\nfn wait() {{\n{SLEEP}}}");
        assert_eq!(problems("crates/git/src/lib.rs", &elsewhere), [""; 0]);
        assert_eq!(problems("crates/git/tests/push.rs", &format!("//! A.\n//{SLEEP}")), [""; 0]);
    }

    #[test]
    fn an_exception_holds_for_its_file_and_must_be_needed() {
        let exception = || [Allowed { check: Check::Sleep, path: "crates/a/tests/b.rs", reason: "a clock" }];
        let sleeping = format!("//! A.\n{SLEEP}");
        assert_eq!(check(&[file("crates/a/tests/b.rs", &sleeping)], &exception()), [""; 0]);
        assert_eq!(check(&[file("crates/a/tests/c.rs", &sleeping)], &exception()).len(), 2);
        let found = check(&[file("crates/a/tests/b.rs", "//! A.\n")], &exception());
        assert_eq!(found, ["crates/a/tests/b.rs: no exception needed: Sleep, a clock"]);
    }
}
