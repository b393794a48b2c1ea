//! The heads of WebDAV's requests: written anew, with what was understood of them and nothing else.
//!
//! Another header could make another request of one that was judged: a part of a file, other conditions, another
//! method. Source: RFC 4918, section 10; git's http-push.c.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use lockgate_core::{client::join, protocol::Context, refusal::Refusal};

use super::route::{DavRoute, Endpoint, too_long};
use crate::{
    oid::Oid,
    route::{self, invalid},
};

pub(super) const DEPTH: HeaderName = HeaderName::from_static("depth");
pub(super) const DESTINATION: HeaderName = HeaderName::from_static("destination");
pub(super) const IF: HeaderName = HeaderName::from_static("if");
const LOCK_TOKEN: HeaderName = HeaderName::from_static("lock-token");
const OVERWRITE: HeaderName = HeaderName::from_static("overwrite");
const TIMEOUT: HeaderName = HeaderName::from_static("timeout");

/// What changes nothing of a request. Cookies do: who is known by them alone would be asked for refs as somebody else.
const PLAIN: [HeaderName; 5] =
    [header::ACCEPT, header::ACCEPT_LANGUAGE, header::CACHE_CONTROL, header::PRAGMA, header::USER_AGENT];

/// Characters of a lock's name.
const TOKEN: usize = 256;

/// The headers that go upstream. A lock is asked for for so long at most.
///
/// # Errors
/// An [`invalid`] refusal of what is missing, there twice, or not as git http-push writes it.
pub(super) fn upstream(
    context: Context<'_>,
    route: &DavRoute,
    client: &HeaderMap,
    lock: Duration,
) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::new();
    for name in &PLAIN {
        for value in client.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    // Answers are read here.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut encodings = client.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|encoding| encoding != "identity") {
        return Err(invalid("a body of WebDAV is not encoded"));
    }
    let mut set = |name: HeaderName, value: &str| {
        let value = HeaderValue::from_str(value).map_err(|_| invalid("a header holds what none may hold"))?;
        headers.insert(name, value);
        Ok::<_, Refusal>(())
    };
    if let Some(value) = one(client, &IF)? {
        let token = value.strip_prefix('(').and_then(|value| token(value.strip_suffix(')')?));
        let token =
            token.ok_or_else(|| invalid("the header If names more than one lock of what is written"))?;
        set(IF, &format!("(<{token}>)"))?;
    }
    match &route.endpoint {
        Endpoint::List => {
            let depth = one(client, &DEPTH)?.filter(|depth| ["0", "1"].contains(depth));
            set(DEPTH, depth.ok_or_else(|| invalid("the header Depth is neither 0 nor 1"))?)?;
            set(header::CONTENT_TYPE, XML)?;
        }
        Endpoint::Lock(_) => {
            let seconds = one(client, &TIMEOUT)?.and_then(seconds);
            let seconds = seconds.ok_or_else(|| invalid("the header Timeout is not Second-N"))?;
            set(TIMEOUT, &format!("Second-{}", seconds.min(lock.as_secs())))?;
            // Not all that is in a folder, if it is one.
            set(DEPTH, "0")?;
            set(header::CONTENT_TYPE, XML)?;
        }
        Endpoint::Unlock(_) => {
            let token = one(client, &LOCK_TOKEN)?.and_then(token);
            let token = token.ok_or_else(|| invalid("the header Lock-Token names no lock"))?;
            set(LOCK_TOKEN, &format!("<{token}>"))?;
        }
        Endpoint::Settle(name) => {
            let overwrite = one(client, &OVERWRITE)?.filter(|value| ["T", "F"].contains(value));
            set(OVERWRITE, overwrite.ok_or_else(|| invalid("the header Overwrite is neither T nor F"))?)?;
            let given = one(client, &DESTINATION)?.unwrap_or_default();
            set(DESTINATION, &destination(context, route, name, given)?)?;
        }
        // Of a folder, everything in it would be deleted: with this, servers refuse to (RFC 4918, section 9.6.1).
        Endpoint::Deletion(_) => set(DEPTH, "0")?,
        Endpoint::Folder(_) | Endpoint::Object(_) | Endpoint::Ref(_) | Endpoint::InfoRefs => {}
    }
    Ok(headers)
}

