//! Manifests, indexes and configs (OCI image specification 1.1; Docker's schema 2 is the same in all that counts).
//!
//! Registries and clients written in Go take names for the same that differ in case, and the last of two: what one
//! reader could take for something else than another is refused here.

mod strict;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use self::strict::JsonError;
use super::name::Digest;

/// Descriptors in one manifest at most.
const DESCRIPTORS: usize = 1000;

/// What a manifest says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Its own word for what it is; else the `Content-Type` counts.
    pub media_type: Option<String>,
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
    /// The config, of an image or artifact.
    pub config: Option<Descriptor>,
    /// The layers, of an image; blobs of an artifact.
    pub layers: Vec<Descriptor>,
    /// The manifests, of an index.
    pub manifests: Vec<Descriptor>,
    /// What it is attached to.
    pub subject: Option<Descriptor>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What a manifest refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Which.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// `os/architecture` with the variant, of a manifest in an index.
    pub platform: Option<String>,
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
    /// Whether it is to be had somewhere else.
    pub is_foreign: bool,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What an image's config says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// `os/architecture` with the variant.
    pub platform: Option<String>,
    /// As whom it runs; empty where that is not said.
    pub user: String,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// The words of what is run.
    pub entrypoint: Vec<String>,
    /// The words that follow.
    pub command: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, as it says.
    pub created: Option<String>,
    /// By what each layer was made.
    pub history: Vec<String>,
    /// What each layer unpacks to, by its digest.
    pub diff_ids: Vec<String>,
    /// Whether it has what only configs of images have, whatever type it is said to be of.
    pub is_of_image: bool,
}

/// Why a document is none: the client's fault.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It can be read in two ways, or not at all.
    #[error("it is not JSON that all read alike: {0}")]
    Json(#[from] JsonError),
    /// A member is not what it should be.
    #[error("`{0}` is not what it should be")]
    Member(&'static str),
    /// The first schema.
    #[error("manifests of schema 1 are not taken")]
    Schema1,
    /// Neither.
    #[error("it is neither an image nor an index")]
    Neither,
    /// Too many.
    #[error("it refers to more than {DESCRIPTORS} blobs or manifests")]
    TooMany,
}

impl Manifest {
    /// Reads an image's manifest, an artifact's, or an index.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        const FIELDS: &[&str] = &[
            "schemaVersion",
            "mediaType",
            "artifactType",
            "config",
            "layers",
            "blobs",
            "manifests",
            "subject",
            "annotations",
        ];
        let of = object(strict::parse(bytes)?, FIELDS, "manifest")?;
        if of.get("schemaVersion").is_some_and(|version| version.as_u64() == Some(1)) {
            return Err(ManifestError::Schema1);
        }
        let mut layers = descriptors(&of, "layers")?;
        layers.append(&mut descriptors(&of, "blobs")?);
        let manifest = Self {
            media_type: text(&of, "mediaType")?,
            artifact_type: text(&of, "artifactType")?.filter(|text| !text.is_empty()),
            config: descriptor_in(&of, "config")?,
            layers,
            manifests: descriptors(&of, "manifests")?,
            subject: descriptor_in(&of, "subject")?,
            annotations: texts(&of, "annotations")?,
        };
        let is_image = ["config", "layers", "blobs"].iter().any(|name| of.contains_key(*name));
        match (is_image, of.contains_key("manifests")) {
            (true, true) | (false, false) => Err(ManifestError::Neither),
            (true, false) | (false, true) => Ok(manifest),
        }
    }

    /// Whether it lists manifests.
    pub fn is_index(&self) -> bool {
        self.config.is_none() && self.layers.is_empty()
    }

    /// The blobs that it refers to.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(&self.layers)
    }
}

