//! A YAML answer, masked as the JSON that it is another form of.

use bytes::Bytes;
use serde_json::Value;

use super::{MaskError, Masking, Piece};
use crate::parse::yaml;

impl Masking {
    pub(super) fn gather_yaml(&mut self, input: &[u8]) -> Result<(), MaskError> {
        if self.yaml.len() + input.len() > self.options.object {
            return Err(MaskError::TooLarge);
        }
        self.yaml.extend_from_slice(input);
        Ok(())
    }

    /// Writes the answer. It stays as it came where nothing is masked;
    /// where something is, its values are written in the same order and with other quotes.
    pub(super) fn write_yaml(&mut self, out: &mut Vec<Bytes>) -> Result<(), MaskError> {
        let text = std::mem::take(&mut self.yaml);
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        let value = yaml::read(&text)?;
        let json = serde_json::to_vec(&value).map_err(|_| MaskError::Yaml)?;
        self.prepare(Piece::Whole, json)?;
        let mut masked = Vec::new();
        self.write(&mut masked)?;
        let masked: Value = serde_json::from_slice(&masked.concat()).map_err(|_| MaskError::Yaml)?;
        if masked == value {
            out.push(Bytes::from(text));
            return Ok(());
        }
        let options = serde_saphyr::ser_options! { compact_list_indent: true, prefer_block_scalars: false };
        let text = serde_saphyr::to_string_with_options(&masked, options).map_err(|_| MaskError::Yaml)?;
        out.push(Bytes::from(text));
        Ok(())
    }
}
