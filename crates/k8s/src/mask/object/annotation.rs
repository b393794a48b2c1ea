//! Annotations: whole objects are kept in them (`kubectl.kubernetes.io/last-applied-configuration`,
//! `kapp.k14s.io/original`), and whatever else somebody has copied there.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Reader, Surroundings, With, edits};
use crate::parse::document::{Document, Shape};

/// Documents within documents that are looked into.
const MAX_NESTING: usize = 3;

/// Values times annotations that are compared; with more of them, a Secret's annotations are masked whole.
const MAX_COMPARED: usize = 1 << 14;

impl Reader<'_, '_> {
    pub(super) fn annotation(&mut self, annotations: usize, node: usize) -> Option<With> {
        let document = self.document;
        let text = document.string(node)?;
        let owner = document.parent(annotations).and_then(|metadata| document.parent(metadata));
        let secret = owner.filter(|&owner| self.is_secret(owner));
        let masked =
            |reader: &Self| Some(With::Json(reader.quoted(owner.unwrap_or(annotations), node, "annotation")));
        if let Some(secret) = secret
            && (self.around.is_full || self.copies(secret, annotations, &text))
        {
            return masked(self);
        }
        if !text.starts_with(['{', '[']) {
            return None;
        }
        let nested = Document::parse(text.as_bytes()).ok().filter(|_| self.around.nesting < MAX_NESTING);
        let Some(nested) = nested else {
            // A Secret that can't be looked into.
            return secret.and_then(|_| masked(self));
        };
        let around = Surroundings {
            secrets: secret.is_some() && nested.shape(0) == Shape::Object,
            nesting: self.around.nesting + 1,
            identity: owner.map(|owner| self.identity(owner)),
            ..self.around.clone()
        };
        let edits = edits(&nested, &around, self.learned);
        Some(With::Nested(text.into_owned(), edits))
    }

    /// Whether a Secret's annotation has one of its values in it, as short as it may be.
    fn copies(&self, secret: usize, annotations: usize, text: &str) -> bool {
        let document = self.document;
        let data = ["data", "stringData"].map(|name| document.member(secret, name));
        let values = || data.iter().flatten().flat_map(|&data| document.children(data));
        if values().count() * document.children(annotations).count() > MAX_COMPARED {
            return true;
        }
        values().filter_map(|value| document.string(value)).any(|value| {
            let decoded = STANDARD.decode(&*value).ok().and_then(|decoded| String::from_utf8(decoded).ok());
            let is_in = |value: &str| {
                let value = value.trim();
                // Shorter ones are in every text.
                if value.len() < 4 { text == value && !value.is_empty() } else { text.contains(value) }
            };
            // An object is looked into, and keeps what is no value.
            let is_copy = |value: &str| if text.starts_with('{') { text == value } else { is_in(value) };
            is_copy(&value) || decoded.as_deref().is_some_and(is_copy)
        })
    }
}