impl ImageConfig {
    /// Reads it.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        const FIELDS: &[&str] = &["architecture", "os", "variant", "config", "created", "history", "rootfs"];
        const OF_CONFIG: &[&str] = &["User", "Env", "Entrypoint", "Cmd", "Labels"];
        const OF_HISTORY: &[&str] = &["created_by", "comment"];
        let of = object(strict::parse(bytes)?, FIELDS, "config")?;
        let run = match of.get("config") {
            None | Some(Value::Null) => Map::new(),
            Some(config) => object(config.clone(), OF_CONFIG, "config")?,
        };
        let root = match of.get("rootfs") {
            None | Some(Value::Null) => Map::new(),
            Some(root) => object(root.clone(), &["type", "diff_ids"], "rootfs")?,
        };
        let mut history = Vec::new();
        for step in list(&of, "history")? {
            let step = object(step.clone(), OF_HISTORY, "history")?;
            history.push(text(&step, "created_by")?.or(text(&step, "comment")?).unwrap_or_default());
        }
        Ok(Self {
            platform: platform(&of)?,
            user: text(&run, "User")?.unwrap_or_default(),
            env: words(&run, "Env")?,
            entrypoint: words(&run, "Entrypoint")?,
            command: words(&run, "Cmd")?,
            labels: texts(&run, "Labels")?,
            created: text(&of, "created")?,
            history,
            diff_ids: words(&root, "diff_ids")?,
            is_of_image: ["architecture", "os", "config", "rootfs"].iter().any(|name| of.contains_key(*name)),
        })
    }
}

/// The members of an object, of which these are known by exactly these names.
fn object(value: Value, known: &[&str], name: &'static str) -> Result<Map<String, Value>, ManifestError> {
    let Value::Object(of) = value else { return Err(ManifestError::Member(name)) };
    strict::check_names(&of, known)?;
    Ok(of)
}

fn text(of: &Map<String, Value>, name: &'static str) -> Result<Option<String>, ManifestError> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ManifestError::Member(name)),
    }
}

fn list<'a>(of: &'a Map<String, Value>, name: &'static str) -> Result<&'a [Value], ManifestError> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(ManifestError::Member(name)),
    }
}

fn words(of: &Map<String, Value>, name: &'static str) -> Result<Vec<String>, ManifestError> {
    // Docker once wrote one word without a list.
    if let Some(Value::String(word)) = of.get(name) {
        return Ok(vec![word.clone()]);
    }
    let word = |value: &Value| value.as_str().map(str::to_owned).ok_or(ManifestError::Member(name));
    list(of, name)?.iter().map(word).collect()
}

fn texts(of: &Map<String, Value>, name: &'static str) -> Result<BTreeMap<String, String>, ManifestError> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(of)) => {
            let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
            of.iter().map(|member| text(member).ok_or(ManifestError::Member(name))).collect()
        }
        Some(_) => Err(ManifestError::Member(name)),
    }
}

fn descriptors(of: &Map<String, Value>, name: &'static str) -> Result<Vec<Descriptor>, ManifestError> {
    let list = list(of, name)?;
    if list.len() > DESCRIPTORS {
        return Err(ManifestError::TooMany);
    }
    list.iter().map(|value| descriptor(value, name)).collect()
}

fn descriptor_in(of: &Map<String, Value>, name: &'static str) -> Result<Option<Descriptor>, ManifestError> {
    match of.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => descriptor(value, name).map(Some),
    }
}

fn descriptor(value: &Value, name: &'static str) -> Result<Descriptor, ManifestError> {
    const FIELDS: &[&str] =
        &["mediaType", "digest", "size", "urls", "platform", "annotations", "artifactType", "data"];
    const PLATFORM: &[&str] = &["architecture", "os", "variant"];
    let of = object(value.clone(), FIELDS, name)?;
    let wrong = ManifestError::Member(name);
    let digest = text(&of, "digest")?.as_deref().and_then(Digest::parse);
    let size = of.get("size").and_then(Value::as_u64);
    let (Some(digest), Some(size)) = (digest, size) else { return Err(wrong) };
    let platform = match of.get("platform") {
        None | Some(Value::Null) => None,
        Some(value) => platform(&object(value.clone(), PLATFORM, "platform")?)?,
    };
    let media_type = text(&of, "mediaType")?.unwrap_or_default();
    Ok(Descriptor {
        is_foreign: !list(&of, "urls")?.is_empty() || media_type.contains(".foreign."),
        media_type,
        digest,
        size,
        platform,
        artifact_type: text(&of, "artifactType")?,
        annotations: texts(&of, "annotations")?,
    })
}