const XML: &str = "text/xml; charset=\"utf-8\"";

/// The upstream's own URL of where an object is kept, if that is where the client wants it.
fn destination(context: Context<'_>, route: &DavRoute, name: &Oid, given: &str) -> Result<String, Refusal> {
    let place = route.of_object(name);
    let elsewhere = || invalid("the header Destination is not where this object is kept");
    let given: Uri = given.parse().map_err(|_| elsewhere())?;
    let (given, expected) = (route::segments(given.path())?, route::segments(&place)?);
    if !given.ends_with(&expected) {
        return Err(elsewhere());
    }
    let place: Uri = place.parse().map_err(|_| too_long())?;
    join(&context.upstream.url, &place).map(|uri| uri.to_string()).ok_or_else(too_long)
}

/// The value of a header that is there once at most.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str());
    match (value.transpose(), values.next()) {
        (Ok(value), None) => Ok(value.map(str::trim)),
        (_, Some(_)) | (Err(_), None) => {
            Err(invalid(&format!("the header {name} is there twice or no text")))
        }
    }
}

/// The name of a lock, a URI, out of `<...>`.
fn token(value: &str) -> Option<&str> {
    let token = value.strip_prefix('<')?.strip_suffix('>')?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/+=@".contains(&byte);
    (token.len() <= TOKEN && token.contains(':') && token.bytes().all(is_token)).then_some(token)
}

