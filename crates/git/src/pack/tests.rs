//! Packs of git, and packs that no git writes.

mod whole;

use std::{ops::ControlFlow, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    inspect::fuzz_pack,
    oid::{ObjectFormat, Oid},
    testing::{
        Repo,
        packs::{entry, pack, zlib},
    },
};

fn budget() -> Budget {
    Budget::new(1000, Instant::now() + Duration::from_secs(60))
}

/// The commits of a pack, in its order; then what came between them.
fn found(pack: &[u8], format: ObjectFormat) -> Result<Vec<Oid>, PackError> {
    let mut names = Vec::new();
    let commits = scan(&pack, format, &budget(), |event| {
        if let Event::Commit(name, _) = event {
            names.push(*name);
        }
        ControlFlow::Continue(())
    })?;
    assert_eq!(commits.len(), names.len());
    Ok(names)
}

const COMMIT: &[u8] = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nx\n";

#[test]
fn finds_the_commits_that_git_lists() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let repo = Repo::new(format);
        for n in 0..10 {
            repo.commit(&format!("c{n}"));
        }
        repo.git(&["tag", "-a", "-m", "v", "v"]);
        let pack = repo.pack(&["main", "v"], &[]);
        let names: Vec<String> = found(&pack, format).unwrap().iter().map(Oid::to_string).collect();
        assert_eq!(names.join("\n"), repo.git(&["rev-list", "main"]));
    }
}

#[test]
fn refuses_what_is_no_pack() {
    let check = |bytes: &[u8]| {
        found(bytes, ObjectFormat::Sha1).map_or_else(|error| error.to_string(), |_| "fine".into())
    };
    let size = COMMIT.len() as u64;
    let whole = pack(&[entry(1, size, b"", &zlib(COMMIT))]);
    insta::assert_snapshot!(check(&whole), @"fine");
    insta::assert_snapshot!(check(b""), @"the pack is malformed: it is cut short");
    insta::assert_snapshot!(check(b"PACK\0\0\0\x04\0\0\0\0"), @"the pack is malformed: its header is not that of version 2 or 3");
    insta::assert_snapshot!(check(&whole[..whole.len() - 1]), @"the pack is malformed: it is cut short");
    insta::assert_snapshot!(check(&whole[..13]), @"the pack is malformed: it is cut short");
    insta::assert_snapshot!(check(&pack(&[entry(1, size, b"", b"garbage")])), @"an object of the pack can't be inflated");
    insta::assert_snapshot!(check(&pack(&[entry(1, size - 1, b"", &zlib(COMMIT))])), @"the pack is malformed: an object is larger than it says");
    insta::assert_snapshot!(check(&pack(&[entry(3, size + 1, b"", &zlib(COMMIT))])), @"the pack is malformed: an object is smaller than it says");
    insta::assert_snapshot!(check(&pack(&[entry(0, size, b"", &zlib(COMMIT))])), @"the pack is malformed: an entry of no known type");
    insta::assert_snapshot!(check(&pack(&[entry(5, size, b"", &zlib(COMMIT))])), @"the pack is malformed: an entry of no known type");
    insta::assert_snapshot!(check(&pack(&[entry(6, 1, b"\x00", &zlib(b"x"))])), @"the pack is malformed: a delta against what is before the pack");
    insta::assert_snapshot!(check(&pack(&[entry(6, 1, b"\x7f", &zlib(b"x"))])), @"the pack is malformed: a delta against what is before the pack");
    insta::assert_snapshot!(check(&pack(&[entry(6, 1, &[0xff; 20], &zlib(b"x"))])), @"the pack is malformed: a delta against what is before the pack");
    insta::assert_snapshot!(check(&pack(&[[&[0x9f], &[0xff; 20][..]].concat()])), @"the pack is malformed: a size has too many digits");
    insta::assert_snapshot!(check(&pack(&[entry(1, 9 << 20, b"", &zlib(COMMIT))])), @"the pack exceeds the limit of the size of an object that must be held");
}

#[test]
fn holds_nothing_of_bombs() {
    let bomb = zlib(&vec![0; 32 << 20]);
    // A blob is passed over, a commit of that size refused, one that lies about its size is noticed.
    assert_eq!(found(&pack(&[entry(3, 32 << 20, b"", &bomb)]), ObjectFormat::Sha1).unwrap(), []);
    let check = |entries: &[Vec<u8>]| found(&pack(entries), ObjectFormat::Sha1).unwrap_err();
    assert!(matches!(check(&[entry(1, 32 << 20, b"", &bomb)]), PackError::TooLarge(_)));
    assert!(matches!(check(&[entry(1, 100, b"", &bomb)]), PackError::Malformed(_)));
    // A delta of a few bytes that makes a commit of gigabytes.
    let base = entry(1, COMMIT.len() as u64, b"", &zlib(COMMIT));
    let delta = [&[COMMIT.len() as u8, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x91, 0, 10]].concat();
    let distance = u8::try_from(base.len()).unwrap();
    let delta = entry(6, delta.len() as u64, &[distance], &zlib(&delta));
    assert!(matches!(check(&[base, delta]), PackError::TooLarge(_)));
}