fn platform(of: &Map<String, Value>) -> Result<Option<String>, ManifestError> {
    let parts = [text(of, "os")?, text(of, "architecture")?, text(of, "variant")?];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(bytes) {
        assert!(manifest.manifests.is_empty() || manifest.is_index());
    }
    let _ = ImageConfig::parse(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const HEX: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn read(value: &Value) -> Result<Manifest, ManifestError> {
        Manifest::parse(value.to_string().as_bytes())
    }

    fn blob(media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": HEX, "size": 7 })
    }

    #[test]
    fn images_artifacts_and_indexes_are_read() {
        let image = json!({
            "schemaVersion": 2, "mediaType": "m", "config": blob("c"), "layers": [blob("l"), blob("l")],
            "annotations": { "a": "b", "A": "c" }, "subject": blob("s"), "artifactType": "t",
        });
        let image = read(&image).unwrap();
        assert_eq!((image.layers.len(), image.blobs().count(), image.is_index()), (2, 3, false));
        assert_eq!(image.annotations["A"], "c");
        assert_eq!(image.subject.unwrap().media_type, "s");
        let mut child = blob("m");
        child["platform"] = json!({ "os": "linux", "architecture": "arm", "variant": "v7" });
        let index = read(&json!({ "schemaVersion": 2, "manifests": [child] })).unwrap();
        assert!(index.is_index());
        assert_eq!(index.manifests[0].platform.as_deref(), Some("linux/arm/v7"));
        let artifact = read(&json!({ "blobs": [blob("x")], "subject": null })).unwrap();
        assert_eq!(artifact.layers.len(), 1);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let refused = |text: &str| {
            let error = Manifest::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, ManifestError::Json(_)), "{text}: {error:?}");
        };
        refused(r#"{"layers":[],"layers":[]}"#);
        refused(r#"{"layers":[],"Layers":[]}"#);
        refused(r#"{"layer\u017f":[],"config":null}"#);
        refused(r#"{"LAYERS":[]}"#);
        refused(r#"{"layers":[{"digest":"a","Digest":"b"}]}"#);
        refused(r#"{"layers":[]} {}"#);
        refused(r#"{"layers":[]"#);
        refused("");
        refused("<html>");
        refused(&format!("{}{}", "[".repeat(200), "]".repeat(200)));
    }

    #[test]
    fn what_is_neither_is_refused() {
        let check =
            |value: Value, expected: ManifestError| assert_eq!(read(&value), Err(expected), "{value}");
        check(json!({}), ManifestError::Neither);
        check(json!({ "layers": [], "manifests": [] }), ManifestError::Neither);
        check(json!({ "schemaVersion": 1, "fsLayers": [] }), ManifestError::Schema1);
        check(json!([]), ManifestError::Member("manifest"));
        check(json!({ "layers": [{ "digest": HEX }] }), ManifestError::Member("layers"));
        check(json!({ "layers": [{ "digest": "md5:a", "size": 1 }] }), ManifestError::Member("layers"));
        check(json!({ "layers": [{ "digest": HEX, "size": -1 }] }), ManifestError::Member("layers"));
        check(json!({ "manifests": vec![blob("m"); DESCRIPTORS + 1] }), ManifestError::TooMany);
    }

    #[test]
    fn foreign_layers_are_known() {
        let mut elsewhere = blob("l");
        elsewhere["urls"] = json!(["https://evil.example/"]);
        let docker = blob("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let image = read(&json!({ "layers": [blob("l"), elsewhere, docker] })).unwrap();
        assert_eq!(
            image.layers.iter().map(|layer| layer.is_foreign).collect::<Vec<_>>(),
            [false, true, true]
        );
    }

    #[test]
    fn configs_say_as_whom_and_what_is_run() {
        let config = json!({
            "os": "linux", "architecture": "amd64", "created": "2026-01-01T00:00:00Z",
            "config": { "User": "1000:0", "Env": ["A=b"], "Entrypoint": "sh", "Cmd": ["-c", "x"], "Labels": { "l": "m" } },
            "history": [{ "created_by": "RUN x" }, {}],
        });
        let config = ImageConfig::parse(config.to_string().as_bytes()).unwrap();
        assert!(config.is_of_image);
        assert_eq!(config.platform.as_deref(), Some("linux/amd64"));
        assert_eq!((config.entrypoint, config.command.len()), (vec!["sh".to_owned()], 2));
        assert_eq!(
            (config.history, config.labels["l"].as_str()),
            (vec!["RUN x".to_owned(), String::new()], "m")
        );
        assert!(ImageConfig::parse(br#"{"config":{"user":"1","User":"0"}}"#).is_err());
        let bare = ImageConfig::parse(br#"{"os":"linux"}"#).unwrap();
        assert!(bare.is_of_image);
        assert_eq!(ImageConfig::parse(b"{}"), Ok(ImageConfig::default()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(&bytes);
            let _ = ImageConfig::parse(&bytes);
        }
    }
}
