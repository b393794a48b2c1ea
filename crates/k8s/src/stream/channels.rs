//! The channels of WebSocket messages: the first byte of each message says which.

use super::{
    Channel, Fault, Purpose,
    reader::{Seen, carrier},
};
use crate::parse::{side::Side, websocket::Event};

/// The first byte of a message that closes a channel.
pub(super) const CLOSE: u8 = 255;

#[derive(Debug)]
pub(super) struct Channels {
    sender: Side,
    purpose: Purpose,
    /// Whether channels are closed one by one.
    can_close: bool,
    message: Message,
}

/// How far the message has come.
#[derive(Debug, Clone, Copy)]
enum Message {
    /// Its first byte is not there yet.
    Opening,
    Of(u32, Channel),
    /// It closes a channel.
    Closing(Option<(u32, Channel)>),
}

impl Channels {
    pub(super) fn new(sender: Side, purpose: &Purpose, can_close: bool) -> Self {
        Self { sender, purpose: purpose.clone(), can_close, message: Message::Opening }
    }

    pub(super) fn read(
        &mut self,
        event: Event<'_>,
        tell: &mut impl FnMut(Seen<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match event {
            // Some clients send what was typed as text, and the servers take it.
            Event::Begin { text: true, .. } if self.sender == Side::Server => Err(Fault::Text),
            Event::Begin { whole: false, .. } if self.sender == Side::Client => Err(Fault::Fragmented),
            Event::Begin { .. } => {
                self.message = Message::Opening;
                Ok(())
            }
            Event::Payload(bytes) => self.payload(bytes, tell),
            Event::End => self.end(tell),
            Event::Control { opcode, payload } => carrier(opcode, payload, tell),
        }
    }

    fn payload(
        &mut self,
        bytes: &[u8],
        tell: &mut impl FnMut(Seen<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut rest = bytes;
        while let Some((first, after)) = rest.split_first() {
            match self.message {
                Message::Opening if self.can_close && *first == CLOSE => {
                    self.message = Message::Closing(None);
                }
                Message::Opening => {
                    let channel = self.channel(*first).filter(|channel| channel.is_sent_by(self.sender));
                    let (id, channel) = (u32::from(*first), channel.ok_or(Fault::Channel(*first))?);
                    self.message = Message::Of(id, channel);
                    tell(Seen::Begin { id, channel })?;
                }
                Message::Of(id, channel) => return tell(Seen::Bytes { id, channel, bytes: rest }),
                Message::Closing(None) => {
                    let channel = self.channel(*first).ok_or(Fault::HalfClose)?;
                    self.message = Message::Closing(Some((u32::from(*first), channel)));
                }
                Message::Closing(Some(_)) => return Err(Fault::HalfClose),
            }
            rest = after;
        }
        Ok(())
    }

    fn end(&self, tell: &mut impl FnMut(Seen<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        match self.message {
            Message::Opening => tell(Seen::Empty),
            Message::Of(id, channel) => tell(Seen::End { id, channel }),
            Message::Closing(Some((id, channel))) => tell(Seen::Finished { id, channel }),
            Message::Closing(None) => Err(Fault::HalfClose),
        }
    }

    fn channel(&self, number: u8) -> Option<Channel> {
        match &self.purpose {
            Purpose::Command => {
                let all = [Channel::Stdin, Channel::Stdout, Channel::Stderr, Channel::Error, Channel::Resize];
                all.get(usize::from(number)).copied()
            }
            Purpose::Forward(ports) => {
                let port = *ports.get(usize::from(number / 2))?;
                Some(if number.is_multiple_of(2) {
                    Channel::Data { port }
                } else {
                    Channel::DataError { port }
                })
            }
        }
    }
}
