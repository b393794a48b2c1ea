//! Names of refs: those that git itself would accept (git-check-ref-format), and a bit less.

/// What is wrong with the name of a ref, as a sentence about it; `None` where it is a good one.
///
/// Stricter than git in what people could not see in a request for approval: names are UTF-8 without
/// control and direction characters.
pub fn fault(name: &str) -> Option<&'static str> {
    let Some(rest) = name.strip_prefix("refs/") else {
        return Some("it does not begin with refs/");
    };
    if name.chars().any(is_hidden) {
        return Some("it holds control or direction characters");
    }
    if name.contains([' ', '~', '^', ':', '?', '*', '[', '\\']) {
        return Some("it holds one of the characters space ~ ^ : ? * [ \\");
    }
    if name.contains("..") || name.contains("@{") || name.ends_with('.') {
        return Some("it holds .. or @{, or ends with a dot");
    }
    if rest.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock")) {
        return Some("a part of it is empty, begins with a dot or ends with .lock");
    }
    None
}

/// Whether a character moves or hides others where text is shown to people.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Text that is one line and shows all that it holds.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_git_accepts() {
        for name in [
            "refs/heads/main",
            "refs/heads/a/b.c",
            "refs/stash",
            "refs/tags/v1.0",
            "refs/heads/@",
            "refs/heads/é",
            "refs/heads/-x",
            "refs/for/main%topic=x",
            "refs/heads/a.lock.b",
        ] {
            assert_eq!(fault(name), None, "{name}");
        }
    }

    #[test]
    fn refuses_what_git_refuses() {
        for name in [
            "",
            "HEAD",
            "main",
            "refs",
            "refs/",
            "refs//a",
            "refs/heads/",
            "refs/heads/.a",
            "refs/heads/a..b",
            "refs/heads/a.lock",
            "refs/heads/a.lock/b",
            "refs/heads/a.",
            "refs/heads/a b",
            "refs/heads/a~1",
            "refs/heads/a^",
            "refs/heads/a:b",
            "refs/heads/a?",
            "refs/heads/*",
            "refs/heads/[a",
            "refs/heads/a\\b",
            "refs/heads/a@{1",
            "refs/heads/a\x7f",
            "refs/heads/a\tb",
            "refs/heads/a\nb",
            "refs/../x",
            "refs/./x",
            "refs/heads/\u{202e}niam",
            "refs/heads/a\u{200b}",
        ] {
            assert!(fault(name).is_some(), "{name:?}");
        }
    }
}
