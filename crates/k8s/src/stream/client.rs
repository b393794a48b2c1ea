//! The client's direction: passed on as it is, once it is understood.

use super::{
    Channel, Event, Fault, StreamError, Watcher,
    reader::{Reader, Seen},
    resize::Sizes,
};

/// Reads what the client sends, and tells it to a watcher.
pub struct ClientHalf {
    reader: Reader,
    watcher: Watcher,
    sizes: Sizes,
}

impl ClientHalf {
    pub(super) fn new(reader: Reader, watcher: Watcher) -> Self {
        Self { reader, watcher, sizes: Sizes::default() }
    }

    /// Takes the next bytes. They may go on to the upstream, as they are, only where this succeeds.
    ///
    /// # Errors
    /// [`StreamError`]; the stream is over.
    pub fn push(&mut self, input: &[u8]) -> Result<(), StreamError> {
        let (watcher, sizes) = (&mut self.watcher, &mut self.sizes);
        let read = self.reader.read(input, &mut |seen| tell(seen, watcher, sizes).map_err(Fault::Refused));
        read.map_err(|fault| self.error(fault))
    }

    /// The client has sent all.
    ///
    /// # Errors
    /// [`StreamError`] where that is within a frame.
    pub fn finish(&self) -> Result<(), StreamError> {
        self.reader.finish().map_err(|fault| self.error(fault))
    }

    fn error(&self, fault: Fault) -> StreamError {
        StreamError { at_fault: self.reader.sender(), fault }
    }
}

fn tell(seen: Seen<'_>, watcher: &mut Watcher, sizes: &mut Sizes) -> Result<(), String> {
    match seen {
        Seen::Opened { id, channel } => watcher(Event::Opened { id, channel }),
        Seen::Bytes { id, channel, bytes } => {
            watcher(Event::Bytes { id, channel, bytes })?;
            let resized = if channel == Channel::Resize { sizes.read(bytes) } else { Vec::new() };
            resized.into_iter().try_for_each(|size| watcher(Event::Resized(size)))
        }
        Seen::Finished { id, channel } => watcher(Event::Finished { id, channel }),
        Seen::Carrier { .. }
        | Seen::Raw(_)
        | Seen::Empty
        | Seen::Begin { .. }
        | Seen::End { .. }
        | Seen::Settle(_) => Ok(()),
    }
}

impl std::fmt::Debug for ClientHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientHalf").field("reader", &self.reader).finish_non_exhaustive()
    }
}
