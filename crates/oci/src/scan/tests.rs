//! Blobs as they are made, and as somebody would hide something in them.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;
use crate::parse::name::Algorithm;

/// A token as GitHub gives them, but one that nobody has.
fn secret() -> String {
    lockgate_detect::expand_sample("ghp_<A-Za-z0-9*36>", 7).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// Where something was found, and how much more there may be.
fn check(blob: &[u8], places: &[&str], further: u64) {
    let verdict = look(blob, &ScanConfig::default());
    let found: Vec<_> = verdict.findings.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!((found.as_slice(), verdict.further), (places, further));
    assert!(verdict.findings.iter().all(|finding| finding.rule == "github-pat" && !finding.tag.is_empty()));
}

fn planted() -> Vec<u8> {
    let (line, deep) = (format!("token = {}\n", secret()), gzip(format!("x {}\n", secret()).as_bytes()));
    let clean = "nothing here\n".repeat(100);
    tar(&[
        ("etc/clean", clean.as_bytes()),
        ("root/.netrc", line.as_bytes()),
        ("usr/deep.gz", &deep),
        ("var/clean", clean.as_bytes()),
    ])
}

#[test]
fn secrets_are_found_in_files_of_layers() {
    let layer = planted();
    for blob in [layer.clone(), gzip(&layer), zstd(&layer)] {
        check(&blob, &["root/.netrc", "usr/deep.gz"], 0);
    }
    check(&gzip(&tar(&[("a", b"clean")])), &[], 0);
    check(format!("{{\"Env\":[\"TOKEN={}\"]}}", secret()).as_bytes(), &[""], 0);
    check(b"", &[], 0);
}

#[test]
fn what_is_hidden_behind_another_beginning_is_found() {
    let (clean, layer) = (tar(&[("a", b"clean")]), planted());
    let places = ["root/.netrc", "usr/deep.gz"];
    check(&[gzip(&clean), gzip(&layer)].concat(), &places, 0);
    check(&[zstd(&clean), zstd(&layer)].concat(), &places, 0);
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc", &zstd(&layer)].concat();
    check(&skipped, &places, 0);
    // In what is behind a tar, and in a name.
    let behind = [clean, format!("token {}\n", secret()).into_bytes()].concat();
    check(&behind, &["a"], 0);
    let name = format!("etc/{}", secret());
    check(&tar(&[(&name, b"clean")]), &[""], 0);
}

#[test]
fn what_can_not_be_looked_through_may_hold_anything() {
    let layer = gzip(&planted());
    let verdict = look(&layer[..layer.len() - 9], &ScanConfig::default());
    assert_eq!(verdict.further, 1, "cut off");
    check(&[gzip(b"clean"), b"trailing".to_vec()].concat(), &[], 1);
    check(&[0x28, 0xb5, 0x2f, 0xfd, 0xff], &[], 1);
    for other in [&b"\xfd7zXZ\0"[..], b"BZh91AY", b"\x04\x22\x4d\x18x", b"\x02\x21\x4c\x18x", b"LZIP\x01"] {
        check(other, &[], 1);
    }
    let bomb = gzip(&vec![0; 2 << 20]);
    let small = ScanConfig { unpacked: 1 << 20, ..ScanConfig::default() };
    assert_eq!(look(&*bomb, &small), Verdict::unknown());
    assert_eq!(look(&*bomb, &ScanConfig::default()), Verdict::default());
    let strict = ScanConfig { unpacked_freely: 1 << 20, expansion: 20, ..ScanConfig::default() };
    assert_eq!(look(&*bomb, &strict), Verdict::unknown(), "hundreds for one");
    let dense = gzip(&noise(2 << 20));
    assert_eq!(look(&*dense, &strict), Verdict::default());
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn one_caller_does_not_take_all_places() {
    let scans = Scans::new(ScanConfig { at_once: 3, at_once_of_one: 2, ..ScanConfig::default() });
    let (ada, eve) = (scans.of("ada"), scans.of("eve"));
    let mut held = vec![ada.try_begin().unwrap(), ada.try_begin().unwrap()];
    assert!(ada.try_begin().is_none() && scans.of("ada").try_begin().is_none());
    held.push(eve.try_begin().unwrap());
    assert!(eve.try_begin().is_none() && scans.try_begin().is_none(), "there are three places");
    let read = [ada.begin().await.unwrap(), ada.begin().await.unwrap()];
    assert!(futures::poll!(Box::pin(ada.begin())).is_pending());
    let other = eve.begin().await.unwrap();
    for feed in held.into_iter().chain(read).chain([other]) {
        assert_eq!(feed.finish().await, Verdict::default());
    }
    drop(ada);
    // Their threads have given their places back, or are about to.
    scans.of("ada").begin().await.unwrap().finish().await;
}

#[test]
fn there_is_an_end_of_what_is_told() {
    let files: Vec<(String, String)> = (0..5)
        .map(|seed| {
            let secret = lockgate_detect::expand_sample("ghp_<A-Za-z0-9*36>", seed).unwrap();
            (format!("f{seed}"), format!("token {secret}\n"))
        })
        .collect();
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let verdict = look(&*tar(&files), &ScanConfig { findings: 3, ..ScanConfig::default() });
    assert_eq!((verdict.findings.len(), verdict.further), (3, 1));
}

#[tokio::test]
async fn a_blob_is_looked_through_while_it_comes() {
    let scans = Scans::new(ScanConfig { at_once: 1, ..ScanConfig::default() });
    let blob = gzip(&planted());
    let digest = Digest::of(Algorithm::Sha256, &blob);
    let feed = scans.try_begin().unwrap();
    assert!(scans.try_begin().is_none(), "there is one place");
    for piece in blob.chunks(100) {
        feed.push(Bytes::copy_from_slice(piece)).await;
    }
    let verdict = feed.finish().await;
    assert_eq!(verdict.findings.len(), 2);
    assert_eq!(scans.known(&digest), None);
    assert_eq!(*scans.remember(digest.clone(), verdict.clone()), verdict);
    assert_eq!(scans.known(&digest).as_deref(), Some(&verdict));
    // What is dropped gives its place back.
    let dropped = scans.begin().await.unwrap();
    drop(dropped);
    assert_eq!(scans.begin().await.unwrap().finish().await, Verdict::default());
}

proptest! {
    #[test]
    fn any_bytes_are_looked_through(bytes in proptest::collection::vec(any::<u8>(), 0..3000), form in 0..3) {
        let blob = match form {
            0 => bytes,
            1 => gzip(&bytes),
            _ => zstd(&bytes),
        };
        fuzz(&blob);
    }
}
