//! The ends of an input that may be the beginning of a secret.

/// Which one, two and three bytes a held quad begins with, exactly for one and two.
pub(super) struct Tails {
    one: [bool; 256],
    two: Vec<u64>,
    three: Vec<u32>,
}

impl Tails {
    pub(super) fn new() -> Self {
        Self { one: [false; 256], two: vec![0; 1 << 10], three: Vec::new() }
    }

    pub(super) fn insert(&mut self, quad: [u8; 4]) {
        self.one[quad[0] as usize] = true;
        let pair = u16::from_le_bytes([quad[0], quad[1]]) as usize;
        self.two[pair >> 6] |= 1 << (pair & 63);
        let triple = u32::from_le_bytes([quad[0], quad[1], quad[2], 0]);
        if let Err(place) = self.three.binary_search(&triple) {
            self.three.insert(place, triple);
        }
    }

    pub(super) fn longest(&self, last: &[u8]) -> usize {
        match *last {
            [.., a, b, c] if self.has_three([a, b, c]) => 3,
            [.., a, b] if self.has_two([a, b]) => 2,
            [.., a] if self.one[a as usize] => 1,
            _ => 0,
        }
    }

    fn has_two(&self, pair: [u8; 2]) -> bool {
        let pair = u16::from_le_bytes(pair) as usize;
        self.two[pair >> 6] >> (pair & 63) & 1 == 1
    }

    fn has_three(&self, [a, b, c]: [u8; 3]) -> bool {
        self.has_two([a, b]) && self.three.binary_search(&u32::from_le_bytes([a, b, c, 0])).is_ok()
    }
}
