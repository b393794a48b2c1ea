//! A stream at a glance.

use std::{collections::BTreeMap, time::Duration};

use super::{Copied, Copying, Moment, Typed, What, tar::Tar};
use crate::{parse::side::Side, stream::Channel};

/// How many connections to ports are kept.
const CONNECTIONS: usize = 10_000;
/// How much is kept of what became of a command, or of a connection.
const STATUS: usize = 64 << 10;

/// What happened on a stream, gathered from its moments.
#[derive(Debug)]
pub struct Summary {
    /// The beginning of what was printed.
    pub stdout: Output,
    /// The beginning of what was printed as errors.
    pub stderr: Output,
    /// What became of the command: a `Status` in JSON. Empty where the recording was cut off before.
    pub status: Vec<u8>,
    /// What was typed, line by line.
    pub typed: Typed,
    /// Connections to ports, by their ids; the first 10,000.
    pub forwarded: BTreeMap<u32, Forwarded>,
    copying: Option<(Copying, Tar)>,
}

/// Output, of which the beginning is kept.
#[derive(Debug)]
pub struct Output {
    /// The kept bytes.
    pub bytes: Vec<u8>,
    /// How many there were.
    pub length: u64,
    keep: usize,
}

/// A connection to a port, or what became of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The port.
    pub port: u16,
    /// When it was opened; of the channels of WebSocket, when the first byte was sent.
    pub opened: Duration,
    /// When somebody said the last on it.
    pub last: Duration,
    /// Bytes from the client.
    pub sent: u64,
    /// Bytes from the pod.
    pub received: u64,
    /// Where this is the stream that says what became of a connection: what it says.
    pub error: Option<Vec<u8>>,
}

impl Summary {
    /// A summary of a stream on which this command runs (none for port-forward), which keeps so many bytes of what it
    /// prints.
    #[must_use]
    pub fn new(command: &[String], keep: usize) -> Self {
        let output = || Output { bytes: Vec::new(), length: 0, keep };
        Self {
            stdout: output(),
            stderr: output(),
            status: Vec::new(),
            typed: Typed::default(),
            forwarded: BTreeMap::new(),
            copying: Copying::of(command).map(|way| (way, Tar::new())),
        }
    }

    /// Takes what happened next.
    pub fn push(&mut self, moment: Moment<'_>) {
        let Moment { at, what } = moment;
        match what {
            What::Opened { id, channel } => {
                self.connection(at, id, channel);
            }
            What::Bytes { side, id, channel, bytes } => self.bytes(at, side, id, channel, bytes),
            What::Finished { id, channel, .. } => {
                self.connection(at, id, channel);
            }
            What::Resized(_) => {}
        }
    }

    /// The files that were copied, where the command copied files.
    #[must_use]
    pub fn copied(&mut self) -> Option<Copied> {
        self.copying.take().map(|(way, tar)| Copied::new(way, tar))
    }

    fn bytes(&mut self, at: Duration, side: Side, id: u32, channel: Channel, bytes: &[u8]) {
        if let Some((way, tar)) = &mut self.copying
            && way.channel() == (side, channel)
        {
            tar.push(bytes);
            return;
        }
        match channel {
            Channel::Stdin => self.typed.push(at, bytes),
            Channel::Stdout => self.stdout.push(bytes),
            Channel::Stderr => self.stderr.push(bytes),
            Channel::Error => keep(&mut self.status, bytes, STATUS),
            Channel::Resize => {}
            Channel::Data { .. } | Channel::DataError { .. } => {
                let Some(connection) = self.connection(at, id, channel) else { return };
                let count = match side {
                    Side::Client => &mut connection.sent,
                    Side::Server => &mut connection.received,
                };
                *count += bytes.len() as u64;
                if let Some(error) = &mut connection.error {
                    keep(error, bytes, STATUS);
                }
            }
        }
    }

    fn connection(&mut self, at: Duration, id: u32, channel: Channel) -> Option<&mut Forwarded> {
        let port = channel.port()?;
        if self.forwarded.len() >= CONNECTIONS && !self.forwarded.contains_key(&id) {
            return None;
        }
        let connection = self.forwarded.entry(id).or_insert_with(|| Forwarded {
            port,
            opened: at,
            last: at,
            sent: 0,
            received: 0,
            error: channel.is_error().then(Vec::new),
        });
        connection.last = at;
        Some(connection)
    }
}

impl Output {
    fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        keep(&mut self.bytes, bytes, self.keep);
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let room = limit.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}
