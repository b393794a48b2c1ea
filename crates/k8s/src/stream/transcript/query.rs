//! What a request for a stream asks, by its path and query: for reading recordings.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::stream::{Purpose, Subprotocol, Transport, Upgrade};

/// A subresource of a pod that is upgraded to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresource {
    /// A command is run.
    Exec,
    /// A command that runs is listened to.
    Attach,
    /// Ports are connected to.
    PortForward,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which stream.
    pub subresource: Subresource,
    /// The command and its arguments; for exec.
    pub command: Vec<String>,
    /// Whether it runs in a terminal.
    pub tty: bool,
    /// The ports; for port-forward, where the streams do not name them.
    pub ports: Vec<u16>,
}

impl Asked {
    /// Reads a request's path and query; nothing where it asks for no stream.
    #[must_use]
    pub fn of(path: &str, query: &str) -> Option<Self> {
        let last = path.trim_end_matches('/').rsplit('/').next()?;
        let subresource = match &*percent_decode_str(last).decode_utf8_lossy() {
            "exec" => Subresource::Exec,
            "attach" => Subresource::Attach,
            "portforward" => Subresource::PortForward,
            _ => return None,
        };
        let pairs: Vec<_> =
            query.split('&').map(|pair| decoded(pair.split_once('=').unwrap_or((pair, "")))).collect();
        let of = |name| pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value);
        Some(Self {
            subresource,
            command: of("command").cloned().collect(),
            tty: of("tty").next().is_some_and(|value| !matches!(&**value, "0" | "false")),
            ports: of("ports")
                .flat_map(|ports| ports.split(','))
                .filter_map(|port| port.parse().ok())
                .collect(),
        })
    }

    /// The connection that it became, with the subprotocol of its answer; SPDY where there was none. Nothing where
    /// the subprotocol is not known.
    #[must_use]
    pub fn upgrade(&self, subprotocol: Option<&str>) -> Option<Upgrade> {
        let transport = match subprotocol {
            Some(name) => Transport::WebSocket(Subprotocol::of(name)?),
            None => Transport::Spdy,
        };
        let purpose = match self.subresource {
            Subresource::Exec | Subresource::Attach => Purpose::Command,
            Subresource::PortForward => Purpose::Forward(self.ports.clone()),
        };
        Some(Upgrade { transport, purpose })
    }
}

fn decoded((key, value): (&str, &str)) -> (String, String) {
    let decode = |text: &str| {
        let text: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    (decode(key), decode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read() {
        let exec = Asked::of(
            "/api/v1/namespaces/a/pods/b/exec",
            "command=sh&command=-c&command=echo+%22a+b%22&container=c&stdin=true&stdout=true&tty=true",
        );
        let exec = exec.unwrap();
        assert_eq!(exec.command, ["sh", "-c", "echo \"a b\""]);
        assert!(exec.tty);
        let v5 = Upgrade { transport: Transport::WebSocket(Subprotocol::V5), purpose: Purpose::Command };
        assert_eq!(exec.upgrade(Some("v5.channel.k8s.io")), Some(v5));
        assert_eq!(exec.upgrade(Some("base64.channel.k8s.io")), None);
        for (query, tty) in
            [("tty=false", false), ("tty=0", false), ("", false), ("tty", true), ("tty=yes", true)]
        {
            assert_eq!(Asked::of("/api/v1/namespaces/a/pods/b/attach/", query).unwrap().tty, tty, "{query}");
        }
        let forward =
            Asked::of("/api/v1/namespaces/a/pods/b/portforward", "ports=80%2C81&ports=5432").unwrap();
        let expected = Upgrade { transport: Transport::Spdy, purpose: Purpose::Forward(vec![80, 81, 5432]) };
        assert_eq!(forward.upgrade(None), Some(expected));
        assert_eq!(Asked::of("/api/v1/namespaces/a/pods/b/log", "follow=true"), None);
    }
}
