//! What people are shown of an image that waits for them: what changes between what the tag stands for and what it
//! would stand for. Text, without secrets.

use std::{fmt::Write as _, sync::Arc};

use lockgate_core::protocol::Probe;
use lockgate_detect::{KnownValues, MaskOptions, Masker};
use similar::{ChangeTag, TextDiff};

use crate::{
    facts::words,
    parse::{
        manifest::{Descriptor, ImageConfig, Manifest},
        name::{Digest, Reference},
    },
    place::Place,
    read::Reader,
    scan::Scans,
};

/// Lines that are shown of a config at most, and characters of each.
const LINES: usize = 1000;
const LINE: usize = 400;

/// A manifest that may have to be approved.
pub(crate) struct Show {
    pub(crate) scans: Arc<Scans>,
    pub(crate) repository: String,
    pub(crate) tag: Option<String>,
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
    /// Bytes of a manifest at most.
    pub(crate) max: usize,
}

impl Show {
    /// What changes.
    pub(crate) async fn text(&self, probe: &dyn Probe, place: &Place) -> String {
        let reader = Reader { probe, place, repository: &self.repository, manifest: self.max };
        let before = match &self.tag {
            Some(tag) => reader.manifest(&Reference::Tag(tag.clone()), None).await.ok().flatten(),
            None => None,
        };
        let before = before.and_then(|found| {
            let digest = Digest::of(self.digest.algorithm(), &found);
            Some((digest, Manifest::parse(&found).ok()?))
        });
        let old = match &before {
            Some((_, manifest)) => config(&reader, manifest).await,
            None => None,
        };
        let new = config(&reader, &self.manifest).await;
        let text = compared(
            before.as_ref().map(|(digest, manifest)| (digest, manifest)),
            (&self.digest, &self.manifest),
            (&old.unwrap_or_default(), &new.unwrap_or_default()),
        );
        self.masked(&text)
    }

    fn masked(&self, text: &str) -> String {
        let config = self.scans.config();
        let mut masker = Masker::new(&config.rules, &KnownValues::new(), &config.key, MaskOptions::default());
        let mut out = Vec::new();
        masker.push(text.as_bytes(), &mut out);
        masker.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

async fn config(reader: &Reader<'_>, manifest: &Manifest) -> Option<Vec<String>> {
    let descriptor = manifest.config.as_ref()?;
    let config = reader.config(&descriptor.digest).await.ok()??;
    Some(lines(&config))
}

/// A config, a line for each thing that it says.
fn lines(config: &ImageConfig) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |name: &str, value: &str| {
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE).collect();
        lines.push(format!("{name}: {value}"));
    };
    say("platform", config.platform.as_deref().unwrap_or("not said"));
    say("user", if config.user.is_empty() { "not said, so root" } else { &config.user });
    say("runs", &words(config));
    config.env.iter().for_each(|variable| say("env", variable));
    config.labels.iter().for_each(|(name, value)| say("label", &format!("{name}={value}")));
    config.history.iter().for_each(|step| say("made by", step));
    lines.truncate(LINES);
    lines
}

/// The text of what changes.
fn compared(
    before: Option<(&Digest, &Manifest)>,
    (digest, manifest): (&Digest, &Manifest),
    (old, new): (&[String], &[String]),
) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = match before {
        Some((old, _)) => writeln!(text, "was {old}\nnow {digest}"),
        None => writeln!(text, "new {digest}"),
    };
    if let Some(subject) = &manifest.subject {
        let _ = writeln!(text, "attached to {}", subject.digest);
    }
    let empty = Manifest::default();
    let known = before.map_or(&empty, |(_, manifest)| manifest);
    parts(&mut text, "layers", &known.layers, &manifest.layers);
    parts(&mut text, "manifests", &known.manifests, &manifest.manifests);
    if !(old.is_empty() && new.is_empty()) {
        let _ = writeln!(text, "config");
        let (old, new) = (old.join("\n"), new.join("\n"));
        for change in TextDiff::from_lines(&old, &new).iter_all_changes() {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let _ = writeln!(text, "{sign} {}", change.value().trim_end_matches('\n'));
        }
    }
    text
}

/// What is added and what is gone.
fn parts(text: &mut String, name: &str, old: &[Descriptor], new: &[Descriptor]) {
    if old.is_empty() && new.is_empty() {
        return;
    }
    let _ = writeln!(text, "{name}");
    let is_in = |of: &[Descriptor], part: &Descriptor| of.iter().any(|other| other.digest == part.digest);
    let gone = old.iter().filter(|part| !is_in(new, part)).map(|part| ('-', part));
    let here = new.iter().map(|part| (if is_in(old, part) { ' ' } else { '+' }, part));
    for (sign, part) in gone.chain(here) {
        let platform = part.platform.as_ref().map(|platform| format!(" {platform}")).unwrap_or_default();
        let _ = writeln!(text, "{sign} {} {} bytes{platform}", part.digest, part.size);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::parse::name::Algorithm;

    fn manifest(layers: &[&str]) -> Manifest {
        let blob = |text: &&str| json!({ "mediaType": "l", "digest": Digest::of(Algorithm::Sha256, text.as_bytes()).as_str(), "size": text.len() });
        let layers: Vec<_> = layers.iter().map(blob).collect();
        Manifest::parse(json!({ "layers": layers }).to_string().as_bytes()).unwrap()
    }

    fn config(user: &str, variable: &str) -> Vec<String> {
        let config = json!({
            "architecture": "amd64",
            "config": { "User": user, "Env": ["A=b", variable], "Cmd": ["run"] },
            "history": [{ "created_by": "COPY a\nb" }],
        });
        lines(&ImageConfig::parse(config.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn people_see_what_changes() {
        let digest = |text: &str| Digest::of(Algorithm::Sha256, text.as_bytes());
        let (old, new) = (manifest(&["base", "app one"]), manifest(&["base", "app two!"]));
        let text = compared(
            Some((&digest("old"), &old)),
            (&digest("new"), &new),
            (&config("1000", "C=d"), &config("", "C=e")),
        );
        let expected = format!(
            "was {}\nnow {}\nlayers\n- {} 7 bytes\n  {} 4 bytes\n+ {} 8 bytes\nconfig\n  platform: amd64\n\
             - user: 1000\n+ user: not said, so root\n  runs: run\n  env: A=b\n- env: C=d\n+ env: C=e\n  made by: COPY a b\n",
            digest("old"),
            digest("new"),
            digest("app one"),
            digest("base"),
            digest("app two!"),
        );
        assert_eq!(text, expected);
        let first = compared(None, (&digest("new"), &new), (&[], &[]));
        assert!(first.starts_with(&format!("new {}\nlayers\n+ ", digest("new"))), "{first}");
    }
}
