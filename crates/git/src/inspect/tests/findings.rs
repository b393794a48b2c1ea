//! Secrets, wherever they stand.

use super::*;

async fn check(repo: &Repo, old: Oid) -> String {
    let facts = repo.pushed(ALL, old).await;
    places(repo, &facts.findings)
}

#[tokio::test]
async fn in_a_commit_between() {
    for format in [SHA1, ObjectFormat::Sha256] {
        let (repo, old) = published(format);
        repo.file("conf/app.toml", format!("a = 1\n\ntoken = '{}'\n", secret(1)));
        repo.save("two");
        repo.file("conf/app.toml", "a = 1\n\n");
        repo.save("three");
        assert_eq!(check(&repo, old).await, "github-pat two conf/app.toml:3");
    }
}

#[tokio::test]
async fn in_a_delta() {
    let (repo, old) = published(SHA1);
    let lines: Vec<String> = (0..400).map(|n| format!("line {n} {}", secret(n).split_at(5).0)).collect();
    repo.file("big.txt", lines.join("\n"));
    repo.save("two");
    repo.file("big.txt", lines.join("\n") + "\n" + &secret(1));
    repo.save("three");
    let plain = repo.pack(&["HEAD", "^upstream/main"], &[]);
    assert!(plain.len() < 4000, "{} bytes: no delta", plain.len());
    for pack in [plain, repo.pack(&["HEAD", "^upstream/main"], &["--delta-base-offset"])] {
        let facts = repo.update(ALL, old, &pack).await.unwrap();
        assert_eq!(places(&repo, &facts.findings), "github-pat three big.txt:401");
    }
}

#[tokio::test]
async fn in_messages_authors_tags_and_names() {
    let (repo, old) = published(SHA1);
    repo.file("a", "x");
    repo.save(&format!("two\n\nsee {}", secret(1)));
    let author = format!("--author={} <ada@example.com>", secret(2));
    repo.git(&["commit", "-q", "--allow-empty", &author, "-m", "three"]);
    repo.file(&format!("dir/{}", secret(3)), "x");
    repo.save("four");
    insta::assert_snapshot!(check(&repo, old).await, @r"
    github-pat four (path):0
    github-pat two (message):3
    github-pat three (author):0
    ");
    repo.publish();
    repo.git(&["tag", "-a", "-m", &format!("v1\n{}", secret(4)), "v1"]);
    repo.git(&["tag", "-a", "-m", "v2", "v2", "v1"]);
    let pack = repo.pack(&["v2", "^upstream/main"], &[]);
    let commands = [command(None, repo.oid("v2"), "refs/tags/v2")];
    let facts = inspect(&repo.backend(), config(ALL), &commands, &pack).await.unwrap().remove(0);
    assert_eq!(facts.findings.len(), 1);
    assert_eq!(facts.findings[0].commit, Some(repo.oid("v1")));
    assert_eq!((&*facts.findings[0].path, facts.findings[0].line), ("(message)", 2));
}

#[tokio::test]
async fn encoded_within_a_file() {
    use std::io::Write as _;
    let (repo, old) = published(SHA1);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(format!("key {}", secret(1)).as_bytes()).unwrap();
    repo.file("a.gz", gzip.finish().unwrap());
    // Base64 of "token ghp_..." by git's own mail encoder would need a tool: three bytes at a time.
    repo.file("b.txt", base64(format!("token {} end of it", secret(2)).as_bytes()));
    repo.file("c.bin", [b"\0\0\0", secret(3).as_bytes(), b"\0"].concat());
    repo.save("two");
    insta::assert_snapshot!(check(&repo, old).await, @r"
    github-pat two a.gz:0
    github-pat two b.txt:0
    github-pat two c.bin:1
    ");
    let commands = [command(Some(old), repo.oid("HEAD"), "refs/heads/main")];
    let pack = repo.pack(&["HEAD", "^upstream/main"], &[]);
    let config = InspectConfig { binary: crate::config::Binary::Skip, ..config(ALL) };
    let facts = inspect(&repo.backend(), config, &commands, &pack).await.unwrap().remove(0);
    insta::assert_snapshot!(places(&repo, &facts.findings), @"github-pat two b.txt:0");
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (groups, _) = bytes.as_chunks::<3>();
    let digits = groups.iter().flat_map(|[a, b, c]| {
        let bits = u32::from_be_bytes([0, *a, *b, *c]);
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift) as usize & 63]))
    });
    digits.collect()
}

#[tokio::test]
async fn in_a_file_that_is_renamed_it_is_the_old_one() {
    let (repo, _) = published(SHA1);
    repo.file("key", secret(1));
    repo.save("two");
    let old = repo.publish();
    repo.git(&["mv", "key", "renamed"]);
    repo.save("three");
    assert_eq!(check(&repo, old).await, "", "the upstream has it in the tree that this stands on");
    repo.file("renamed", secret(1) + "\nmore");
    repo.save("four");
    insta::assert_snapshot!(check(&repo, old).await, @"github-pat four renamed:1");
}

