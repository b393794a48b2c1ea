//! Regular expressions over text that people write, such as commit messages.
//!
//! The syntax is that of the crate regex, without Unicode: `.` is one byte, `\w`, `\b` and `(?i)` know
//! ASCII. A pattern is searched for: it matches where it is found anywhere in the text. `^` and `$` are the
//! text's beginning and end, and within `(?m)` a line's. There are no look-arounds and no back-references,
//! so matching takes time linear in the text, whatever the pattern.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;
/// Bytes that a compiled pattern may take, and those of its cache while it searches.
const MAX_COMPILED: usize = 256 << 10;
/// The deepest nesting of a pattern.
const MAX_DEPTH: u32 = 32;

/// A list of regular expressions of which one must be found. Never empty.
#[derive(Debug)]
pub(super) struct Patterns(Vec<Regex>);

impl Patterns {
    /// Compiles a list.
    ///
    /// # Errors
    /// The index of the pattern that is wrong, and why.
    pub(super) fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, (usize, String)> {
        let compiled = patterns
            .into_iter()
            .enumerate()
            .map(|(index, pattern)| compile(pattern).map_err(|why| (index, why)));
        compiled.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|regex| regex.is_match(text.as_bytes()))
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<String> = self.0.iter().map(|regex| format!("/{regex}/")).collect();
        f.write_str(&patterns.join(" or "))
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("a regular expression has at most {MAX_PATTERN} bytes"));
    }
    let mut builder = RegexBuilder::new(pattern);
    builder.unicode(false).nest_limit(MAX_DEPTH).size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED);
    builder.build().map_err(|error| {
        if let regex::Error::CompiledTooBig(_) = error {
            return "this regular expression is too large when compiled".to_owned();
        }
        // What is wrong stands in the last line, below the pattern and a caret.
        let text = error.to_string();
        let line = text.lines().last().unwrap_or_default();
        format!("not a regular expression: {}", line.trim_start_matches("error: "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_searched_for() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            let patterns = Patterns::new([pattern]).unwrap();
            for text in yes {
                assert!(patterns.matches(text), "{pattern} should match {text:?}");
            }
            for text in no {
                assert!(!patterns.matches(text), "{pattern} should not match {text:?}");
            }
        };
        check("APP-[0-9]+", &["APP-1", "fix APP-12 at last", "a\nb APP-1"], &["app-1", "APP-x"]);
        check("^APP-", &["APP-1"], &["fix APP-1", "fix\nAPP-1"]);
        check("(?m)^Signed-off-by: .+@", &["x\n\nSigned-off-by: a <a@b>\n"], &["x Signed-off-by: a@b"]);
        check("^x$", &["x"], &["x\n", "\nx"]);
        check("(?i)wip", &["WIP: x"], &["w i p"]);
        check("a.b", &["a b"], &["a\nb"]);
        check("naïve", &["so naïve"], &["naive"]);
        check(r"\bfoo\b", &["a foo."], &["food"]);
        check("", &["", "x"], &[]);
    }

    #[test]
    fn what_cannot_be_compiled_is_refused() {
        let why = |pattern: &str| Patterns::new(["fine", pattern]).unwrap_err().1;
        insta::assert_snapshot!(why("(a"), @"not a regular expression: unclosed group");
        insta::assert_snapshot!(why("a**{"), @"not a regular expression: unclosed counted repetition");
        insta::assert_snapshot!(why("a(?=b)"), @"not a regular expression: look-around, including look-ahead and look-behind, is not supported");
        insta::assert_snapshot!(why(r"(a)\1"), @"not a regular expression: backreferences are not supported");
        insta::assert_snapshot!(why(r"\p{Greek}"), @"not a regular expression: Unicode not allowed here");
        insta::assert_snapshot!(why(&"(".repeat(500)), @"not a regular expression: unclosed group");
        insta::assert_snapshot!(why(&format!("{}a{}", "(".repeat(100), ")".repeat(100))), @"not a regular expression: exceed the maximum number of nested parentheses/brackets (32)");
        insta::assert_snapshot!(why("((a{1000}){1000}){1000}"), @"this regular expression is too large when compiled");
        insta::assert_snapshot!(why(&"x".repeat(1025)), @"a regular expression has at most 1024 bytes");
    }

    /// What takes a backtracking matcher the age of the universe.
    #[test]
    fn nested_quantifiers_take_linear_time() {
        let patterns = Patterns::new(["^(a+)+$", "(a|aa)+b", "(.*)*x"]).unwrap();
        assert!(!patterns.matches(&format!("{}!", "a".repeat(1_000_000))));
    }
}
