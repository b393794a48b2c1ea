//! Compression of frames: zstd where it helps, a faster level under pressure, nothing where it does not pay.

use zstd::bulk::{Compressor, Decompressor};

/// The usual level.
const LEVEL: i32 = 1;
/// The level when the writer falls behind.
const HURRIED_LEVEL: i32 = -5;
/// Payloads larger than this are sampled first.
const SAMPLE_ABOVE: usize = 64 << 10;
/// How many bytes a sample takes in each of four places.
const SAMPLE_LEN: usize = 4 << 10;
/// Saving less than a sixteenth is not worth the time of the one who reads.
const LEAST: usize = 16;
/// What of a sample has to be saved at least: a fifth. Text saves more, base64 a quarter; packs of small objects save an
/// eighth, for as much time as their digests take.
const LEAST_OF_SAMPLE: usize = 5;

/// Compresses payloads. Holds the working memory of zstd.
pub(crate) struct Packer {
    zstd: Option<Compressor<'static>>,
    level: i32,
}

impl Default for Packer {
    fn default() -> Self {
        Self { zstd: Compressor::new(LEVEL).ok(), level: LEVEL }
    }
}

impl Packer {
    /// The compressed form of `raw`, if it is worth it: packs and image layers do not compress.
    pub(crate) fn pack(&mut self, raw: &[u8], hurried: bool) -> Option<Vec<u8>> {
        self.set_level(if hurried { HURRIED_LEVEL } else { LEVEL });
        if raw.len() > SAMPLE_ABOVE {
            let sample = sample(raw);
            let packed = self.zstd.as_mut()?.compress(&sample).ok()?;
            if !saves(LEAST_OF_SAMPLE, sample.len(), packed.len()) {
                return None;
            }
        }
        let packed = self.zstd.as_mut()?.compress(raw).ok()?;
        saves(LEAST, raw.len(), packed.len()).then_some(packed)
    }

    fn set_level(&mut self, level: i32) {
        if self.level != level {
            self.level = level;
            if let Some(zstd) = &mut self.zstd
                && zstd.set_compression_level(level).is_err()
            {
                self.zstd = None;
            }
        }
    }
}

/// Undoes [`Packer::pack`]. The caller has bounded `raw_len`; anything that does not have just that length is
/// refused.
pub(crate) fn unpack(stored: &[u8], raw_len: usize) -> Option<Vec<u8>> {
    let raw = Decompressor::new().ok()?.decompress(stored, raw_len).ok()?;
    (raw.len() == raw_len).then_some(raw)
}

/// Whether more than this part is saved, as the divisor of the whole.
fn saves(part: usize, before: usize, after: usize) -> bool {
    after < before - before / part
}

fn sample(raw: &[u8]) -> Vec<u8> {
    let stride = raw.len() / 4;
    (0..4).flat_map(|i| &raw[i * stride..i * stride + SAMPLE_LEN]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        aws_lc_rs::rand::fill(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn text_is_packed_and_comes_back() {
        for length in [100, 5_000, 1 << 20] {
            let text: Vec<u8> = b"{\"kind\":\"Pod\"}".iter().copied().cycle().take(length).collect();
            for hurried in [false, true, false] {
                let packed = Packer::default().pack(&text, hurried).unwrap();
                assert!(packed.len() < text.len());
                assert_eq!(unpack(&packed, text.len()).unwrap(), text);
                assert_eq!(unpack(&packed, text.len() - 1), None);
                assert_eq!(unpack(&packed, text.len() + 1), None);
            }
        }
    }

    #[test]
    fn what_is_long_and_saves_little_is_left_as_it_is() {
        let mut packer = Packer::default();
        let of_seven_bits = |length| noise(length).into_iter().map(|byte| byte >> 1).collect::<Vec<_>>();
        assert!(packer.pack(&of_seven_bits(SAMPLE_ABOVE), false).is_some());
        assert_eq!(packer.pack(&of_seven_bits(1 << 20), false), None);
    }

    #[test]
    fn noise_is_left_as_it_is() {
        let mut packer = Packer::default();
        for length in [1, 100, 5_000, 1 << 20] {
            assert_eq!(packer.pack(&noise(length), false), None);
        }
        assert_eq!(unpack(b"no zstd", 7), None);
    }
}
