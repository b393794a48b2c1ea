//! The addresses in what an upstream says of files: those of the repository, as the client calls it.
//!
//! git http-push finds out by the beginning of an address which file it is of, and an upstream knows only its own.
//! The answer is XML of which nothing is understood but where `href` elements begin and end. Source: RFC 4918,
//! section 14.7.

use crate::route;

/// A repository's path on the upstream, and for the client.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// Its parts, decoded.
    upstream: Vec<String>,
    /// Encoded as the client wrote it, and as XML is; without a slash at the end.
    client: String,
}

impl Names {
    /// Both are encoded paths.
    pub(super) fn new(upstream: &str, client: &str) -> Self {
        let upstream = upstream.split('/').filter(|part| !part.is_empty());
        Self { upstream: upstream.filter_map(route::decode).collect(), client: client.replace('&', "&amp;") }
    }

    /// The same XML, with the client's addresses.
    pub(super) fn rewrite(&self, xml: &str) -> String {
        let mut out = String::with_capacity(xml.len());
        let mut rest = xml;
        while let Some((before, tag)) = rest.split_once('<') {
            out.push_str(before);
            out.push('<');
            rest = tag;
            // No further than the next one: of what is no XML, every `<` would be looked behind to the end.
            let Some(end) = tag.find(['<', '>']).filter(|end| tag.as_bytes()[*end] == b'>') else { continue };
            let (name, after) = (&tag[..end], &tag[end + 1..]);
            if !is_href(name) {
                continue;
            }
            out.push_str(name);
            out.push('>');
            let (text, end) = after.split_at(after.find('<').unwrap_or(after.len()));
            match self.renamed(text.trim()) {
                Some(address) => out.push_str(&address),
                None => out.push_str(text),
            }
            rest = end;
        }
        out.push_str(rest);
        out
    }

    /// An address of the repository, or of something in it, as the client calls that.
    fn renamed(&self, address: &str) -> Option<String> {
        let path = match address.split_once("://") {
            Some((_, rest)) => &rest[rest.find('/')?..],
            None => address,
        };
        let mut rest = path;
        for part in &self.upstream {
            let after = rest.strip_prefix('/')?;
            let end = after.find('/').unwrap_or(after.len());
            let given = route::decode(&after[..end].replace("&amp;", "&"))?;
            (given == *part).then_some(())?;
            rest = &after[end..];
        }
        Some(format!("{}{rest}", self.client))
    }
}

/// Whether a tag, without its `<` and `>`, begins an `href` element, of whatever prefix.
fn is_href(tag: &str) -> bool {
    let name = tag.split_ascii_whitespace().next().filter(|_| !tag.ends_with('/')).unwrap_or_default();
    name.split_once(':').map_or(name, |(_, local)| local) == "href"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_xml_is_as_it_was() {
        let names = Names::new("/a.git", "/git/box/a.git");
        for text in ["<".repeat(1 << 20), "<D:href".into(), "<D:href>".into(), "<D:href <x>/a.git".into()] {
            assert!(names.rewrite(&text) == text);
        }
    }

    #[test]
    fn addresses_are_the_clients() {
        let names = Names::new("/base/team/a%20b.git", "/git/box/team/a%20b.git");
        let check = |address: &str, expected: &str| {
            let xml = |address| {
                format!(
                    "<?xml version=\"1.0\"?>\n<D:a>x<D:href>{address}</D:href>\n<b c=\"href\"/>{address}</D:a>"
                )
            };
            let expected = xml(address).replacen(address, expected, 1);
            assert_eq!(names.rewrite(&xml(address)), expected, "{address}");
        };
        check("/base/team/a%20b.git/refs/heads/x%23", "/git/box/team/a%20b.git/refs/heads/x%23");
        check("/base/team/a%20b.git/", "/git/box/team/a%20b.git/");
        check("/base/team/a%20b.git", "/git/box/team/a%20b.git");
        check("/base/%74eam/a b.git/x", "/git/box/team/a%20b.git/x");
        check("http://up.example:81/base/team/a%20b.git/x", "/git/box/team/a%20b.git/x");
        for other in [
            "/base/team/a%20b.gitx/",
            "/base/team/b.git/",
            "/team/a%20b.git/",
            "/base/team",
            "base/team/a%20b.git/",
            "opaquelocktoken:1-2",
            "mailto:ada@example.com",
            "http://up.example",
            "/base/team/a%2",
        ] {
            check(other, other);
        }
    }

    #[test]
    fn only_elements_of_that_name_count() {
        let names = Names::new("/a&b.git", "/git/a&b.git");
        let check = |xml: &str, expected: &str| assert_eq!(names.rewrite(xml), expected);
        check("<href>\n /a&amp;b.git/x </href>", "<href>/git/a&amp;b.git/x</href>");
        check(
            "<lp1:href xmlns=\"a\">/a&amp;b.git/</lp1:href>",
            "<lp1:href xmlns=\"a\">/git/a&amp;b.git/</lp1:href>",
        );
        for same in [
            "",
            "<",
            "<href",
            "<href>",
            "<href/>/a&amp;b.git/",
            "<hrefs>/a&amp;b.git/</hrefs>",
            "</href>/a&amp;b.git/",
        ] {
            check(same, same);
        }
    }
}
