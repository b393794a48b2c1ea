//! The beginning of a stream: `exec`, `attach` and `port-forward` over WebSocket (RFC 6455) or SPDY/3.1.
//!
//! Other requests could be upgraded too, a watch or a log, and would go around what is understood here: they are
//! refused. Of what a client offers only that goes on which can be read.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request};

use crate::{classify::is_stream, parse::info::Resource};

pub(crate) const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// Subprotocols of WebSockets, the best first.
const CHANNELS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// kubectl tunnels SPDY; kube-rs and the Python client name the ports in the query, for two channels each.
const FORWARDS: [&str; 2] = ["SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"];
const SPDY_CHANNELS: [&str; 1] = ["v4.channel.k8s.io"];
const SPDY_FORWARD: &str = "portforward.k8s.io";

/// A stream can't be begun so. The client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// Not of a stream.
    #[error("only exec, attach and port-forward can be upgraded to a stream here")]
    NoStream,
    /// The handshake is broken.
    #[error("the upgrade is not one of a WebSocket or of SPDY/3.1")]
    Handshake,
    /// Nothing that is offered can be read.
    #[error(
        "none of the stream protocols that are offered is understood here: it is v5 or v4.channel.k8s.io"
    )]
    Protocol,
}

/// How a stream is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// WebSocket.
    WebSocket,
    /// SPDY/3.1.
    Spdy,
}

/// A stream that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// How it is framed.
    pub framing: Framing,
    headers: HeaderMap,
}

impl Stream {
    /// The name of what the connection is to become.
    pub fn token(&self) -> HeaderValue {
        HeaderValue::from_static(match self.framing {
            Framing::WebSocket => "websocket",
            Framing::Spdy => "SPDY/3.1",
        })
    }

    /// Its header fields, as they go upstream.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// The framing that a request asks for, where it asks for one that is known: others are not heeded, as RFC 9110,
/// section 7.8, allows.
fn framing(headers: &HeaderMap) -> Option<Framing> {
    let values = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(','));
    names.find_map(|name| match name.trim() {
        name if name.eq_ignore_ascii_case("websocket") => Some(Framing::WebSocket),
        name if name.to_ascii_lowercase().starts_with("spdy/") => Some(Framing::Spdy),
        _ => None,
    })
}

/// Whether the connection may become a stream: a request that has a body can't be followed by one.
pub fn is_asked(head: &request::Parts) -> bool {
    let is_empty = |value: &HeaderValue| value == "0";
    framing(&head.headers).is_some()
        && head.headers.get(header::CONTENT_LENGTH).is_none_or(is_empty)
        && !head.headers.contains_key(header::TRANSFER_ENCODING)
}