#[test]
fn resolves_long_chains() {
    let commit = |n: usize| format!("tree {}\n\n{}{n:05}\n", "0".repeat(40), "long ".repeat(8000));
    // Larger than what is kept at hand, so that chains are really followed.
    let chain = |length: usize| {
        let mut entries = vec![entry(1, commit(0).len() as u64, b"", &zlib(commit(0).as_bytes()))];
        for n in 1..length {
            let size = commit(n).len();
            let copied = u32::try_from(size - 6).unwrap().to_le_bytes();
            let sizes = [(size & 0x7f) as u8 | 0x80, ((size >> 7) & 0x7f) as u8 | 0x80, (size >> 14) as u8];
            let end = format!("{n:05}\n");
            let delta = [&sizes[..], &sizes, &[0xb0, copied[0], copied[1]], &[6], end.as_bytes()].concat();
            let back = entries.last().unwrap().len();
            let base = if back < 128 {
                vec![back as u8]
            } else {
                vec![((back >> 7) - 1) as u8 | 0x80, back as u8 & 0x7f]
            };
            entries.push(entry(6, delta.len() as u64, &base, &zlib(&delta)));
        }
        pack(&entries)
    };
    let names = found(&chain(300), ObjectFormat::Sha1).unwrap();
    assert_eq!(names.len(), 300);
    assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), 300);
}

#[test]
fn stops_when_it_is_told_to() {
    let pack = pack(&vec![entry(1, COMMIT.len() as u64, b"", &zlib(COMMIT)); 5]);
    let stopped = |budget: Budget| {
        let result = scan(&&pack[..], ObjectFormat::Sha1, &budget, |_| ControlFlow::Continue(()));
        matches!(result, Err(PackError::Stopped))
    };
    assert!(!stopped(budget()));
    assert!(stopped(Budget { until: Instant::now() - Duration::from_secs(1), ..budget() }));
    assert!(stopped(Budget { cancelled: Arc::new(AtomicBool::new(true)), ..budget() }));
    let many = scan(&&pack[..], ObjectFormat::Sha1, &Budget { commits: 4, ..budget() }, |_| {
        ControlFlow::Continue(())
    });
    assert!(matches!(many, Err(PackError::TooLarge(_))));
    let first = scan(&&pack[..], ObjectFormat::Sha1, &budget(), |_| ControlFlow::Break(())).unwrap();
    assert_eq!(first.len(), 1);
}

#[test]
fn describes_commits() {
    let name = Oid::from_bytes(&[1; 20]).unwrap();
    let content = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\
        parent 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\
        author Ada \u{1b}[1m <ada@example.com> 1700000000 +0100\n\
        committer Bob <b> 1700000001 -0530\n\
        gpgsig -----BEGIN SSH SIGNATURE-----\n x\n -----END SSH SIGNATURE-----\n\
        \n\
        subject\u{202e}\n\nbody\n";
    insta::assert_debug_snapshot!(Commit::parse(name, content.as_bytes()).unwrap(), @r#"
    Commit {
        oid: 0101010101010101010101010101010101010101,
        parents: [
            4b825dc642cb6eb9a060e54bf8d69288fbee4904,
        ],
        author: Person {
            name: "Ada  [1m",
            email: "ada@example.com",
            time: 1700000000,
            offset: 3600,
        },
        committer: Person {
            name: "Bob",
            email: "b",
            time: 1700000001,
            offset: -19800,
        },
        subject: "subject ",
        signed: true,
    }
    "#);
    assert_eq!(Commit::parse(name, b"tree x"), None);
    assert_eq!(Commit::parse(name, b""), None);
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), place in any::<prop::sample::Index>()) {
        fuzz_pack(&bytes);
        let mut whole = pack(&[entry(1, COMMIT.len() as u64, b"", &zlib(COMMIT)), entry(6, 3, b"\x38", &zlib(b"abc"))]);
        let place = place.index(whole.len());
        whole[place] = bytes.first().copied().unwrap_or_default();
        fuzz_pack(&whole);
        fuzz_pack(&[b"PACK\0\0\0\x02\0\0\0\x09", &bytes[..]].concat());
    }
}
