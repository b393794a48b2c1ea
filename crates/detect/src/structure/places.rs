//! Which values to mask: paths such as `items.*.data.*`, and key names at any depth such as `**.password`.

use std::fmt;
use std::sync::Arc;

use crate::known::KnownValues;

/// Positions in all paths together; a set of them is one bit each.
const POSITIONS: usize = 256;

/// The longest segment, and so the longest key that is looked at.
pub(super) const MAX_SEGMENT: usize = 256;

/// A path cannot be used; its author is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// An empty path or segment, an open quote, or a segment of more than 256 bytes.
    #[error("the path `{0}` has an empty, open or overlong segment")]
    Malformed(String),
    /// All paths together have more than 256 segments.
    #[error("the paths have more than {POSITIONS} segments together")]
    TooMany,
}

/// What a masked string is replaced by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// The placeholder itself.
    #[default]
    Plain,
    /// The placeholder in base64, for readers that decode the value, as they do with a Secret's `data`.
    Base64,
}

/// The values to mask in a document. Cheap to clone.
#[derive(Clone, Default)]
pub struct Places(Arc<Inner>);

#[derive(Clone, Default)]
struct Inner {
    segments: Vec<Segment>,
    places: Vec<Place>,
    starts: Set,
    learn: Option<KnownValues>,
}

#[derive(Clone)]
struct Place {
    name: Arc<str>,
    encoding: Encoding,
}

#[derive(Clone)]
enum Segment {
    Key {
        text: String,
        open_start: bool,
        open_end: bool,
    },
    Any,
    Deep,
    /// The end of a path: what stands here is masked.
    End(u16),
}

impl Places {
    /// No place.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Masks what stands at `path`: a string or number there, or everything below an object or array there.
    ///
    /// Segments are separated by dots: a key, compared without regard to ASCII case, with `*` at its
    /// beginning or end for anything; `*` for any key or any element; `**` for any number of levels. A key
    /// with dots is written in double quotes. `name` is what the placeholder shows.
    ///
    /// # Errors
    /// [`PlaceError`]; the places are then as before.
    pub fn with(mut self, name: &str, path: &str, encoding: Encoding) -> Result<Self, PlaceError> {
        let parsed = parse(path).ok_or_else(|| PlaceError::Malformed(path.to_owned()))?;
        let inner = Arc::make_mut(&mut self.0);
        if inner.segments.len() + parsed.len() + 1 > POSITIONS {
            return Err(PlaceError::TooMany);
        }
        inner.starts.insert(inner.segments.len());
        inner.segments.extend(parsed);
        inner.segments.push(Segment::End(inner.places.len() as u16));
        inner.places.push(Place { name: name.into(), encoding });
        inner.starts = inner.closure(inner.starts);
        Ok(self)
    }

    /// Adds every masked string to `known`, decoded where it is base64, so that it is masked wherever else it
    /// appears.
    #[must_use]
    pub fn learning(mut self, known: &KnownValues) -> Self {
        Arc::make_mut(&mut self.0).learn = Some(known.clone());
        self
    }

    pub(super) fn known(&self) -> Option<&KnownValues> {
        self.0.learn.as_ref()
    }

    /// Where a document begins.
    pub(super) fn root(&self) -> Set {
        self.0.starts
    }

    /// Where one is after going from `set` into the member `key`, or an element if there is none.
    pub(super) fn enter(&self, set: Set, key: Option<&Key>) -> Set {
        let mut next = Set::default();
        for position in set.iter() {
            match &self.0.segments[position] {
                Segment::Deep => next.insert(position),
                Segment::Any => next.insert(position + 1),
                Segment::Key { .. } if key.is_some_and(|key| self.0.segments[position].is(key)) => {
                    next.insert(position + 1)
                }
                Segment::Key { .. } | Segment::End(_) => {}
            }
        }
        self.0.closure(next)
    }

