//! What a match must still satisfy: entropy, allow patterns, and checksums that make a false match rare.

use serde::Deserialize;

use super::compile::Rule;

/// A checksum or decoding that the secret must pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    /// Digits, with spaces or dashes between, whose Luhn sum is zero modulo ten.
    Luhn,
    /// ISO 13616: the number modulo 97 is one.
    Iban,
    /// The last six characters are the CRC-32 of what stands between the prefix and them, in base 62.
    Crc32Base62,
    /// The first segment is base64url of a JSON object with an `alg`.
    Jwt,
    /// Upper, lower and digit all occur.
    Mixed,
}

impl Rule {
    /// Whether `secret`, which the pattern matched and whose entropy is `entropy()`, is one.
    pub(crate) fn accepts(&self, secret: &[u8], entropy: impl FnOnce() -> f32) -> bool {
        self.entropy.is_none_or(|least| entropy() >= least)
            && self.check.is_none_or(|check| check.passes(secret))
            && !self.program().allow.as_ref().is_some_and(|allow| allow.is_match(secret))
    }
}

impl Check {
    fn passes(self, secret: &[u8]) -> bool {
        match self {
            Self::Luhn => luhn(secret),
            Self::Iban => iban(secret),
            Self::Crc32Base62 => crc32_base62(secret),
            Self::Jwt => jwt(secret),
            Self::Mixed => {
                secret.iter().any(u8::is_ascii_digit)
                    && secret.iter().any(u8::is_ascii_lowercase)
                    && secret.iter().any(u8::is_ascii_uppercase)
            }
        }
    }
}

fn luhn(number: &[u8]) -> bool {
    let digits: Vec<u32> =
        number.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0')).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    digits.iter().any(|&digit| digit != digits[0]) && sum.is_multiple_of(10)
}

fn iban(number: &[u8]) -> bool {
    let compact: Vec<u8> = number.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
    if !(15..=34).contains(&compact.len()) {
        return false;
    }
    let rotated = compact[4..].iter().chain(&compact[..4]);
    let remainder = rotated.fold(0u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter.to_ascii_uppercase() - b'A') + 10) % 97,
    });
    remainder == 1
}

/// As GitHub documents it for its tokens since 2021.
fn crc32_base62(token: &[u8]) -> bool {
    let Some(prefix) = token.iter().rposition(|&byte| byte == b'_') else { return false };
    let Some((payload, sum)) = token[prefix + 1..].split_last_chunk::<6>() else { return false };
    let expected = sum.iter().try_fold(0u64, |value, &byte| Some(value * 62 + base62(byte)?));
    expected == Some(u64::from(crc32(payload)))
}

fn base62(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some(u64::from(byte - b'0')),
        b'A'..=b'Z' => Some(u64::from(byte - b'A') + 10),
        b'a'..=b'z' => Some(u64::from(byte - b'a') + 36),
        _ => None,
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn jwt(token: &[u8]) -> bool {
    use base64::Engine as _;
    let head = token.split(|&byte| byte == b'.').next().unwrap_or_default();
    let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head);
    decoded.is_ok_and(|json| {
        json.starts_with(b"{") && json.windows(5).any(|window| window == b"\"alg\"" || window == b"\"enc\"")
    })
}
