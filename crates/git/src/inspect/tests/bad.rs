//! Packs that are none, objects that no git writes, and bombs.

use proptest::prelude::*;

use super::*;
use crate::{
    pack::Kind,
    testing::{
        block_on,
        packs::{delta, entry, named, object, ref_delta, sealed, zlib},
    },
};

const AUTHOR: &str = "author A <a@example.com> 1 +0000\ncommitter A <a@example.com> 1 +0000\n";

/// The objects of a commit whose tree holds this.
fn commit(tree: &[u8], message: &str) -> (Oid, Vec<Vec<u8>>) {
    let content = format!("tree {}\n{AUTHOR}\n{message}", named(SHA1, Kind::Tree, tree));
    let name = named(SHA1, Kind::Commit, content.as_bytes());
    (name, vec![object(Kind::Commit, content.as_bytes()), object(Kind::Tree, tree)])
}

fn tree(mode: &str, name: &[u8], oid: &Oid) -> Vec<u8> {
    [mode.as_bytes(), b" ", name, &[0], oid.as_bytes()].concat()
}

/// What becomes of a first push of that to an empty upstream.
async fn first(new: Oid, pack: &[u8]) -> Result<Facts, InspectError> {
    first_with(config(ALL), new, pack).await
}

async fn first_with(config: InspectConfig, new: Oid, pack: &[u8]) -> Result<Facts, InspectError> {
    let repo = Repo::new(SHA1);
    let commands = [command(None, new, "refs/heads/main")];
    Ok(inspect(&repo.backend(), config, &commands, pack).await?.remove(0))
}

