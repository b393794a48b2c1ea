//! The query of a request, as the API server reads it: the first value of a name counts.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Pairs of one query at most. An exec sends one for each word of its command.
const PAIRS: usize = 1_000;

/// A query can't be understood, or could be understood in two ways. The client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Not UTF-8, or a broken escape.
    #[error("the query is not text")]
    NotText,
    /// More pairs than anybody needs.
    #[error("the query has too many parameters")]
    TooMany,
    /// `;` separates for some and does not for others.
    #[error("the query has a `;`")]
    Semicolon,
    /// The first value counts for the API server; others might take the last.
    #[error("the query has a parameter twice that may be there once")]
    Twice,
}

/// A query, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// Parameters that there may be more than one of.
const LISTS: [&str; 4] = ["command", "ports", "dryRun", "fieldValidation"];

impl Query {
    /// Reads what comes behind the `?`.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn parse(query: Option<&str>) -> Result<Self, QueryError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            if pair.contains(';') {
                return Err(QueryError::Semicolon);
            }
            if pairs.len() == PAIRS {
                return Err(QueryError::TooMany);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decoded(name)?, decoded(value)?));
        }
        Ok(Self(pairs))
    }

    /// Refuses parameters that are there twice with different values. What a proxy leads to may like them.
    ///
    /// # Errors
    /// [`QueryError::Twice`].
    pub fn check(&self) -> Result<(), QueryError> {
        let differ = |name: &str| self.all(name).any(|value| Some(value) != self.first(name));
        let twice = self.0.iter().any(|(name, _)| !LISTS.contains(&name.as_str()) && differ(name));
        if twice { Err(QueryError::Twice) } else { Ok(()) }
    }

    /// The first value of a parameter.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter, in their order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All pairs, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A flag, as the API server reads it: there, and neither `0` nor `false`.
    pub fn flag(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// Whether a list is to be watched.
    pub fn watches(&self) -> bool {
        self.flag("watch")
    }

    /// Whether a change is only to be tried.
    pub fn is_dry_run(&self) -> bool {
        self.all("dryRun").any(|value| value == "All")
    }

    /// The one name that a field selector lets through: `metadata.name=x` among its terms
    /// (`pkg/fields/selector.go` of k8s.io/apimachinery).
    pub fn selected_name(&self) -> Option<String> {
        let mut terms = terms(self.first("fieldSelector").unwrap_or_default());
        terms.sort_unstable();
        let mut names = terms.into_iter().filter_map(|term| {
            // `!=` leaves its mark with the field.
            let (field, value) = term.split_once('=')?;
            (field == "metadata.name").then(|| value.strip_prefix('=').unwrap_or(value))
        });
        let is_name = |name: &&str| {
            !name.is_empty() && *name != "." && *name != ".." && !name.contains(['/', '%', '\\', '='])
        };
        names.next().filter(is_name).map(str::to_owned)
    }
}

/// The terms of a field selector: what stands behind a backslash does not separate them.
fn terms(selector: &str) -> Vec<&str> {
    let mut is_escaped = false;
    let separates = |letter: char| {
        let was_escaped = std::mem::take(&mut is_escaped);
        is_escaped = !was_escaped && letter == '\\';
        !was_escaped && letter == ','
    };
    selector.split(separates).collect()
}

fn decoded(text: &str) -> Result<String, QueryError> {
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    let broken = spaced.split('%').skip(1).any(|escape| {
        let mut digits = escape.bytes();
        !(0..2).all(|_| digits.next().is_some_and(|digit| digit.is_ascii_hexdigit()))
    });
    let text = percent_decode_str(&spaced).decode_utf8().map_err(|_| QueryError::NotText)?;
    if broken || text.contains('\0') { Err(QueryError::NotText) } else { Ok(text.into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(Some(text)).unwrap()
    }

    #[test]
    fn reads_flags_as_the_api_server_does() {
        for (text, expected) in [
            ("watch", true),
            ("watch=", true),
            ("watch=yes", true),
            ("watch=TRUE", true),
            ("watch=0", false),
            ("watch=False", false),
            ("watch=0&watch=1", false),
            ("watched=1", false),
        ] {
            assert_eq!(query(text).watches(), expected, "{text}");
        }
    }

    #[test]
    fn reads_values_in_their_order() {
        let query = query("command=sh&command=-c&command=echo+a%26b&x");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c", "echo a&b"]);
        assert_eq!((query.first("x"), query.first("y")), (Some(""), None));
        assert_eq!(query.check(), Ok(()));
    }

    #[test]
    fn refuses_what_is_unclear() {
        for (text, expected) in [
            ("a=%zz", QueryError::NotText),
            ("a=%f", QueryError::NotText),
            ("a=%ff", QueryError::NotText),
            ("a=1;b=2", QueryError::Semicolon),
            (&"a&".repeat(1_001), QueryError::TooMany),
        ] {
            assert_eq!(Query::parse(Some(text)), Err(expected), "{text}");
        }
        assert_eq!(query("fieldManager=a&fieldManager=b").check(), Err(QueryError::Twice));
        assert_eq!(query("fieldManager=a&fieldManager=a").check(), Ok(()));
    }

    #[test]
    fn knows_the_name_that_a_selector_lets_through() {
        let name = |selector: &str| query(&format!("fieldSelector={selector}")).selected_name();
        assert_eq!(name("metadata.name=db").as_deref(), Some("db"));
        assert_eq!(name("type=Opaque,metadata.name==db").as_deref(), Some("db"));
        assert_eq!(name(r"type!=a\\,metadata.name=db").as_deref(), Some("db"), "an escaped backslash");
        assert_eq!(name("metadata.name=b,metadata.name=a").as_deref(), Some("a"), "by their order");
        for other in [
            "metadata.name!=db",
            "metadata.name=",
            "metadata.namespace=x",
            "metadata.name=a/b",
            r"type!=a\,metadata.name=db",
            r"metadata.name=d\b",
            "metadata.name =db",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
