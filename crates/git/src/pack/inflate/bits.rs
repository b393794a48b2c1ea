//! Bits of a stream, of which the lowest of a byte come first.

/// Bits that were read and not used.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Bits {
    /// The next lowest; zeros above them.
    pub(super) bits: u64,
    pub(super) count: u32,
}

/// Where they are read from.
pub(super) struct Source<'a> {
    pub(super) input: &'a [u8],
    pub(super) read: usize,
}

impl Bits {
    /// The next so many, up to 32; `None` if they are not there yet.
    pub(super) fn take(&mut self, source: &mut Source<'_>, bits: u32) -> Option<u64> {
        while self.count < bits {
            if !self.pull(source) {
                return None;
            }
        }
        let taken = self.bits & ((1 << bits) - 1);
        self.drop(bits);
        Some(taken)
    }

    /// Reads eight more, to be called only where they are needed: whatever is read is used.
    pub(super) fn pull(&mut self, source: &mut Source<'_>) -> bool {
        let Some(byte) = source.rest().first() else { return false };
        self.bits |= u64::from(*byte) << self.count;
        self.count += 8;
        source.read += 1;
        true
    }

    pub(super) fn drop(&mut self, bits: u32) {
        self.bits >>= bits;
        self.count -= bits;
    }

    /// Goes on to the beginning of a byte.
    pub(super) fn align(&mut self) {
        self.drop(self.count % 8);
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, read: 0 }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.input.get(self.read..).unwrap_or_default()
    }
}
