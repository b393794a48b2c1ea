//! How many bytes of a class come next, counted once for all candidates that ask.

use crate::rules::ByteClass;

/// The classes that are remembered at a time.
const SLOTS: usize = 16;

/// A stretch of the stream, 64 bytes at most, and which of its bytes are in the classes that were asked for.
pub(super) struct Runs<'a> {
    bytes: &'a [u8],
    /// Where they stand in the stream.
    at: u64,
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy)]
struct Slot {
    /// Where the class lies in memory: rules do not move while a stream is walked over.
    class: usize,
    /// The place of the stretch that it was counted for.
    at: u64,
    mask: u64,
}

impl<'a> Runs<'a> {
    pub(super) fn new() -> Self {
        Self { bytes: &[], at: 0, slots: [Slot { class: 0, at: u64::MAX, mask: 0 }; SLOTS] }
    }

    /// Goes on to `bytes`, which stand at `at`: further on than all before.
    pub(super) fn go_to(&mut self, at: u64, bytes: &'a [u8]) {
        (self.at, self.bytes) = (at, bytes);
    }

    /// How many bytes of `class` stand at `from`, as far as the stretch goes; none before it.
    #[inline]
    pub(super) fn length(&mut self, class: &ByteClass, from: u64) -> usize {
        let Some(before) = from.checked_sub(self.at) else { return 0 };
        let address = std::ptr::from_ref(class).addr();
        let slot = &mut self.slots[address / size_of::<ByteClass>() % SLOTS];
        if slot.at != self.at || slot.class != address {
            *slot = Slot { class: address, at: self.at, mask: class.mask(self.bytes) };
        }
        (slot.mask >> before).trailing_ones() as usize
    }
}
