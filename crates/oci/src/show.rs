//! What people are shown of an image that waits for them: what changes between what the tag stands for and what it
//! would stand for. Text, without secrets.

use std::{fmt::Write as _, sync::Arc};

use lockgate_core::{protocol::Probe, text::plain};
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
    sbom::Packages,
    scan::Scans,
    service::Moves,
};

/// Lines that are shown of a config or of packages at most, and characters of each.
const LINES: usize = 1000;
const LINE: usize = 400;
/// Tags of which it is shown what becomes of them.
const TAGS: usize = 20;

/// A manifest that may have to be approved.
pub(crate) struct Show {
    pub(crate) scans: Arc<Scans>,
    pub(crate) repository: String,
    /// The tags that it moves.
    pub(crate) moves: Arc<Moves>,
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
    /// Bytes of a manifest at most.
    pub(crate) max: usize,
}

impl Show {
    /// What changes.
    pub(crate) async fn text(&self, probe: &dyn Probe, place: &Place) -> String {
        let reader = Reader { probe, place, repository: &self.repository, manifest: self.max };
        let new = Image::of(&reader, self.digest.clone(), self.manifest.clone()).await;
        let tags: Vec<&str> = self.moves.list().collect();
        let mut text = String::new();
        for tag in tags.iter().take(TAGS) {
            if tags.len() > 1 {
                // Writing to a string can't fail.
                let _ = writeln!(text, "tag {tag}");
            }
            let before = before(&reader, &self.moves, tag).await;
            text += &compared(before.as_ref(), &new);
        }
        if tags.len() > TAGS {
            let _ = writeln!(text, "{} more tags, of which nothing is shown", tags.len() - TAGS);
        }
        if tags.is_empty() {
            text += &compared(None, &new);
        }
        self.masked(&text)
    }

    fn masked(&self, text: &str) -> String {
        let config = self.scans.config();
        let mut masker = Masker::new(&config.rules, &KnownValues::new(), &config.key, MaskOptions::default());
        String::from_utf8_lossy(&masker.whole(text)).into_owned()
    }
}

/// An image, as far as it can be read.
struct Image {
    digest: Digest,
    manifest: Manifest,
    config: Vec<String>,
    packages: Option<Packages>,
}

impl Image {
    async fn of(reader: &Reader<'_>, digest: Digest, manifest: Manifest) -> Self {
        let config = reader.config_of(&manifest).await.ok().flatten();
        let packages = reader.packages(&digest, &manifest).await.ok().flatten();
        Self { digest, manifest, config: config.as_ref().map(lines).unwrap_or_default(), packages }
    }
}

/// What a tag stands for until now.
async fn before(reader: &Reader<'_>, moves: &Moves, tag: &str) -> Option<Image> {
    let digest = moves.before(reader, tag).await.ok()??;
    let found = reader.manifest(&Reference::Digest(digest.clone()), None).await.ok()??;
    let manifest = Manifest::parse(&found).ok()?;
    Some(Image::of(reader, digest, manifest).await)
}

