//! Values that people write in a configuration: times, sizes, names, addresses. Each is checked while it is
//! read, so that an error stands at its line and column.

use std::{fmt, net::SocketAddr, time::Duration};

use http::{Uri, uri::Authority};
use serde::{Deserialize, Deserializer, de};

/// A time such as `500ms`, `10s`, `15m`, `1h`, `90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

/// A size in bytes: `4096`, `64KiB`, `1MiB`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    pub(crate) const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    pub(crate) const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// As a length in memory.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// How many there may be: one or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u32);

impl Count {
    /// As a length in memory.
    pub(crate) fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The name of something configured, which stands in URLs, policies and file names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name(pub(crate) String);

/// An `http` or `https` URL without credentials, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpUrl(pub(crate) Uri);

/// A hostname, with a port where it is not the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host(pub(crate) Authority);

/// An IP address with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) SocketAddr);

pub(crate) fn span(text: &str) -> Result<Span, String> {
    let wrong = || {
        format!("`{text}` is not a time: write a number and a unit, as in `500ms`, `10s`, `15m`, `1h`, `90d`")
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(milliseconds).map(|all| Span(Duration::from_millis(all))).ok_or_else(wrong)
}

fn size(text: &str) -> Result<Size, String> {
    let wrong = || {
        format!("`{text}` is not a size: write bytes, or a number and a unit, as in `64KiB`, `1MiB`, `2GiB`")
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(wrong()),
    };
    match number.checked_mul(1 << shift) {
        Some(0) => Err(format!("`{text}` is no size to work with: nothing would fit")),
        size => size.map(Size).ok_or_else(wrong),
    }
}

fn count(text: &str) -> Result<Count, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.map(Count).ok_or_else(|| format!("`{text}` is not a count: write a whole number, 1 or more"))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

fn name(text: &str) -> Result<Name, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if starts && text.len() <= 64 && text.chars().all(fits) {
        return Ok(Name(text.to_owned()));
    }
    Err(format!(
        "`{text}` is not a name: up to 64 small letters, digits, `-`, `_` and `.`, the first a letter or digit"
    ))
}

pub(crate) fn http_url(text: &str) -> Result<HttpUrl, String> {
    // The text itself may hold a credential, so no error repeats it.
    let url = url::Url::parse(text).map_err(|error| format!("this is not a URL: {error}"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(format!("the URL's scheme is `{}`: it must be `https`, or `http`", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a credential does not belong into a URL: it would stand in logs".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the URL must end with its path, without `?` and `#`".into());
    }
    url.as_str().parse().map(HttpUrl).map_err(|error| format!("this is not a URL: {error}"))
}

fn host(text: &str) -> Result<Host, String> {
    let authority: Authority =
        text.parse().map_err(|_| format!("`{text}` is not a hostname, nor hostname:port"))?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(format!("`{text}` is not a hostname, nor hostname:port"));
    }
    Ok(Host(authority))
}

fn address(text: &str) -> Result<Address, String> {
    let wrong = |_| {
        format!("`{text}` is not an address: write an IP and a port, as in `127.0.0.1:8080`, `[::1]:8080`")
    };
    text.parse().map(Address).map_err(wrong)
}

/// Reads a scalar with its parser, as text or as a bare number.
struct Scalar<T>(fn(&str) -> Result<T, String>, &'static str);

impl<T> de::Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! scalar {
    ($type:ty, $parse:path, $what:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Scalar($parse, $what))
            }
        }
    };
}

scalar!(Span, span, "a time such as `10s`");
scalar!(Size, size, "a size such as `64KiB`");
scalar!(Count, count, "a count");
scalar!(Name, name, "a name");
scalar!(HttpUrl, http_url, "a URL");
scalar!(Host, host, "a hostname");
scalar!(Address, address, "an address");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        let millis = |text| span(text).map(|span| span.0.as_millis());
        assert_eq!(millis("1500ms"), Ok(1500));
        assert_eq!(millis("2 m"), Ok(120_000));
        assert_eq!(millis("90d"), Ok(7_776_000_000));
        for wrong in ["", "s", "10", "-1s", "1.5s", "1w", "99999999999999999999s", "18446744073709551615d"] {
            assert!(span(wrong).unwrap_err().contains("is not a time"), "{wrong}");
        }
        assert_eq!(size("4096"), Ok(Size(4096)));
        assert_eq!(size("64KiB"), Ok(Size::kib(64)));
        for wrong in ["", "KiB", "1kb", "1 MB", "18446744073709551615KiB", "0x10"] {
            assert!(size(wrong).unwrap_err().contains("is not a size"), "{wrong}");
        }
        for nothing in ["0", "0GiB"] {
            assert!(size(nothing).unwrap_err().contains("nothing would fit"), "{nothing}");
        }
        assert_eq!(count("1"), Ok(Count(1)));
        for wrong in ["0", "-1", "1.5", "", "4294967296"] {
            assert!(count(wrong).unwrap_err().contains("is not a count"), "{wrong}");
        }
    }

    #[test]
    fn names_and_addresses() {
        assert!(name("git-1.example_x").is_ok());
        for wrong in ["", "Git", "-a", "a/b", "a b", &"a".repeat(65)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        assert_eq!(http_url("https://x.example/a").unwrap().0, "https://x.example/a");
        for wrong in ["x.example", "ssh://x", "https://u:p@x", "https://x/?a", "https://x/#a", "https://"] {
            let error = http_url(wrong).unwrap_err();
            assert!(!error.contains(wrong), "an error repeats what may hold a credential: {error}");
        }
        assert!(host("git.example:8443").is_ok());
        for wrong in ["", "a b", "u@h", "http://h", ":1"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