#[tokio::test]
async fn where_no_ref_reaches() {
    let (repo, old) = published(SHA1);
    repo.file("loose", secret(1));
    let blob = repo.git(&["hash-object", "-w", "loose"]);
    std::fs::remove_file(repo.dir.path().join("work/loose")).unwrap();
    repo.file("a", "x");
    repo.save("two");
    let pack = repo.pack(&["HEAD", "^upstream/main", &blob], &[]);
    let null = Oid::from_bytes(&[0; 20]).unwrap();
    let commands = [
        command(Some(old), repo.oid("HEAD"), "refs/heads/main"),
        command(None, old, "refs/heads/side"),
        Command { old, new: null, name: "refs/heads/gone".into() },
    ];
    let facts = inspect(&repo.backend(), config(ALL), &commands, &pack).await.unwrap();
    assert_eq!(places(&repo, &facts[0].findings), "github-pat none (blob):1");
    assert_eq!(places(&repo, &facts[1].findings), "github-pat none (blob):1");
    assert_eq!(facts[2].findings, []);
}

#[tokio::test]
async fn only_under_the_ref_that_brings_it() {
    let (repo, old) = published(SHA1);
    repo.file("a", "x");
    let two = repo.save("two");
    repo.file("key", secret(1));
    let three = repo.save("three");
    let pack = repo.pack(&["HEAD", "^upstream/main"], &[]);
    let commands = [command(Some(old), two, "refs/heads/main"), command(None, three, "refs/heads/side")];
    let facts = inspect(&repo.backend(), config(ALL), &commands, &pack).await.unwrap();
    assert_eq!(facts[0].findings, []);
    assert_eq!(places(&repo, &facts[1].findings), "github-pat three key:1");
}

#[tokio::test]
async fn more_than_are_listed_are_counted() {
    let (repo, old) = published(SHA1);
    repo.file("keys", (0..20).map(|n| secret(n) + "\n").collect::<String>());
    repo.save("two");
    let pack = repo.pack(&["HEAD", "^upstream/main"], &[]);
    let commands = [command(Some(old), repo.oid("HEAD"), "refs/heads/main")];
    let config = InspectConfig { findings: 5, ..config(ALL) };
    let facts = inspect(&repo.backend(), config, &commands, &pack).await.unwrap().remove(0);
    assert_eq!(facts.findings.len(), 5);
    assert!(facts.further > 0);
}

#[tokio::test]
async fn files_too_large_to_be_scanned() {
    let (repo, old) = published(SHA1);
    repo.file("big", "x".repeat(5000));
    repo.save("two");
    let pack = repo.pack(&["HEAD", "^upstream/main"], &[]);
    let commands = [command(Some(old), repo.oid("HEAD"), "refs/heads/main")];
    let refusing = InspectConfig { scanned: 4999, ..config(ALL) };
    let error = inspect(&repo.backend(), refusing.clone(), &commands, &pack).await.unwrap_err();
    let blob = repo.git(&["rev-parse", "HEAD:big"]);
    assert_eq!(error.to_string(), format!("the blob {blob} is too large to be looked through for secrets"));
    let skipping = InspectConfig { huge: crate::config::Huge::Skip, ..refusing };
    let facts = inspect(&repo.backend(), skipping, &commands, &pack).await.unwrap().remove(0);
    assert_eq!(facts.largest, 5000);
}

#[tokio::test]
async fn the_same_whichever_thread_looks_through_a_file() {
    let (repo, old) = published(SHA1);
    for n in 0..400 {
        let key = if n % 7 == 0 { secret(n) } else { String::new() };
        repo.file(&format!("{n}.txt"), format!("{}\n{key}\n", format!("line {n} ").repeat(200)));
    }
    repo.save("two");
    let pack = repo.pack(&["HEAD", "^upstream/main"], &[]);
    let commands = [command(Some(old), repo.oid("HEAD"), "refs/heads/main")];
    let mut all = Vec::new();
    for (threads, findings) in [(0, 1000), (3, 1000), (0, 9), (1, 9), (3, 9)] {
        let config = InspectConfig { threads, findings, ..config(ALL) };
        let facts = inspect(&repo.backend(), config, &commands, &pack).await.unwrap().remove(0);
        all.push((places(&repo, &facts.findings), facts.further));
    }
    assert_eq!((all[0].0.lines().count(), all[0].1), (58, 0));
    assert_eq!(all[0], all[1]);
    assert_eq!((all[2].0.lines().count(), all[2].1), (9, 49));
    assert_eq!((&all[2], &all[2]), (&all[3], &all[4]));
}
