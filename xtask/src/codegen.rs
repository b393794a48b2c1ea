//! Compiles `proto/` to Rust without `protoc`, into files that are committed: a build then needs neither a
//! compiler of protobuf nor a build script, and a change of the wire shows in the diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use protox::Compiler;
use protox::prost::Message;
use tonic_prost_build::Config;

use crate::cmd;

/// A folder of `.proto` files and where its Rust code is kept.
struct Target {
    protos: &'static str,
    out: &'static str,
    /// gRPC services besides the messages.
    services: bool,
}

const TARGETS: [Target; 2] = [
    Target { protos: "proto/lockgate/v1", out: "crates/proto/src/generated", services: true },
    Target { protos: "proto/lockgate/record/v1", out: "crates/recording/src/generated", services: false },
];

/// The name of the descriptor set beside the generated code: for reflection, and for bundles, which carry it.
const DESCRIPTOR: &str = "descriptor.bin";

/// Files by name, as generated or as committed.
type Files = BTreeMap<String, Vec<u8>>;

/// Writes the generated files, or with `check` fails when the committed ones differ.
pub(crate) fn run(check: bool) -> Result<()> {
    // One folder that does not compile must not keep the other from being written.
    let results = TARGETS.map(|target| bring_up_to_date(&target, check));
    results.into_iter().collect()
}

fn bring_up_to_date(target: &Target, check: bool) -> Result<()> {
    let wanted =
        generate(cmd::root(), target).with_context(|| format!("cannot compile {}", target.protos))?;
    let out = cmd::root().join(target.out);
    let present = read_dir(&out)?;
    if wanted == present {
        println!("{} is up to date", target.out);
    } else if check {
        bail!("{}: {}; run `cargo xtask codegen`", target.out, differences(&wanted, &present).join(", "));
    } else {
        write(&out, &wanted, &present)?;
        println!("{} is written", target.out);
    }
    Ok(())
}

fn generate(root: &Path, target: &Target) -> Result<Files> {
    let protos = proto_files(&root.join(target.protos))?;
    let mut compiler = Compiler::new([root.join("proto")])?;
    compiler.include_imports(true).include_source_info(true).open_files(protos)?;

    let dir = tempfile::tempdir()?;
    let mut config = Config::new();
    config.bytes(["."]);
    if target.services {
        let builder = tonic_prost_build::configure().build_transport(false);
        config.service_generator(builder.service_generator());
    }
    config.out_dir(dir.path());
    config.compile_fds(compiler.file_descriptor_set())?;

    let mut files = read_dir(dir.path())?;
    compiler.include_source_info(false);
    files.insert(DESCRIPTOR.into(), compiler.file_descriptor_set().encode_to_vec());
    Ok(files)
}

fn proto_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("no .proto file in {}", dir.display());
    }
    files.sort();
    Ok(files)
}

/// The files of a folder; none when it does not exist.
fn read_dir(dir: &Path) -> Result<Files> {
    let mut files = Files::new();
    if !dir.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert(name, fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(files)
}

fn differences(wanted: &Files, present: &Files) -> Vec<String> {
    let changed = wanted.iter().filter_map(|(name, content)| match present.get(name) {
        None => Some(format!("{name} is missing")),
        Some(old) if old != content => Some(format!("{name} is out of date")),
        Some(_) => None,
    });
    let stale =
        present.keys().filter(|name| !wanted.contains_key(*name)).map(|name| format!("{name} is stale"));
    changed.chain(stale).collect()
}

fn write(dir: &Path, wanted: &Files, present: &Files) -> Result<()> {
    fs::create_dir_all(dir)?;
    for stale in present.keys().filter(|name| !wanted.contains_key(*name)) {
        fs::remove_file(dir.join(stale))?;
    }
    for (name, content) in wanted {
        fs::write(dir.join(name), content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Files, TARGETS, differences, generate};

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(name, content)| ((*name).into(), content.as_bytes().to_vec())).collect()
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let wanted = files(&[("a.rs", "1"), ("b.rs", "2"), ("c.rs", "3")]);
        let present = files(&[("b.rs", "2"), ("c.rs", "old"), ("d.rs", "4")]);
        let found = differences(&wanted, &present);
        assert_eq!(found, ["a.rs is missing", "c.rs is out of date", "d.rs is stale"]);
        assert!(differences(&wanted, &wanted).is_empty());
    }

    #[test]
    fn services_and_messages_are_generated() {
        let root = tempfile::tempdir().unwrap();
        let [services, messages] = &TARGETS;
        for (target, package) in [(services, "lockgate.v1"), (messages, "lockgate.record.v1")] {
            let proto = format!(
                "syntax = \"proto3\"; package {package}; import \"google/protobuf/timestamp.proto\";
                message Note {{ bytes text = 1; google.protobuf.Timestamp at = 2; }}
                service Notes {{ rpc Watch(Note) returns (stream Note); }}"
            );
            fs::create_dir_all(root.path().join(target.protos)).unwrap();
            fs::write(root.path().join(target.protos).join("note.proto"), proto).unwrap();
        }
        let text = |files: &Files, name: &str| String::from_utf8(files[name].clone()).unwrap();

        let generated = generate(root.path(), services).unwrap();
        assert_eq!(generated.keys().collect::<Vec<_>>(), ["descriptor.bin", "lockgate.v1.rs"]);
        let code = text(&generated, "lockgate.v1.rs");
        assert!(code.contains("text: ::prost::bytes::Bytes"));
        assert!(code.contains("pub mod notes_server") && code.contains("pub mod notes_client"));

        let generated = generate(root.path(), messages).unwrap();
        assert_eq!(generated.keys().collect::<Vec<_>>(), ["descriptor.bin", "lockgate.record.v1.rs"]);
        assert!(!text(&generated, "lockgate.record.v1.rs").contains("tonic"));
    }

    #[test]
    fn a_folder_without_protos_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        assert!(generate(root.path(), &TARGETS[0]).is_err());
    }
}