async fn refused(new: Oid, entries: &[Vec<u8>]) -> String {
    let Err(error) = first(new, &sealed(SHA1, entries)).await else { return "fine".into() };
    let text = error.to_string();
    let words = text.split(' ').map(|word| if word.len() == 40 { "OID" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn objects_that_no_git_writes() {
    let blob = object(Kind::Blob, b"x");
    let oid = named(SHA1, Kind::Blob, b"x");
    let check = async |content: &[u8], message: &str| {
        let (new, mut entries) = commit(content, message);
        entries.push(blob.clone());
        refused(new, &entries).await
    };
    insta::assert_snapshot!(check(&tree("100644", b"a", &oid), "m").await, @"fine");
    insta::assert_snapshot!(check(&tree("100644", b".GIT", &oid), "m").await, @"the tree OID holds a name that some file system takes for .git");
    insta::assert_snapshot!(check(&tree("100644", b"..", &oid), "m").await, @"the tree OID holds the name . or ..");
    insta::assert_snapshot!(check(&tree("100600", b"a", &oid), "m").await, @"the tree OID holds an entry of a mode that git does not know");
    insta::assert_snapshot!(check(b"100644 a", "m").await, @"the tree OID holds an entry without an end");
    insta::assert_snapshot!(check(&tree("100644", b"a", &oid).repeat(2), "m").await, @"the tree OID holds a name twice");
    insta::assert_snapshot!(check(&tree("100644", b"a", &oid), "m\0n").await, @"the commit OID holds a NUL byte");
    insta::assert_snapshot!(check(&tree("40000", b"a", &oid), "m").await, @"the object OID is no tree");
    insta::assert_snapshot!(check(&tree("100644", b"a", &named(SHA1, Kind::Tree, b"")), "m").await, @"the object OID is no file");
    insta::assert_snapshot!(check(&tree("100644", b"a", &oid), &"long ".repeat(200_000)).await, @"fine");
    insta::assert_snapshot!(check(&tree("100644", b"a", &oid), &"long ".repeat(2_000_000)).await, @"the push exceeds the limit of the commits' messages");

    let header = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nno author\n";
    let new = named(SHA1, Kind::Commit, header);
    insta::assert_snapshot!(refused(new, &[object(Kind::Commit, header)]).await, @"the commit OID is malformed");
    insta::assert_snapshot!(refused(named(SHA1, Kind::Tag, b"x"), &[object(Kind::Tag, b"x")]).await, @"the tag OID names no object");
}

#[tokio::test]
async fn deltas_without_an_end_or_a_beginning() {
    let (new, entries) = commit(b"", "m");
    let with = |more: &[Vec<u8>]| [&entries, more].concat();
    let [a, b] = [b"aaa", b"bbb"].map(|content| named(SHA1, Kind::Blob, content));
    // Each stands on the other.
    let cycle = [ref_delta(&a, &delta(3, b"bbb")), ref_delta(&b, &delta(3, b"aaa"))];
    insta::assert_snapshot!(refused(new, &with(&cycle)).await, @"neither the push nor the upstream holds what the push stands on");
    // Each stands on itself.
    insta::assert_snapshot!(refused(new, &with(&[ref_delta(&a, &delta(3, b"aaa"))])).await, @"neither the push nor the upstream holds what the push stands on");
    // On what comes after it, and on what stands on that.
    let later =
        [ref_delta(&b, &delta(3, b"ccc")), ref_delta(&a, &delta(3, b"bbb")), object(Kind::Blob, b"aaa")];
    insta::assert_snapshot!(refused(new, &with(&later)).await, @"fine");
    insta::assert_snapshot!(refused(new, &with(&[entry(6, 1, b"\x02", &zlib(b"x"))])).await, @"the pack is malformed: a delta against no entry");
    insta::assert_snapshot!(refused(new, &with(&[ref_delta(&new, b"\x01")])).await, @"the pack is malformed: a delta is against another base");
    // The same object twice.
    insta::assert_snapshot!(refused(new, &with(&entries)).await, @"fine");
}

#[tokio::test]
async fn long_chains() {
    let (new, mut entries) = commit(b"", "m");
    let content = |n: usize| format!("{n:05}");
    let mut names = vec![named(SHA1, Kind::Blob, content(0).as_bytes())];
    entries.push(object(Kind::Blob, content(0).as_bytes()));
    for n in 1..4000 {
        entries.push(ref_delta(&names[n - 1], &delta(5, content(n).as_bytes())));
        names.push(named(SHA1, Kind::Blob, content(n).as_bytes()));
    }
    // In the worst order of all.
    entries[2..].reverse();
    insta::assert_snapshot!(refused(new, &entries).await, @"fine");
}

#[tokio::test]
async fn bombs() {
    let (new, entries) = commit(b"", "m");
    let with = |more: &[Vec<u8>]| sealed(SHA1, &[&entries, more].concat());
    // Zeros are looked through as they pass by.
    let zeros = vec![0; 40 << 20];
    let pack = with(&[object(Kind::Blob, &zeros)]);
    assert!(pack.len() < 50_000);
    first(new, &pack).await.unwrap();
    let small = InspectConfig { object: 1 << 20, ..config(ALL) };
    let error = first_with(small, new, &pack).await.unwrap_err();
    assert_eq!(error.to_string(), "the pack exceeds the limit of the size of an object");
    // One that says it is small.
    let error = first(new, &with(&[entry(3, 10, b"", &zlib(&zeros))])).await.unwrap_err();
    assert_eq!(error.to_string(), "the pack is malformed: an object is larger than it says");
    // A delta of a few bytes that makes gigabytes, and many that make a little more each.
    let base = object(Kind::Blob, b"0123456789");
    let copy = [&[10, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x90, 10]].concat();
    let name = named(SHA1, Kind::Blob, b"0123456789");
    let error = first(new, &with(&[base, ref_delta(&name, &copy)])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the pack exceeds the limit of the size of an object that comes as a delta"
    );
    let tight = InspectConfig { inflated: 10 << 20, ..config(ALL) };
    let error = first_with(tight, new, &pack).await.unwrap_err();
    assert_eq!(error.to_string(), "the pack exceeds the limit of bytes to inflate");
}

#[tokio::test]
async fn trees_upon_trees() {
    // Ten directories of ten directories and so on: more paths than anybody counts.
    let (mut content, mut kind, mut entries) = (b"x".to_vec(), Kind::Blob, Vec::new());
    for _ in 0..12 {
        entries.push(object(kind, &content));
        let oid = named(SHA1, kind, &content);
        let mode = if kind == Kind::Blob { "100644" } else { "40000" };
        content = (b'0'..=b'9').flat_map(|digit| tree(mode, &[digit], &oid)).collect();
        kind = Kind::Tree;
    }
    let (new, more) = commit(&content, "m");
    entries.extend(more);
    insta::assert_snapshot!(refused(new, &entries).await, @"the push exceeds the limit of paths in one update");
    // Deeper than any path.
    let (mut content, mut entries) =
        (tree("100644", b"x", &named(SHA1, Kind::Blob, b"x")), vec![object(Kind::Blob, b"x")]);
    for _ in 0..3000 {
        entries.push(object(Kind::Tree, &content));
        content = tree("40000", b"d", &named(SHA1, Kind::Tree, &content));
    }
    let (new, more) = commit(&content, "m");
    entries.extend(more);
    insta::assert_snapshot!(refused(new, &entries).await, @"the push exceeds the limit of the length of a path");
}

#[tokio::test]
async fn what_many_refs_bring_is_bounded_together() {
    let (repo, old) = published(SHA1);
    let dir = repo.dir.path().join("work");
    repo.file("path", "x");
    let new = repo.save(&"long ".repeat(200));
    write(&dir.join("unreached"), secret(1).as_bytes());
    let blob = repo.git(&["hash-object", "-w", "unreached"]);
    let pack = repo.pack(&["HEAD", "^upstream/main", &blob], &[]);
    let push = async |wanted, refs: usize| {
        let commands = (0..refs).map(|n| command(Some(old), new, &format!("refs/heads/{n}")));
        let config = InspectConfig { facts: 16 << 10, ..config(wanted) };
        inspect(&repo.backend(), config, &commands.collect::<Vec<_>>(), &pack).await
    };
    let none = Wanted::default();
    for wanted in [Wanted { history: true, ..none }, PATHS, Wanted { content: true, ..none }] {
        let few = push(wanted, 5).await.unwrap();
        assert!(few.iter().all(|facts| *facts == few[0] && *facts != Facts::default()), "{few:?}");
        let many = push(wanted, 500).await.unwrap_err();
        assert_eq!(
            many.to_string(),
            "the push exceeds the limit of facts about all its updates: push fewer refs at once"
        );
    }
}

/// A small push with all kinds of entries.
fn small() -> (Oid, Vec<u8>) {
    let oid = named(SHA1, Kind::Blob, b"x");
    let (new, mut entries) = commit(&tree("100644", b"a", &oid), "m");
    let reference = ref_delta(&oid, &delta(1, b"yy"));
    entries.extend([object(Kind::Blob, b"x"), reference]);
    let back = u8::try_from(entries[3].len()).unwrap();
    let more = delta(2, b"zzz");
    entries.push(entry(6, more.len() as u64, &[back], &zlib(&more)));
    (new, sealed(SHA1, &entries))
}

#[test]
fn packs_cut_at_every_byte() {
    let (new, pack) = small();
    block_on(first(new, &pack)).unwrap();
    let repo = Repo::new(SHA1);
    for end in 0..pack.len() {
        let commands = [command(None, new, "refs/heads/main")];
        let found = block_on(inspect(&repo.backend(), config(ALL), &commands, &pack[..end]));
        let error = found.unwrap_err().to_string();
        assert_eq!(error, "the pack is malformed: it is cut short", "at {end} of {}", pack.len());
    }
    let trailing = [&pack[..], b"x"].concat();
    let error = block_on(first(new, &trailing)).unwrap_err();
    assert_eq!(error.to_string(), "the pack is malformed: something follows its end");
    let mut wrong = pack;
    *wrong.last_mut().unwrap() ^= 1;
    let error = block_on(first(new, &wrong)).unwrap_err();
    assert_eq!(error.to_string(), "the pack is malformed: its checksum is that of another");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changed_packs_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (new, mut pack) = small();
        for (place, byte) in changes {
            let place = place.index(pack.len());
            pack[place] = byte;
        }
        let commands = [command(None, new, "refs/heads/main")];
        // The checksum makes an error of almost all; the parts behind it are reached by fuzzing.
        let _ = block_on(inspect(&Unreachable, config(ALL), &commands, &pack));
        fuzz_pack(&pack);
    }
}
