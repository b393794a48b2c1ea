//! What the reports share: medians, goals, and the machine they were measured on.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result};

/// A figure, and what it is to be.
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) found: f64,
    pub(crate) wanted: Wanted,
}

#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    /// A figure that is not a number has missed.
    fn is_met(&self) -> bool {
        match self.wanted {
            Wanted::AtMost(limit) => self.found <= limit,
            Wanted::AtLeast(limit) => self.found >= limit,
        }
    }
}

/// All of them, beginning with another one each round: what goes first finds the machine as the round before left it.
pub(crate) fn in_turn<T: Copy>(all: &[T], round: usize) -> impl Iterator<Item = T> {
    all.iter().copied().cycle().skip(round % all.len()).take(all.len())
}

/// How many goals are missed.
pub(crate) fn missed(goals: &[Goal]) -> usize {
    goals.iter().filter(|goal| !goal.is_met()).count()
}

/// Goals as a table.
pub(crate) struct Goals<'a>(pub(crate) &'a [Goal]);

impl fmt::Display for Goals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| goal | found | wanted | |\n|---|---|---|---|")?;
        for goal in self.0 {
            let wanted = match goal.wanted {
                Wanted::AtMost(limit) => format!("at most {limit:.2}"),
                Wanted::AtLeast(limit) => format!("at least {limit:.2}"),
            };
            let met = if goal.is_met() { "met" } else { "**missed**" };
            writeln!(f, "| {} | {:.2} | {wanted} | {met} |", goal.what, goal.found)?;
        }
        Ok(())
    }
}

/// What stands where there is nothing to say.
pub(crate) const NONE: &str = "–";

/// The median, with the least and the greatest where there are more than one.
pub(crate) fn cell(sorted: &[f64]) -> String {
    match sorted {
        [] | [.., 0.0] => NONE.into(),
        [only] => format!("{only:.2}"),
        [first, .., last] => format!("{:.2} ({first:.2}–{last:.2})", middle(sorted)),
    }
}

/// The median; not a number when there is none.
pub(crate) fn middle(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => (sorted[even / 2 - 1] + sorted[even / 2]) / 2.0,
    }
}

/// The values in order.
pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Date, processor, memory, system and versions.
pub(crate) fn machine() -> Result<String> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("unknown".into(), |value| value.trim_start_matches([':', ' ', '\t']).trim().to_owned())
    };
    let processor = field(&read("/proc/cpuinfo")?, "model name");
    let memory: u64 = field(&read("/proc/meminfo")?, "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let nginx = said(Command::new(lockgate_testkit::program("nginx")?).arg("-v"))?;
    Ok(format!(
        "{}: {} cores of {processor}, {} GB, Linux {}, {}, nginx {}",
        said(Command::new("date").args(["--utc", "+%Y-%m-%d"]))?,
        std::thread::available_parallelism()?,
        memory / 1_000_000,
        read("/proc/sys/kernel/osrelease")?.trim(),
        said(Command::new("git").arg("--version"))?,
        nginx.rsplit('/').next().unwrap_or("unknown"),
    ))
}

/// The first line that a program says.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Goal, Wanted, cell, middle};

    #[test]
    fn medians() {
        assert_eq!(middle(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(middle(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert!(middle(&[]).is_nan());
        assert_eq!(cell(&[1.0, 2.0, 9.0]), "2.00 (1.00–9.00)");
        assert_eq!(cell(&[0.0, 0.0]), "–");
    }

    #[test]
    fn a_goal_without_a_figure_is_missed() {
        let met = |found, wanted| Goal { what: String::new(), found, wanted }.is_met();
        assert!(met(1.1, Wanted::AtMost(1.1)) && met(1.1, Wanted::AtLeast(1.1)));
        assert!(!met(1.2, Wanted::AtMost(1.1)) && !met(1.0, Wanted::AtLeast(1.1)));
        assert!(!met(f64::NAN, Wanted::AtMost(1.1)) && !met(f64::NAN, Wanted::AtLeast(1.1)));
    }
}
