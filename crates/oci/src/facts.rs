//! What a manifest and its config say, plainly, in the words of policies. Pure: no I/O.

use lockgate_core::access::{Attributes, Needs, Value};

use crate::parse::manifest::{ImageConfig, Manifest};

/// The annotations by which an image names what it was built on.
const BASES: [&str; 2] = ["org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"];

/// The attributes that a manifest alone says; of an index, it and the manifests below it.
pub const OF_MANIFEST: &[&str] = &["base", BUILT_ON, "subject", "layers", "size", "layer_size", "foreign"];
/// The attribute that tells of bases that were read.
pub const BUILT_ON: &str = "built_on";
/// The attributes that only a config says. Of an index, all of them need its manifests.
pub const OF_CONFIG: &[&str] = &["platform", "user", "root", "env", "entrypoint", "label"];

/// What is known of an image, or of all images of an index together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    platforms: Vec<String>,
    users: Vec<String>,
    root: Option<bool>,
    env: Vec<String>,
    entrypoints: Vec<String>,
    labels: Vec<String>,
    bases: Vec<String>,
    built_on: Option<Vec<String>>,
    subject: Option<String>,
    layers: u64,
    size: u64,
    layer_size: u64,
    foreign: bool,
}

/// Whether anything is asked for that only a config says.
pub fn needs_config(needs: &Needs) -> bool {
    OF_CONFIG.iter().any(|name| needs.has(name))
}

/// Whether anything is asked for that a manifest says, or one below it.
pub fn needs_manifest(needs: &Needs) -> bool {
    needs_config(needs) || OF_MANIFEST.iter().any(|name| needs.has(name))
}

impl Facts {
    /// Adds what a manifest says.
    pub fn add_manifest(&mut self, manifest: &Manifest) {
        let bases = BASES.iter().filter_map(|name| manifest.annotations.get(*name));
        bases.for_each(|base| add(&mut self.bases, base));
        manifest.manifests.iter().filter_map(|child| child.platform.as_ref()).for_each(|platform| {
            add(&mut self.platforms, platform);
        });
        if let (None, Some(subject)) = (&self.subject, &manifest.subject) {
            self.subject = Some(subject.digest.to_string());
        }
        self.layers = self.layers.max(manifest.layers.len() as u64);
        let sizes = manifest.blobs().map(|blob| blob.size);
        self.size = sizes.fold(self.size, u64::saturating_add);
        let largest = manifest.layers.iter().map(|layer| layer.size).max().unwrap_or_default();
        self.layer_size = self.layer_size.max(largest);
        self.foreign |= manifest.layers.iter().any(|layer| layer.is_foreign);
    }

    /// Adds what a config says.
    pub fn add_config(&mut self, config: &ImageConfig) {
        if let Some(platform) = &config.platform {
            add(&mut self.platforms, platform);
        }
        add(&mut self.users, &config.user);
        self.root = Some(self.root.unwrap_or_default() || is_root(&config.user));
        config.env.iter().for_each(|variable| add(&mut self.env, variable));
        add(&mut self.entrypoints, &words(config));
        config.labels.iter().for_each(|(name, value)| add(&mut self.labels, &format!("{name}={value}")));
    }

    /// Takes the names of the bases that it begins with.
    pub fn set_built_on(&mut self, names: Vec<String>) {
        self.built_on = Some(names);
    }

    /// As attributes. `with_config` says whether configs were looked for: of what is no image there is none.
    pub fn attributes(self, mut attributes: Attributes, with_config: bool) -> Attributes {
        attributes = attributes
            .with("base", Value::List(self.bases))
            .with("layers", self.layers)
            .with("size", self.size)
            .with("layer_size", self.layer_size)
            .with("foreign", self.foreign);
        if let Some(subject) = self.subject {
            attributes = attributes.with("subject", subject);
        }
        if let Some(names) = self.built_on {
            attributes = attributes.with(BUILT_ON, Value::List(names));
        }
        if let (true, Some(root)) = (with_config, self.root) {
            attributes = attributes
                .with("platform", Value::List(self.platforms))
                .with("user", Value::List(self.users))
                .with("root", root)
                .with("env", Value::List(self.env))
                .with("entrypoint", Value::List(self.entrypoints))
                .with("label", Value::List(self.labels));
        }
        attributes
    }
}

