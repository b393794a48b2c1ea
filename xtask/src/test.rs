//! Every test of the workspace, with one total at the end.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::{cmd, setup};

/// How many tests passed and failed, and whether cargo was content: a test binary that does not compile or
/// that dies has no count.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    passed: u64,
    failed: u64,
    ok: bool,
}

/// Runs the tests and prints the total as the last line; exits non-zero when anything failed.
pub(crate) fn run(args: &[String]) -> Result<()> {
    run_all(args)?.finish()
}

/// Runs the tests, passing cargo's output through, and counts them.
pub(crate) fn run_all(args: &[String]) -> Result<Total> {
    setup::for_tests()?;
    let mut test = cmd::heeding_interrupts(&cmd::cargo(&["test", "--workspace", "--no-fail-fast"]));
    let mut child = test.args(args).stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let mut total = Total::default();
    for line in BufReader::new(child.stdout.take().context("stdout is piped")?).lines() {
        let line = line.context("cannot read the output of cargo test")?;
        println!("{line}");
        total.count(&line);
    }
    total.ok = child.wait()?.success() && total.failed == 0;
    Ok(total)
}

impl Total {
    /// Prints the total, alone on its line and last, and ends the program.
    pub(crate) fn finish(self) -> ! {
        println!("{} passed, {} failed", self.passed, self.failed);
        std::process::exit(i32::from(!self.ok))
    }

    /// Adds up a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
    fn count(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else { return };
        let number = |unit| {
            let before = result.split(';').find_map(|part| part.trim_end().strip_suffix(unit))?;
            before.split_whitespace().next_back()?.parse::<u64>().ok()
        };
        self.passed += number("passed").unwrap_or(0);
        self.failed += number("failed").unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::Total;

    #[test]
    fn results_are_added_up_and_other_lines_are_not() {
        let mut total = Total::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 40 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
            "a test says: 7 passed; 7 failed",
        ] {
            total.count(line);
        }
        assert_eq!(total, Total { passed: 42, failed: 3, ok: false });
    }
}