    /// As [`Places::enter`] below the depth to which positions are kept: a key that ends any path is taken
    /// for one that does, so that too much is masked and not too little.
    pub(super) fn enter_untracked(&self, key: Option<&Key>) -> Set {
        let mut next = Set::default();
        for (position, pair) in self.0.segments.windows(2).enumerate() {
            if matches!(pair[1], Segment::End(_)) && key.is_some_and(|key| pair[0].is(key)) {
                next.insert(position + 1);
            }
        }
        next
    }

    /// The place that `set` stands for, if it is one to mask.
    pub(super) fn masked(&self, set: Set) -> Option<u16> {
        set.iter().find_map(|position| match self.0.segments[position] {
            Segment::End(place) => Some(place),
            Segment::Key { .. } | Segment::Any | Segment::Deep => None,
        })
    }

    pub(super) fn name(&self, place: u16) -> &Arc<str> {
        &self.0.places[usize::from(place)].name
    }

    pub(super) fn encoding(&self, place: u16) -> Encoding {
        self.0.places[usize::from(place)].encoding
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.places.iter().map(|place| &place.name)).finish()
    }
}

impl Inner {
    /// `**` may stand for no level at all.
    fn closure(&self, mut set: Set) -> Set {
        for position in 0..self.segments.len() {
            if set.contains(position) && matches!(self.segments[position], Segment::Deep) {
                set.insert(position + 1);
            }
        }
        set
    }
}

impl Segment {
    fn is(&self, key: &Key) -> bool {
        let Segment::Key { text, open_start, open_end } = self else { return false };
        let (text, bytes) = (text.as_bytes(), key.bytes.as_slice());
        if key.unknown {
            return true;
        }
        if key.overflow {
            // Longer than any segment: only an open one can match, and may.
            return *open_start || *open_end;
        }
        if bytes.len() < text.len() {
            return false;
        }
        match (open_start, open_end) {
            (false, false) => bytes.eq_ignore_ascii_case(text),
            (false, true) => bytes[..text.len()].eq_ignore_ascii_case(text),
            (true, false) => bytes[bytes.len() - text.len()..].eq_ignore_ascii_case(text),
            (true, true) => bytes.windows(text.len().max(1)).any(|window| window.eq_ignore_ascii_case(text)),
        }
    }
}

fn parse(path: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut rest = path;
    loop {
        let segment;
        (segment, rest) = if let Some(quoted) = rest.strip_prefix('"') {
            let (text, after) = quoted.split_once('"')?;
            (Segment::Key { text: text.to_owned(), open_start: false, open_end: false }, after)
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (bare(&rest[..end])?, &rest[end..])
        };
        if matches!(&segment, Segment::Key { text, .. } if text.is_empty() || text.len() > MAX_SEGMENT) {
            return None;
        }
        segments.push(segment);
        if rest.is_empty() {
            return Some(segments);
        }
        rest = rest.strip_prefix('.')?;
    }
}

fn bare(text: &str) -> Option<Segment> {
    match text {
        "" => None,
        "*" => Some(Segment::Any),
        "**" => Some(Segment::Deep),
        _ => {
            let (open_start, open_end) = (text.starts_with('*'), text.ends_with('*'));
            Some(Segment::Key { text: text.trim_matches('*').to_owned(), open_start, open_end })
        }
    }
}

/// A key as it is read, decoded, as far as a segment could be compared with it.
#[derive(Default)]
pub(super) struct Key {
    bytes: Vec<u8>,
    overflow: bool,
    unknown: bool,
}

impl Key {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.overflow = false;
        self.unknown = false;
    }

    /// The key is written in a way that is not decoded: it counts as any.
    pub(super) fn mark_unknown(&mut self) {
        self.unknown = true;
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let room = MAX_SEGMENT - self.bytes.len();
        self.overflow |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// A set of positions in the paths.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Set([u64; POSITIONS / 64]);

impl Set {
    fn insert(&mut self, position: usize) {
        self.0[position / 64] |= 1 << (position % 64);
    }

    fn contains(&self, position: usize) -> bool {
        self.0[position / 64] >> (position % 64) & 1 == 1
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(index * 64 + bit)
            })
        })
    }
}
