//! Masks what the API server answers: by place, by value and by pattern, in JSON, YAML and text.
//!
//! An answer is taken apart into objects (one, the events of a watch, the items of a list), and each is read before
//! a byte of it is written, because a Secret's annotations and cells stand before its data. What stands where a
//! secret belongs is replaced, and learned: from then on it is masked in every answer of the session, also where
//! it was copied to. Everything else stays as it came, byte for byte. What cannot be read for certain is an error,
//! and nothing more of it is shown.

mod body;
mod fuzz;
pub(crate) mod marker;
mod names;
mod object;
mod split;
mod write;
mod yaml;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use lockgate_detect::{KnownError, KnownValues, MaskOptions, Masker, RuleSet, TagKey};

pub use self::body::{Masked, masked};
#[doc(hidden)]
pub use self::fuzz::fuzz_mask;
use self::object::{Edit, Learned, Surroundings};
use self::split::{Piece, Splitter};
use crate::parse::document::{Document, DocumentError};
use crate::parse::info::Resource;
use crate::parse::object::{YamlError, media_type};

/// The most bytes of an answer that are kept before it is written: so the number of what was masked is known
/// before the head of a small one is sent, and the values of a list are learned together.
pub const GATHERED: usize = 1 << 20;

/// What an answer is about, as far as its masking depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The API group; empty for the core one.
    pub group: String,
    /// The resource, in the plural as in paths.
    pub resource: String,
    /// The subresource; empty for none.
    pub subresource: String,
    /// Whether the answer goes on as things happen: a watch, a log that is followed.
    pub is_watch: bool,
}

impl Subject {
    /// An answer that is about this resource.
    pub(crate) fn of(resource: &Resource, is_watch: bool) -> Self {
        let Resource { group, resource, subresource, .. } = resource.clone();
        Self { group, resource, subresource, is_watch }
    }
}

/// What is masked besides what always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether Secrets of Helm releases (`helm.sh/release.v1`) are left as they are, because Helm reads them.
    /// Default: no.
    pub helm: bool,
    /// The largest object, in bytes. Default: 8 MiB, more than etcd keeps.
    pub object: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { helm: false, object: 8 << 20 }
    }
}

/// The forms of answers that can be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON, and any number of JSON texts one after another: a watch.
    Json,
    /// YAML.
    Yaml,
    /// Anything that is read as text, such as a log.
    Text,
}

impl Format {
    /// By an answer's head; none for what cannot be masked and so must not be shown, also because it is compressed.
    #[must_use]
    pub fn of_answer(headers: &HeaderMap) -> Option<Self> {
        let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        let is_plain = encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        Self::of(headers.get(header::CONTENT_TYPE)).filter(|_| is_plain)
    }

    /// By an answer's `Content-Type`; none for what cannot be masked and so must not be shown: protobuf, CBOR, and
    /// what does not say what it is.
    #[must_use]
    pub fn of(content_type: Option<&HeaderValue>) -> Option<Self> {
        match media_type(content_type?)?.as_str() {
            "application/json" => Some(Self::Json),
            "application/yaml" => Some(Self::Yaml),
            text if text.starts_with("text/") => Some(Self::Text),
            _ => None,
        }
    }
}

/// An answer cannot be masked, and ends here. The upstream is at fault. No variant holds content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// Not the JSON that it says it is.
    #[error("the upstream's JSON can't be masked")]
    Json(#[from] DocumentError),
    /// Not the YAML that it says it is, or more than is understood.
    #[error("the upstream's YAML can't be masked")]
    Yaml,
    /// An object is larger than [`Options::object`].
    #[error("an object of the upstream's answer is too large to be masked")]
    TooLarge,
    /// The answer ended within an object.
    #[error("the upstream's answer ended within an object")]
    Incomplete,
}

impl From<YamlError> for MaskError {
    fn from(_: YamlError) -> Self {
        Self::Yaml
    }
}

/// Masks one answer. It does no I/O.
#[derive(Debug)]
pub struct Masking {
    subject: Subject,
    options: Options,
    format: Format,
    known: KnownValues,
    tags: TagKey,
    masker: Masker,
    splitter: Splitter,
    /// Of the list that is being read: whether it says what its items are.
    list: (bool, bool),
    gathered: Gathered,
    /// The whole of a YAML answer.
    yaml: Vec<u8>,
    /// Values replaced by their place.
    placed: u64,
    is_full: bool,
    failed: Option<MaskError>,
}

/// Pieces that were read and are not written.
#[derive(Debug, Default)]
struct Gathered {
    pieces: Vec<Prepared>,
    bytes: usize,
    learned: Learned,
}

/// A piece, what of its text is shown, and what is written anew.
#[derive(Debug)]
struct Prepared {
    piece: Piece,
    list: (bool, bool),
    text: Vec<u8>,
    shown: std::ops::Range<usize>,
    edits: Vec<Edit>,
}

impl Masking {
    /// A masking of one answer, by the rules and by values that are known in the session, to which it adds those
    /// that it finds. The key makes the tags of placeholders.
    #[must_use]
    pub fn new(
        subject: Subject,
        format: Format,
        rules: &RuleSet,
        known: &KnownValues,
        tags: &TagKey,
        options: Options,
    ) -> Self {
        let masker = match format {
            Format::Text => Masker::new(rules, known, tags, MaskOptions::default()),
            Format::Json | Format::Yaml => {
                Masker::new(&rules.structured(), known, tags, MaskOptions::exact())
            }
        };
        Self {
            subject,
            options,
            format,
            known: known.clone(),
            tags: tags.clone(),
            masker,
            splitter: Splitter::new(options.object),
            list: (false, false),
            gathered: Gathered::default(),
            yaml: Vec::new(),
            placed: 0,
            is_full: false,
            failed: None,
        }
    }