/// Understands what is asked for; `None` where it is no stream.
///
/// # Errors
/// [`UpgradeError`].
pub fn understand(
    resource: Option<&Resource>,
    head: &request::Parts,
) -> Result<Option<Stream>, UpgradeError> {
    let Some(framing) = framing(&head.headers) else { return Ok(None) };
    let resource = resource.filter(|resource| is_stream(resource)).ok_or(UpgradeError::NoStream)?;
    if !is_asked(head) {
        return Err(UpgradeError::Handshake);
    }
    let forwards = resource.subresource == "portforward";
    let mut headers = HeaderMap::new();
    match framing {
        Framing::WebSocket => {
            let one = |name: HeaderName| {
                let mut values = head.headers.get_all(name).iter();
                values.next().filter(|_| values.next().is_none()).cloned().ok_or(UpgradeError::Handshake)
            };
            let version = one(header::SEC_WEBSOCKET_VERSION)?;
            if head.method != Method::GET || version != "13" {
                return Err(UpgradeError::Handshake);
            }
            headers.insert(header::SEC_WEBSOCKET_VERSION, version);
            headers.insert(header::SEC_WEBSOCKET_KEY, one(header::SEC_WEBSOCKET_KEY)?);
            let known: &[&'static str] = if forwards { &FORWARDS } else { &CHANNELS };
            let offered = offered(&head.headers, &header::SEC_WEBSOCKET_PROTOCOL, known)?;
            let offered = HeaderValue::from_str(&offered.join(", ")).map_err(|_| UpgradeError::Protocol)?;
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
        }
        Framing::Spdy => {
            if head.method != Method::POST {
                return Err(UpgradeError::Handshake);
            }
            let known: &[&'static str] = if forwards { &[SPDY_FORWARD] } else { &SPDY_CHANNELS };
            for name in offered(&head.headers, &STREAM_PROTOCOL, known)? {
                headers.append(STREAM_PROTOCOL, HeaderValue::from_static(name));
            }
        }
    }
    Ok(Some(Stream { framing, headers }))
}

/// What is known of what is offered, in the client's order.
fn offered(
    headers: &HeaderMap,
    name: &HeaderName,
    known: &[&'static str],
) -> Result<Vec<&'static str>, UpgradeError> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(','));
    let mut offered: Vec<&'static str> = Vec::new();
    for known in names.filter_map(|name| known.iter().find(|known| **known == name.trim())) {
        if !offered.contains(known) {
            offered.push(known);
        }
    }
    if offered.is_empty() { Err(UpgradeError::Protocol) } else { Ok(offered) }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn stream(
        method: &str,
        subresource: &str,
        fields: &[(&str, &str)],
    ) -> Result<Option<Stream>, UpgradeError> {
        let mut request = Request::builder().method(method).uri("/x");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let resource =
            Resource { resource: "pods".into(), subresource: subresource.into(), ..Resource::default() };
        understand(Some(&resource), &head)
    }

    fn fields(stream: &Stream) -> Vec<String> {
        let field =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        stream.headers().iter().map(field).collect()
    }

    const WEBSOCKET: [(&str, &str); 3] =
        [("upgrade", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-key", "k")];

    #[test]
    fn only_what_can_be_read_is_offered_on() {
        let protocols =
            ("sec-websocket-protocol", "v5.channel.k8s.io, base64.channel.k8s.io,v4.channel.k8s.io");
        let extension = ("sec-websocket-extensions", "permessage-deflate");
        let asked = [&WEBSOCKET[..], &[protocols, extension]].concat();
        let found = stream("GET", "exec", &asked).unwrap().unwrap();
        let expected = [
            "sec-websocket-version: 13",
            "sec-websocket-key: k",
            "sec-websocket-protocol: v5.channel.k8s.io, v4.channel.k8s.io",
        ];
        assert_eq!(fields(&found), expected);
        let versions = ["v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io"];
        let asked: Vec<_> = versions.map(|version| ("x-stream-protocol-version", version)).to_vec();
        let asked = [&[("upgrade", "SPDY/3.1")], &asked[..]].concat();
        let found = stream("POST", "attach", &asked).unwrap().unwrap();
        assert_eq!(fields(&found), ["x-stream-protocol-version: v4.channel.k8s.io"]);
    }

    #[test]
    fn what_is_no_known_stream_is_refused() {
        let channels = ("sec-websocket-protocol", "v4.channel.k8s.io");
        let exec = [&WEBSOCKET[..], &[channels]].concat();
        assert!(stream("GET", "exec", &exec).unwrap().is_some());
        assert_eq!(stream("POST", "exec", &exec), Err(UpgradeError::Handshake));
        assert_eq!(stream("GET", "log", &exec), Err(UpgradeError::NoStream));
        assert!(stream("GET", "portforward", &exec).unwrap().is_some());
        let newer = [&WEBSOCKET[..], &[("sec-websocket-protocol", "v5.channel.k8s.io")]].concat();
        assert_eq!(stream("GET", "portforward", &newer), Err(UpgradeError::Protocol));
        assert_eq!(stream("GET", "exec", &WEBSOCKET), Err(UpgradeError::Protocol));
        let long = [&exec[..], &[("content-length", "3")]].concat();
        assert_eq!(stream("GET", "exec", &long), Err(UpgradeError::Handshake));
        let twice = [&exec[..], &[("sec-websocket-key", "l")]].concat();
        assert_eq!(stream("GET", "exec", &twice), Err(UpgradeError::Handshake));
        assert_eq!(stream("GET", "log", &[("upgrade", "h2c")]), Ok(None), "not heeded");
    }
}