/// A config, a line for each thing that it says.
fn lines(config: &ImageConfig) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |name: &str, value: &str| {
        lines.push(format!("{name}: {}", plain(value, LINE)));
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
fn compared(before: Option<&Image>, image: &Image) -> String {
    let mut text = String::new();
    let _ = match before {
        Some(old) => writeln!(text, "was {}\nnow {}", old.digest, image.digest),
        None => writeln!(text, "new {}", image.digest),
    };
    if let Some(subject) = &image.manifest.subject {
        let _ = writeln!(text, "attached to {}", subject.digest);
    }
    let empty = Manifest::default();
    let known = before.map_or(&empty, |of| &of.manifest);
    parts(&mut text, "layers", &known.layers, &image.manifest.layers);
    parts(&mut text, "manifests", &known.manifests, &image.manifest.manifests);
    let old = before.map(|of| of.config.as_slice()).unwrap_or_default();
    if !(old.is_empty() && image.config.is_empty()) {
        let _ = writeln!(text, "config");
        let (old, new) = (old.join("\n"), image.config.join("\n"));
        for change in TextDiff::from_lines(&old, &new).iter_all_changes() {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let _ = writeln!(text, "{sign} {}", change.value().trim_end_matches('\n'));
        }
    }
    packages(&mut text, before.map(|of| of.packages.as_ref()), image.packages.as_ref());
    text
}

/// What changes of the packages, by the bills of materials that are attached: `old` is of what there is until now.
fn packages(text: &mut String, old: Option<Option<&Packages>>, new: Option<&Packages>) {
    let empty = Packages::default();
    let (old, new) = match (old, new) {
        (None | Some(Some(_)), None) => {
            let _ = writeln!(text, "packages: the new image has no SBOM yet, which often follows the push");
            return;
        }
        (Some(None), None) => {
            let _ = writeln!(text, "packages: neither image has an SBOM");
            return;
        }
        (Some(None), Some(new)) => {
            let _ = writeln!(text, "packages, as the new SBOM says; there was none before");
            (&empty, new)
        }
        (None, Some(new)) => {
            let _ = writeln!(text, "packages, as the SBOM says");
            (&empty, new)
        }
        (Some(Some(old)), Some(new)) => {
            let _ = writeln!(text, "packages that change, as the SBOMs say");
            (old, new)
        }
    };
    let changes = old.changes(new);
    for line in changes.iter().take(LINES) {
        let _ = writeln!(text, "{line}");
    }
    if changes.len() > LINES {
        let _ = writeln!(text, "and {} more", changes.len() - LINES);
    }
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

    fn image(name: &str, manifest: Manifest, config: Vec<String>, packages: Option<&str>) -> Image {
        let packages = packages.map(|name| {
            let sbom = json!({ "bomFormat": "CycloneDX", "components": [{ "name": name, "version": "1" }] });
            Packages::parse(sbom.to_string().as_bytes()).unwrap()
        });
        Image { digest: Digest::of(Algorithm::Sha256, name.as_bytes()), manifest, config, packages }
    }

    #[test]
    fn people_see_what_changes() {
        let digest = |text: &str| Digest::of(Algorithm::Sha256, text.as_bytes());
        let old = image("old", manifest(&["base", "app one"]), config("1000", "C=d"), Some("a"));
        let new = image("new", manifest(&["base", "app two!"]), config("", "C=e"), Some("b"));
        let expected = format!(
            "was {}\nnow {}\nlayers\n- {} 7 bytes\n  {} 4 bytes\n+ {} 8 bytes\nconfig\n  platform: amd64\n\
             - user: 1000\n+ user: not said, so root\n  runs: run\n  env: A=b\n- env: C=d\n+ env: C=e\n  made by: COPY a b\n\
             packages that change, as the SBOMs say\n- a 1\n+ b 1\n",
            digest("old"),
            digest("new"),
            digest("app one"),
            digest("base"),
            digest("app two!"),
        );
        assert_eq!(compared(Some(&old), &new), expected);
        let first = compared(None, &new);
        assert!(first.starts_with(&format!("new {}\nlayers\n+ ", digest("new"))), "{first}");
    }

    #[test]
    fn people_are_told_who_says_nothing_of_packages() {
        let image = |packages| image("i", Manifest::default(), Vec::new(), packages);
        let check = |old: Option<Option<&'static str>>, new: Option<&'static str>, expected: &str| {
            let old = old.map(image);
            let text = compared(old.as_ref(), &image(new));
            let (_, packages) = text.split_once("packages").unwrap();
            assert_eq!(packages, expected);
        };
        let yet = ": the new image has no SBOM yet, which often follows the push\n";
        check(None, None, yet);
        check(Some(Some("a")), None, yet);
        check(Some(None), None, ": neither image has an SBOM\n");
        check(Some(None), Some("a"), ", as the new SBOM says; there was none before\n+ a 1\n");
        check(None, Some("a"), ", as the SBOM says\n+ a 1\n");
        check(Some(Some("a")), Some("a"), " that change, as the SBOMs say\n");
    }
}