/// The words of what an image runs.
pub(crate) fn words(config: &ImageConfig) -> String {
    config.entrypoint.iter().chain(&config.command).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Whether a user is root: has that name or number, or is not said. Engines make 32 bits of a number with any sign.
fn is_root(user: &str) -> bool {
    let user = user.split(':').next().unwrap_or_default().trim();
    let number = user
        .trim_start_matches(['+', '-'])
        .chars()
        .try_fold(0_u32, |number, digit| Some(number.wrapping_mul(10).wrapping_add(digit.to_digit(10)?)));
    user == "root" || number == Some(0)
}

fn add(list: &mut Vec<String>, item: &str) {
    if !list.iter().any(|other| other == item) {
        list.push(item.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HEX: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn config(user: &str, variable: &str) -> ImageConfig {
        let config = json!({
            "os": "linux", "architecture": "amd64",
            "config": { "User": user, "Env": ["A=b", variable], "Cmd": ["x", "y"], "Labels": { "team": "a" } },
        });
        ImageConfig::parse(config.to_string().as_bytes()).unwrap()
    }

    fn manifest() -> Manifest {
        let blob = |size: u64| json!({ "mediaType": "m", "digest": HEX, "size": size });
        let manifest = json!({
            "config": blob(1), "layers": [blob(20), blob(300)], "subject": blob(5),
            "annotations": { "org.opencontainers.image.base.name": "docker.io/library/debian:12" },
        });
        Manifest::parse(manifest.to_string().as_bytes()).unwrap()
    }

    fn shown(facts: Facts, with_config: bool) -> String {
        let attributes = facts.attributes(Attributes::new(), with_config);
        let shown = attributes.iter().map(|(name, value)| {
            assert!(crate::SCHEMA.attribute(name).is_some(), "{name}");
            format!("{name}={value}")
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_image_is_told_in_words_of_policies() {
        let mut facts = Facts::default();
        facts.add_manifest(&manifest());
        let of_manifest = format!(
            "base=docker.io/library/debian:12 layers=2 size=321 layer_size=300 foreign=false subject={HEX}"
        );
        assert_eq!(shown(facts.clone(), true), of_manifest, "without a config it is no image");
        facts.add_config(&config("1000", "C=d"));
        assert_eq!(shown(facts.clone(), false), of_manifest);
        let of_config = "platform=linux/amd64 user=1000 root=false env=A=b, C=d entrypoint=x y label=team=a";
        assert_eq!(shown(facts, true), format!("{of_manifest} {of_config}"));
    }

    #[test]
    fn the_images_of_an_index_are_one() {
        let mut facts = Facts::default();
        for (user, variable) in [("1000", "C=d"), ("root", "E=f"), ("1000", "C=d")] {
            facts.add_manifest(&manifest());
            facts.add_config(&config(user, variable));
        }
        let shown = shown(facts, true);
        for part in ["user=1000, root", "root=true", "env=A=b, C=d, E=f", "size=963", "layers=2 "] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn root_has_many_names() {
        for user in
            ["", "root", "0", "00", "0:1000", "root:x", ":1", "+0", "-0", "4294967296", "-4294967296:1"]
        {
            assert!(is_root(user), "{user}");
        }
        for user in ["1000", "nobody", "10", "-1", "4294967297", "0x"] {
            assert!(!is_root(user), "{user}");
        }
        let mut facts = Facts::default();
        facts.add_config(&ImageConfig::parse(br#"{"os":"linux"}"#).unwrap());
        assert_eq!(facts.root, Some(true));
    }
}
