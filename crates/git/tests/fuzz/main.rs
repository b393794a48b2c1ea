//! The seeds of the fuzz targets: each is read in every run of the tests, so that what once was found stays
//! mended. `cargo test -p lockgate-git --test fuzz -- --ignored` writes anew what real programs say.

mod record;

use std::{fs, path::PathBuf};

/// Bytes of all of them: they are read often, and grow only with what is found.
const LIMIT: u64 = 200 * 1024;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 11] = [
    ("dav_refs", lockgate_git::fuzz_dav_refs),
    ("fetch_request", lockgate_git::fuzz_fetch),
    ("inflate", lockgate_git::fuzz_inflate),
    ("lfs_json", lockgate_git::fuzz_lfs),
    ("loose_object", lockgate_git::fuzz_loose),
    ("objects", lockgate_git::fuzz_objects),
    ("pack", lockgate_git::fuzz_pack),
    ("pkt_lines", lockgate_git::fuzz_pkt),
    ("push_record", lockgate_git::fuzz_report),
    ("push_request", lockgate_git::fuzz_push),
    ("ref_listing", lockgate_git::fuzz_refs),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[test]
fn every_input_is_read() {
    let mut size = 0;
    for (target, read) in TARGETS {
        let mut inputs = 0;
        for input in fs::read_dir(folder().join("seeds").join(target)).expect("a target has seeds") {
            let path = input.expect("a folder can be read").path();
            let input = fs::read(&path).expect("an input can be read");
            println!("{}", path.display());
            read(&input);
            inputs += 1;
            size += input.len() as u64;
        }
        assert!(inputs > 0, "{target} has inputs");
    }
    assert!(size <= LIMIT, "the seeds have {size} bytes");
}

#[test]
fn every_target_is_listed() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("a manifest");
    let listed = manifest.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let mut listed: Vec<&str> = listed.filter(|name| *name != "lockgate-git-fuzz").collect();
    listed.sort_unstable();
    assert_eq!(listed, TARGETS.map(|(target, _)| target));
}

#[test]
#[ignore = "writes the seeds; for when what programs say has changed"]
fn write_seeds() {
    record::record(&folder().join("seeds"));
}
