//! Globs over names with slashes: refs, repositories, paths, subjects.
//!
//! `?` is one character and `*` any number of them, both within one segment; `**` crosses slashes. As a
//! whole segment `**` also stands for no segment at all (`a/**/b` matches `a/b`), except at the end:
//! `a/**` is everything below `a`, not `a`. A backslash takes the next character as it is. Brackets and
//! braces are refused, so that one who expects them to mean something is told. Case matters.
//!
//! A list becomes one set of literals and one regex: matching takes time linear in the text, whatever
//! the patterns, and does not allocate.

use std::{collections::HashSet, fmt};

use regex::Regex;

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;

/// A list of globs of which one must match. Never empty.
#[derive(Debug)]
pub struct Globs {
    patterns: Vec<String>,
    literals: HashSet<String>,
    rest: Option<Regex>,
    caseless: bool,
}

impl Globs {
    /// Compiles a list.
    ///
    /// # Errors
    /// The index of the pattern that is wrong, and why.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, (usize, String)> {
        let mut globs = Self { patterns: Vec::new(), literals: HashSet::new(), rest: None, caseless: false };
        let mut regex = String::new();
        for (index, pattern) in patterns.into_iter().enumerate() {
            match translate(pattern).map_err(|why| (index, why))? {
                Glob::Literal(text) => drop(globs.literals.insert(text)),
                Glob::Regex(text) => {
                    regex.push_str(if regex.is_empty() { "(?s)^(?:" } else { "|" });
                    regex.push_str(&text);
                }
            }
            globs.patterns.push(pattern.to_owned());
        }
        if !regex.is_empty() {
            regex.push_str(")$");
            globs.rest =
                Some(Regex::new(&regex).map_err(|_| (0, "this list of globs is too large".to_owned()))?);
        }
        Ok(globs)
    }

    /// The same list, of patterns in lower case, for texts in any.
    pub(super) fn caseless(self) -> Self {
        Self { caseless: true, ..self }
    }

    /// Whether one of them matches the whole text.
    pub fn matches(&self, text: &str) -> bool {
        if self.caseless && text.chars().any(char::is_uppercase) {
            return self.holds(&text.to_lowercase());
        }
        self.holds(text)
    }

    fn holds(&self, text: &str) -> bool {
        self.literals.contains(text) || self.rest.as_ref().is_some_and(|rest| rest.is_match(text))
    }

    /// The text that the list matches, where it is one text.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.rest {
            None => self.literals.iter().next().map(String::as_str),
            Some(_) => None,
        }
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.patterns.join(" or "))
    }
}

enum Glob {
    Literal(String),
    Regex(String),
}

fn translate(pattern: &str) -> Result<Glob, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("a glob has at most {MAX_PATTERN} bytes"));
    }
    if pattern.starts_with('!') {
        return Err("a glob cannot be negated by `!`: put the matcher under `not`".to_owned());
    }
    let (mut literal, mut regex, mut special) = (String::new(), String::new(), false);
    let mut rest = pattern;
    while !rest.is_empty() {
        let before = &pattern[..pattern.len() - rest.len()];
        let (token, tail) = token(before, rest)?;
        match token {
            Token::Wild(text) => {
                special = true;
                regex.push_str(text);
            }
            Token::Char(c) => {
                literal.push(c);
                regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
            }
        }
        rest = tail;
    }
    Ok(if special { Glob::Regex(regex) } else { Glob::Literal(literal) })
}

enum Token {
    Wild(&'static str),
    Char(char),
}

/// The first token of what is left of a pattern, and what is left then.
fn token<'a>(before: &str, rest: &'a str) -> Result<(Token, &'a str), String> {
    let segment = before.is_empty() || before.ends_with('/');
    let wild = |regex, length: usize| Ok((Token::Wild(regex), &rest[length..]));
    let mut chars = rest.chars();
    match chars.next() {
        Some('*') if rest.starts_with("***") => Err("`***` means nothing: write `*` or `**`".to_owned()),
        Some('*') if segment && rest.starts_with("**/") => wild("(?:.*/)?", 3),
        Some('*') if segment && rest == "**" && !before.is_empty() => wild(".+", 2),
        Some('*') if rest.starts_with("**") => wild(".*", 2),
        Some('*') => wild("[^/]*", 1),
        Some('?') => wild("[^/]", 1),
        Some(c @ ('[' | ']' | '{' | '}')) => {
            Err(format!("`{c}` means nothing in a glob: list the alternatives, or write `\\{c}`"))
        }
        Some('\\') => match chars.next() {
            Some(c) => Ok((Token::Char(c), chars.as_str())),
            None => Err("a glob cannot end in a backslash".to_owned()),
        },
        Some(c) => Ok((Token::Char(c), chars.as_str())),
        None => Err("a glob is not empty".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            let globs = Globs::new([pattern]).unwrap();
            for text in yes {
                assert!(globs.matches(text), "{pattern} should match {text:?}");
            }
            for text in no {
                assert!(!globs.matches(text), "{pattern} should not match {text:?}");
            }
        };
        check("refs/heads/main", &["refs/heads/main"], &["refs/heads/main2", "refs/heads/Main", "main", ""]);
        check("refs/heads/*", &["refs/heads/a", "refs/heads/"], &["refs/heads/a/b", "refs/heads"]);
        check(
            "refs/heads/**",
            &["refs/heads/a", "refs/heads/a/b"],
            &["refs/heads", "refs/heads/", "xrefs/heads/a"],
        );
        check("**/secret", &["secret", "a/secret", "a/b/secret"], &["asecret", "secret/a"]);
        check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb"]);
        check("**", &["", "a", "a/b", "a\nb"], &[]);
        check("repo:org/app:**", &["repo:org/app:ref:refs/heads/main"], &["repo:org/app2:ref"]);
        check("v?.*", &["v1.0", "vé.x"], &["v10.0", "v/.0"]);
        check("a.b+c(d)|e^$", &["a.b+c(d)|e^$"], &["aXb+c(d)|e^$", "e"]);
        check("\\*\\[x\\]", &["*[x]"], &["a[x]"]);
        check("main", &["main"], &["main\n", "\nmain"]);
        check("m*n", &["main", "ma\nn"], &["main\n"]);
    }

    #[test]
    fn lists_match_where_one_does() {
        let globs = Globs::new(["main", "release/*", "hotfix-?"]).unwrap();
        for text in ["main", "release/1", "hotfix-1"] {
            assert!(globs.matches(text), "{text}");
        }
        assert!(!globs.matches("mainrelease/1"));
        assert_eq!(globs.to_string(), "main or release/* or hotfix-?");
    }

    #[test]
    fn what_would_not_mean_what_it_says_is_refused() {
        for pattern in ["!main", "a[bc]", "{a,b}", "a***", "a\\", &"a".repeat(1025)] {
            assert_eq!(Globs::new(["fine", pattern]).unwrap_err().0, 1, "{pattern}");
        }
    }
}
