//! Recorded pushes, whole and in part.

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;
use crate::testing::{Repo, transcript};

fn described(body: &[u8], encoding: Option<&str>) -> String {
    let push = match describe_push(body, encoding) {
        Ok(push) => push,
        Err(error) => return error.to_string(),
    };
    let commands = push.request.commands.iter().map(|command| command.name.clone());
    let mut lines: Vec<String> = commands.collect();
    let commits = push.commits.iter().map(|commit| {
        let Commit { author, subject, .. } = commit;
        format!(
            "{} {} <{}> {}{:+} {subject}",
            commit.oid, author.name, author.email, author.time, author.offset
        )
    });
    lines.extend(commits);
    lines.extend(push.incomplete.map(|error| error.to_string()));
    lines.join("\n")
}

#[test]
fn describes_pushes() {
    let check = |name: &str| described(&transcript(name), None);
    insta::assert_snapshot!(check("create.request"), @"
    refs/heads/main
    d5f23578b254f19dd4d07fe6be75f451fd11ba3b Ada <ada@example.com> 1700000000+3600 one
    ");
    insta::assert_snapshot!(check("atomic.request"), @"
    refs/heads/side
    refs/tags/v1
    refs/heads/copy
    510489e55b02c0b3fef28496afbe8f4d9021f3cf Ada <ada@example.com> 1700000000+3600 three
    ");
    insta::assert_snapshot!(check("delete.request"), @"
    refs/heads/copy
    refs/heads/side
    ");
    insta::assert_snapshot!(check("signed.request"), @"
    refs/heads/main
    06f938e1be6f7b96cd8278e97c1e9f88ab4226e4 Ada <ada@example.com> 1700000000+3600 four
    ");
    insta::assert_snapshot!(check("sha256.request"), @"
    refs/heads/main
    890a6576fcc4953d3653197385e057dda17d02f2767cdec91f4e65dce940b37f Ada <ada@example.com> 1700000000+3600 one
    ");
}

/// A client may send any pack with any update: what people are shown is what the update brings.
#[test]
fn what_lies_in_the_pack_is_not_what_the_update_brings() {
    let repo = Repo::new(ObjectFormat::Sha1);
    let base = repo.commit("base");
    let evil = repo.commit("backdoor");
    repo.git(&["switch", "-q", "-c", "harmless", "HEAD~1"]);
    let harmless = repo.commit("typo");
    let check = |new: Oid, pack: &[&str], expected: [&[Oid]; 2], elsewhere: usize| {
        let mut body = Vec::new();
        crate::pkt::write(&mut body, format!("{base} {new} refs/heads/main\0report-status\n").as_bytes());
        body.extend_from_slice(crate::pkt::FLUSH);
        body.extend_from_slice(&repo.pack(pack, &[]));
        let push = describe_push(&body[..], None).unwrap();
        let brought = push.brought();
        let names = |commits: &[&Commit]| commits.iter().map(|commit| commit.oid).collect::<Vec<_>>();
        assert_eq!([names(&brought.commits), names(&brought.unreached)], expected);
        assert_eq!(brought.elsewhere.len(), elsewhere);
    };
    check(harmless, &["harmless", "^main~1"], [&[harmless], &[]], 0);
    check(evil, &["harmless", "^main~1"], [&[], &[harmless]], 1);
    check(evil, &["main", "harmless", "^main~1"], [&[evil], &[harmless]], 0);
}

#[test]
fn describes_what_is_left_of_a_push() {
    let body = transcript("update-options.request");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&body).unwrap();
    assert_eq!(described(&encoder.finish().unwrap(), Some("gzip")), described(&body, None));
    insta::assert_snapshot!(described(&body[..body.len() - 100], None), @"
    refs/heads/main
    the pack is malformed: it is cut short
    ");
    insta::assert_snapshot!(described(&body[..body.len() - 250], None), @"
    refs/heads/main
    the pack is malformed: it is cut short
    ");
    insta::assert_snapshot!(described(&body[..100], None), @"the request is no push");
    insta::assert_snapshot!(described(&body, Some("br")), @"the request is encoded as br");
    insta::assert_snapshot!(described(&body, Some("gzip")), @"the push can't be read");
}

#[test]
fn lists_the_newest_of_many_commits() {
    let repo = Repo::new(ObjectFormat::Sha1);
    let commits = (1..=1010).map(|n| {
        format!("commit refs/heads/main\ncommitter A <a> {n} +0000\ndata {}\n{n}\n", n.to_string().len())
    });
    repo.import(&commits.collect::<String>());
    let line = format!("{} {} refs/heads/main", "0".repeat(40), repo.oid("main"));
    let mut body = Vec::new();
    crate::pkt::write(&mut body, line.as_bytes());
    body.extend_from_slice(b"0000");
    body.extend_from_slice(&repo.pack(&["main"], &[]));
    let push = describe_push(&*body, None).unwrap();
    assert_eq!(push.commits.len(), COMMITS);
    assert_eq!(push.commits[0].subject, "1010");
    assert!(matches!(push.incomplete, Some(PackError::TooLarge(_))));
}

#[test]
fn describes_results() {
    let check = |body: &[u8]| format!("{:?}", describe_result(body));
    insta::assert_snapshot!(check(&transcript("atomic.response")), @r#"Ok(PushResult { unpack: "ok", refs: [RefResult { name: "refs/heads/side", refused: None }, RefResult { name: "refs/tags/v1", refused: None }, RefResult { name: "refs/heads/copy", refused: None }] })"#);
    insta::assert_snapshot!(check(&transcript("rejected.response")), @r#"Ok(PushResult { unpack: "ok", refs: [RefResult { name: "refs/heads/main", refused: Some("pre-receive hook declined") }] })"#);
    insta::assert_snapshot!(check(b""), @r#"Ok(PushResult { unpack: "", refs: [] })"#);
    insta::assert_snapshot!(check(b"0005\x010012\x02remote: wait\n0000"), @r#"Ok(PushResult { unpack: "", refs: [] })"#);
    insta::assert_snapshot!(check(b"000eunpack ok\n0013ng refs/heads/a0018ng refs/heads/b why\n0000"), @r#"Ok(PushResult { unpack: "ok", refs: [RefResult { name: "refs/heads/a", refused: Some("") }, RefResult { name: "refs/heads/b", refused: Some("why") }] })"#);
    insta::assert_snapshot!(check(b"<html>"), @"Err(Response(PktError))");
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_report(&bytes);
    }
}