/// The seconds of `Second-N`.
fn seconds(timeout: &str) -> Option<u64> {
    let digits =
        timeout.strip_prefix("Second-").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::Method;
    use lockgate_core::upstream::{Auth, Upstream};

    use super::*;
    use crate::testing::{Rig, Unreachable};

    const OBJECT: &str = "/app.git/objects/01/23456789abcdef0123456789abcdef01234567";
    const LOCK: &str = "opaquelocktoken:6cdce6d8-2c5b-4d3f";

    /// What becomes of these headers of a request, beside what is always there.
    fn check(request: &str, client: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let (method, path) = request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let route = DavRoute::parse(&method, &path.parse().unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in client {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let mut rig = Rig::with(Auth::Passthrough);
        rig.upstream = Upstream::new("box", "git", "http://up.example:81/base/".parse().unwrap()).into();
        let made = upstream(rig.context(&Unreachable), &route, &headers, Duration::from_secs(600));
        let made = made.map_err(|refusal| refusal.reason)?;
        let shown = made.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        Ok(shown.filter(|line| line != "accept-encoding: identity").collect())
    }

    #[test]
    fn only_what_was_understood_goes_on() {
        let put = "PUT /app.git/refs/heads/x";
        let sent = [
            ("user-agent", "git/2"),
            ("content-range", "bytes 0-1/2"),
            ("content-type", "text/html"),
            ("x-http-method-override", "DELETE"),
            ("if-match", "*"),
            ("depth", "infinity"),
            ("destination", "http://elsewhere/"),
            ("accept-encoding", "gzip"),
            ("cookie", "who=ada"),
            ("expect", "100-continue"),
        ];
        assert_eq!(check(put, &sent).unwrap(), ["user-agent: git/2"]);
        assert_eq!(check("DELETE /app.git/refs/heads/x", &[("depth", "infinity")]).unwrap(), ["depth: 0"]);
        assert!(check(put, &[("content-encoding", "gzip")]).is_err());
    }

    #[test]
    fn conditions_are_one_lock() {
        let put = "PUT /app.git/refs/heads/x";
        let check = |value: &str, passes: bool| {
            let made = check(put, &[("if", value)]);
            assert_eq!(made.is_ok(), passes, "{value}");
            if let Ok(made) = made {
                assert_eq!(made, [format!("if: {value}")]);
            }
        };
        check(&format!("(<{LOCK}>)"), true);
        check("(<urn:uuid:0-1>)", true);
        for value in
            ["", "()", "(<>)", "(<x>)", "(<a:b>", "<a:b>", "(Not <a:b>)", "([\"etag\"])", "(<a:b> [\"e\"])"]
        {
            check(value, false);
        }
        check("(<a:b>) (<c:d>)", false);
        check("<http://up.example/app.git/refs/heads/y> (<a:b>)", false);
        check(&format!("(<a:{}>)", "b".repeat(300)), false);
        assert!(super::tests::check(put, &[("if", "(<a:b>)"), ("if", "(<a:b>)")]).is_err());
    }

    #[test]
    fn a_list_is_no_deeper_than_one_folder() {
        for depth in ["0", "1"] {
            let made = check("PROPFIND /app.git/refs/", &[("depth", depth)]).unwrap();
            assert_eq!(made, [format!("depth: {depth}"), format!("content-type: {XML}")]);
        }
        for sent in [&[][..], &[("depth", "infinity")], &[("depth", "2")], &[("depth", "0"), ("depth", "0")]]
        {
            assert!(check("PROPFIND /app.git/refs/", sent).is_err(), "{sent:?}");
        }
    }

    #[test]
    fn a_lock_is_of_one_file_and_ends() {
        let lock = "LOCK /app.git/refs/heads/x";
        let made = check(lock, &[("timeout", "Second-600"), ("depth", "infinity")]).unwrap();
        assert_eq!(
            made,
            ["timeout: Second-600".to_owned(), "depth: 0".into(), format!("content-type: {XML}")]
        );
        assert_eq!(check(lock, &[("timeout", "Second-1200")]).unwrap()[0], "timeout: Second-600");
        for timeout in ["Infinite", "Second-", "Second-+1", "Infinite, Second-1", ""] {
            assert!(check(lock, &[("timeout", timeout)]).is_err(), "{timeout}");
        }
        assert!(check(lock, &[]).is_err());
        let unlock = "UNLOCK /app.git/info/refs";
        let sent = format!("<{LOCK}>");
        assert_eq!(check(unlock, &[("lock-token", &sent)]).unwrap(), [format!("lock-token: {sent}")]);
        assert!(check(unlock, &[("lock-token", LOCK)]).is_err());
        assert!(check(unlock, &[]).is_err());
    }

    #[test]
    fn an_object_moves_to_its_name_alone() {
        let suffix = "a".repeat(40);
        let source = format!("MOVE {OBJECT}_{suffix}");
        let moved = |destination: &str| check(&source, &[("overwrite", "T"), ("destination", destination)]);
        let expected = ["overwrite: T".to_owned(), format!("destination: http://up.example:81/base{OBJECT}")];
        for before in ["http://gate/git/box", "https://other:1", ""] {
            assert_eq!(moved(&format!("{before}{OBJECT}")).unwrap(), expected);
        }
        let other = OBJECT.replace("01/", "02/");
        for destination in [
            "",
            "http://gate",
            "http://gate/",
            "http://gate/git/box/app.git/refs/heads/x",
            &format!("http://gate{other}"),
            &format!("http://gate{OBJECT}_{suffix}"),
            &format!("http://gate/x{OBJECT}"),
            &format!("http://gate{}", OBJECT.replace("app.git", "b.git")),
            &format!("http://gate/app.git/..{OBJECT}"),
        ] {
            let refused = moved(destination);
            let is_below = destination == format!("http://gate/x{OBJECT}");
            assert_eq!(refused.is_ok(), is_below, "{destination}");
        }
        let there = format!("http://gate{OBJECT}");
        assert!(check(&source, &[("overwrite", "X"), ("destination", &there)]).is_err());
        assert!(check(&source, &[("destination", &there)]).is_err());
    }
}
