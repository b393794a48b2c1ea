//! Packs indexed whole, against what git says of them.

use super::*;

/// Looks at nothing, and notes how long blobs are.
#[derive(Default)]
struct Lengths {
    announced: u64,
    seen: u64,
    objects: usize,
}

impl Visit for Lengths {
    fn begin(&mut self, size: u64) {
        (self.announced, self.seen) = (size, 0);
    }

    fn part(&mut self, part: &[u8]) {
        self.seen += part.len() as u64;
    }

    fn end(&mut self, object: &Object<'_>) -> Result<(), PackError> {
        self.objects += 1;
        if object.content.is_none() {
            assert_eq!((object.kind, self.seen), (Kind::Blob, self.announced));
        }
        Ok(())
    }
}

/// Each object as `name kind size`, sorted; and each content hashes to its name.
fn listed(pack: &[u8], format: ObjectFormat, cuts: &[usize]) -> Result<Vec<String>, PackError> {
    let limits = Limits { objects: 10_000, object: 1 << 20, held: 1 << 20 };
    let mut pass = Pass::new(format, limits, &budget(), Lengths::default());
    let (mut rest, mut cuts) = (pack, cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(cuts.next().map_or(rest.len(), |cut| (*cut).min(rest.len())));
        pass.feed(piece, &budget())?;
        rest = after;
    }
    let (index, mut lengths) = pass.finish()?;
    let mut objects = Objects::new(format, limits.held);
    objects.add(pack, index, Origin::Pushed);
    assert_eq!(resolve(&mut objects, 0, &budget(), &mut lengths)?, []);
    assert_eq!(lengths.objects, objects.index(0).len());
    let names: Vec<Oid> = objects.index(0).names().collect();
    let lines = names.iter().map(|oid| {
        let (at, kind) = objects.find(oid).unwrap();
        let content = objects.content(at, &budget())?;
        assert_eq!(name(format, kind, &content)?, *oid);
        assert_eq!(objects.index(0).size(at.place), content.len() as u64);
        Ok(format!("{oid} {} {}", kind.word(), content.len()))
    });
    let mut lines: Vec<String> = lines.collect::<Result<_, PackError>>()?;
    lines.sort();
    Ok(lines)
}

/// A history whose files, trees and commits git stores as deltas of each other, to a depth.
fn similar(format: ObjectFormat) -> Repo {
    let repo = Repo::new(format);
    let work = repo.dir.path().join("work");
    for n in 0..12 {
        let lines: Vec<String> =
            (0..400).map(|line| format!("line {line} {}", line * (line % (n + 2)))).collect();
        std::fs::write(work.join("long"), lines.join("\n")).unwrap();
        for file in 0..40 {
            std::fs::write(work.join(format!("file-{file}")), format!("{}", file / (n + 1))).unwrap();
        }
        repo.git(&["add", "."]);
        repo.git(&["commit", "-q", "-m", &format!("c{n}\n\n{}", lines.join("\n"))]);
    }
    repo.git(&["tag", "-a", "-m", "v", "v"]);
    repo
}

#[test]
fn indexes_what_git_lists() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let repo = similar(format);
        let all = repo.git(&["cat-file", "--batch-all-objects", "--batch-check"]);
        let mut expected: Vec<&str> = all.lines().collect();
        expected.sort_unstable();
        for options in [&["--delta-base-offset"][..], &[], &["--depth=0"], &["--depth=4000", "--window=4000"]]
        {
            let pack = repo.pack(&["main", "v"], options);
            assert_eq!(listed(&pack, format, &[100_000]).unwrap(), expected, "{options:?}");
            assert_eq!(listed(&pack, format, &[1]).unwrap(), expected, "{options:?}");
        }
    }
}

#[test]
fn every_split_comes_to_the_same() {
    let repo = similar(ObjectFormat::Sha1);
    let pack = repo.pack(&["main", "v"], &[]);
    let expected = listed(&pack, ObjectFormat::Sha1, &[1_000_000]).unwrap();
    proptest!(ProptestConfig::with_cases(30), |(cuts in prop::collection::vec(1usize..5000, 1..20))| {
        prop_assert_eq!(&listed(&pack, ObjectFormat::Sha1, &cuts).unwrap(), &expected);
    });
}

/// What may go on of a pack lacks the end of its last entry, whatever follows the pack and however it is cut.
#[test]
fn what_is_unfinished_is_no_pack_to_anybody() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let pack = similar(format).pack(&["main"], &[]);
        let (end, more) = (pack.len() - format.width(), [&*pack, &[b'x'; 5000]].concat());
        for cut in [1, 7, 999, more.len()] {
            let limits = Limits { objects: 10_000, object: 1 << 20, held: 1 << 20 };
            let mut pass = Pass::new(format, limits, &budget(), Lengths::default());
            let (mut fed, mut most) = (0, 0);
            let error = more.chunks(cut).find_map(|piece| {
                let error = pass.feed(piece, &budget()).err();
                fed += piece.len();
                most = pass.unfinished();
                assert!(most < end as u64 && most <= fed as u64, "{most} of {end} in pieces of {cut}");
                error
            });
            assert!(matches!(error, Some(PackError::Malformed("something follows its end"))), "{error:?}");
            assert!(
                cut == more.len() || most as usize + 2 * cut >= end,
                "{most} of {end} in pieces of {cut}"
            );
        }
    }
}