    /// Takes the next bytes and writes what is certain, once enough is gathered.
    ///
    /// # Errors
    /// [`MaskError`], for this and any later input.
    pub fn push(&mut self, input: &Bytes, out: &mut Vec<Bytes>) -> Result<(), MaskError> {
        self.guarded(|masking| match masking.format {
            Format::Text => {
                masking.masker.push(input, out);
                Ok(())
            }
            Format::Yaml => masking.gather_yaml(input),
            Format::Json => {
                let mut splitter = std::mem::replace(&mut masking.splitter, Splitter::new(0));
                let taken = splitter.push(input, |piece, text| {
                    masking.prepare(piece, text)?;
                    if masking.gathered.bytes >= GATHERED { masking.write(out) } else { Ok(()) }
                });
                masking.splitter = splitter;
                taken
            }
        })
    }

    /// Writes every object that is whole: for when the upstream has nothing more for now.
    ///
    /// # Errors
    /// [`MaskError`].
    pub fn flush(&mut self, out: &mut Vec<Bytes>) -> Result<(), MaskError> {
        self.guarded(|masking| match masking.format {
            Format::Text => {
                masking.masker.flush(out);
                Ok(())
            }
            Format::Yaml => Ok(()),
            Format::Json => masking.write(out),
        })
    }

    /// Writes what is held back of a text without being sure to begin a secret: for after a pause.
    pub fn idle(&mut self, out: &mut Vec<Bytes>) {
        if self.format == Format::Text {
            self.masker.idle(out);
        }
    }

    /// Whether [`Masking::idle`] has something to write.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.format == Format::Text && self.masker.is_holding()
    }

    /// Ends the answer and writes the rest.
    ///
    /// # Errors
    /// [`MaskError`].
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), MaskError> {
        self.guarded(|masking| match masking.format {
            Format::Text => {
                masking.masker.finish(out);
                Ok(())
            }
            Format::Yaml => masking.write_yaml(out),
            Format::Json => {
                if let Some((piece, text)) = masking.splitter.finish()? {
                    masking.prepare(piece, text)?;
                }
                masking.write(out)
            }
        })
    }

    /// How many values were masked in what was written.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.placed + self.masker.found()
    }

    /// Whether values were masked at their place that are not looked for elsewhere, for want of room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether this answer may go on for ever, so that nothing waits for its end.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.subject.is_watch || self.format == Format::Text
    }

    fn guarded(&mut self, run: impl FnOnce(&mut Self) -> Result<(), MaskError>) -> Result<(), MaskError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        run(self).inspect_err(|error| {
            self.failed = Some(*error);
            self.gathered = Gathered::default();
        })
    }

    /// Reads a piece: what of it is masked by place, and what is learned.
    fn prepare(&mut self, piece: Piece, text: Vec<u8>) -> Result<(), MaskError> {
        let (length, list) = (text.len(), self.list);
        // Halves of a list are made whole to be read.
        let (text, shown) = match piece {
            Piece::Whole | Piece::Item | Piece::Between => (text, 0..length),
            Piece::Head => ([&text[..], b"]}"].concat(), 0..length),
            Piece::Tail => ([b"{\"\":[", &text[..]].concat(), 5..5 + length),
        };
        let mut edits = Vec::new();
        if piece != Piece::Between {
            let document = Document::parse(&text)?;
            let (secrets, config_maps) = object::list_of(&document);
            match piece {
                Piece::Head => self.list = (secrets, config_maps),
                Piece::Whole | Piece::Item | Piece::Tail | Piece::Between => {}
            }
            let is_item = piece == Piece::Item;
            let is_core = self.subject.group.is_empty();
            let is_resource = |name| is_core && self.subject.resource == name;
            let around = Surroundings {
                tags: &self.tags,
                secrets: is_resource("secrets") || secrets || (is_item && self.list.0),
                config_maps: is_resource("configmaps") || config_maps || (is_item && self.list.1),
                token: self.subject.subresource == "token",
                helm: self.options.helm,
                is_full: self.is_full,
                nesting: 0,
                identity: None,
            };
            edits = object::edits(&document, &around, &mut self.gathered.learned);
        }
        if matches!(piece, Piece::Tail | Piece::Whole) {
            self.list = (false, false);
        }
        // Edits in what was added to a half would be of nothing that is shown.
        edits.retain(|edit| shown.contains(&edit.range.start));
        self.gathered.bytes += text.len();
        self.gathered.pieces.push(Prepared { piece, list, text, shown, edits });
        Ok(())
    }

    /// Learns what the gathered pieces hold, then writes them.
    fn write(&mut self, out: &mut Vec<Bytes>) -> Result<(), MaskError> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let was_full = self.is_full;
        for (rule, value) in &gathered.learned {
            self.is_full |= self.known.add(rule, value) == Err(KnownError::Full);
        }
        if self.is_full && !was_full {
            // What can't be looked for is masked with all that it may have been copied to.
            gathered = self.prepared_anew(gathered.pieces)?;
        }
        let mut written = Vec::new();
        for piece in &gathered.pieces {
            self.placed += write::piece(piece, &mut self.masker, &mut written);
        }
        if !written.is_empty() {
            out.push(Bytes::from(written));
        }
        Ok(())
    }

    fn prepared_anew(&mut self, pieces: Vec<Prepared>) -> Result<Gathered, MaskError> {
        let list = self.list;
        for Prepared { piece, list, text, shown, .. } in pieces {
            self.list = list;
            self.prepare(piece, text[shown].to_vec())?;
        }
        self.list = list;
        Ok(std::mem::take(&mut self.gathered))
    }
}

#[cfg(test)]
mod tests;
