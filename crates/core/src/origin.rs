//! Origins: scheme, host and port, by which the places are compared that content may come from.

use std::fmt;

use http::Uri;

/// Where a URL leads, without its path (RFC 6454).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an `http` or `https` URL; of nothing else.
    pub fn of(url: &Uri) -> Option<Self> {
        let https = match url.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = url.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Self { https, host, port: url.port_u16().unwrap_or(default_port(https)) })
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.host)?;
        if self.port == default_port(self.https) { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_where_urls_lead() {
        let check = |url: &str, expected: Option<&str>| {
            let origin = Origin::of(&url.parse().unwrap());
            assert_eq!(origin.map(|origin| origin.to_string()).as_deref(), expected, "{url}");
        };
        check("https://GIT.example/a?b", Some("https://git.example"));
        check("https://git.example:443", Some("https://git.example"));
        check("http://git.example:443/", Some("http://git.example:443"));
        check("http://user:pw@git.example:80/", Some("http://git.example"));
        check("https://[2001:DB8::1]:8443/", Some("https://[2001:db8::1]:8443"));
        check("ftp://git.example/", None);
        check("/path", None);
        check("git.example:443", None);
    }
}
