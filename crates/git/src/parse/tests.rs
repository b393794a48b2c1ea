//! Pushes of git, whole and in pieces, and what could be read in two ways.

use proptest::prelude::*;

use super::*;
use crate::{pkt, testing::transcript};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const NULL: &str = "0000000000000000000000000000000000000000";

/// Parses the pieces; the result comes with the bytes that belong to the section.
fn parse_in<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(PushRequest, usize), ParseError> {
    let (mut parser, mut read, mut end) = (PushParser::new(100, 4096), 0, 0);
    for piece in pieces {
        if let Progress::Complete { consumed } = parser.feed(piece)? {
            end = read + consumed;
            break;
        }
        read += piece.len();
    }
    Ok((parser.finish()?, end))
}

fn parse(body: &[u8]) -> Result<(PushRequest, usize), ParseError> {
    parse_in([body])
}

/// Lines as frames; `-` is a flush, a NUL is written `@`.
fn wire(lines: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for line in lines {
        match *line {
            "-" => body.extend_from_slice(pkt::FLUSH),
            line => pkt::write(&mut body, line.replace('@', "\0").as_bytes()),
        }
    }
    body
}

/// One line per thing that was asked for.
fn shown((request, _): (PushRequest, usize)) -> String {
    let mut lines: Vec<String> = request.shallow.iter().map(|oid| format!("shallow {oid}")).collect();
    let commands = request.commands.iter();
    lines.extend(commands.map(|command| format!("{} {} {}", command.old, command.new, command.name)));
    lines.push(format!("{:?}", request.capabilities));
    lines.push(format!("options {:?} certificate {}", request.options, request.certificate));
    lines.join("\n")
}

#[test]
fn reads_what_git_sends() {
    let check = |name: &str| shown(parse(&transcript(name)).unwrap());
    insta::assert_snapshot!(check("create.request"), @r#"
    0000000000000000000000000000000000000000 d5f23578b254f19dd4d07fe6be75f451fd11ba3b refs/heads/main
    Capabilities(["report-status-v2", "side-band-64k", "quiet", "object-format=sha1", "agent=git/2.39.5"])
    options [] certificate false
    "#);
    insta::assert_snapshot!(check("update-options.request"), @r#"
    d5f23578b254f19dd4d07fe6be75f451fd11ba3b 05813031b0bd5a8c3ebaf39e3b6320b39d142a9a refs/heads/main
    Capabilities(["report-status-v2", "side-band-64k", "quiet", "push-options", "object-format=sha1", "agent=git/2.39.5"])
    options ["ci.skip", ""] certificate false
    "#);
    insta::assert_snapshot!(check("atomic.request"), @r#"
    0000000000000000000000000000000000000000 510489e55b02c0b3fef28496afbe8f4d9021f3cf refs/heads/side
    0000000000000000000000000000000000000000 ec244a6a7bcc54e3d97c1a6b566ee81ed5546ab0 refs/tags/v1
    0000000000000000000000000000000000000000 05813031b0bd5a8c3ebaf39e3b6320b39d142a9a refs/heads/copy
    Capabilities(["report-status-v2", "side-band-64k", "quiet", "atomic", "object-format=sha1", "agent=git/2.39.5"])
    options [] certificate false
    "#);
    insta::assert_snapshot!(check("delete.request"), @r#"
    05813031b0bd5a8c3ebaf39e3b6320b39d142a9a 0000000000000000000000000000000000000000 refs/heads/copy
    510489e55b02c0b3fef28496afbe8f4d9021f3cf 0000000000000000000000000000000000000000 refs/heads/side
    Capabilities(["report-status-v2", "side-band-64k", "quiet", "object-format=sha1", "agent=git/2.39.5"])
    options [] certificate false
    "#);
    insta::assert_snapshot!(check("shallow.request"), @r#"
    shallow 06f938e1be6f7b96cd8278e97c1e9f88ab4226e4
    06f938e1be6f7b96cd8278e97c1e9f88ab4226e4 e99efe26d14f04590564a9f1294c95ddf9578c5e refs/heads/main
    Capabilities(["report-status-v2", "side-band-64k", "quiet", "object-format=sha1", "agent=git/2.39.5"])
    options [] certificate false
    "#);
    insta::assert_snapshot!(check("signed.request"), @r#"
    99dee81c816869b7112c9e0861bb972f5e6f52bd 06f938e1be6f7b96cd8278e97c1e9f88ab4226e4 refs/heads/main
    Capabilities(["report-status-v2", "side-band-64k", "quiet", "object-format=sha1", "agent=git/2.39.5"])
    options [] certificate true
    "#);
    insta::assert_snapshot!(check("sha256.request"), @r#"
    0000000000000000000000000000000000000000000000000000000000000000 890a6576fcc4953d3653197385e057dda17d02f2767cdec91f4e65dce940b37f refs/heads/main
    Capabilities(["report-status-v2", "side-band-64k", "quiet", "object-format=sha256", "agent=git/2.39.5"])
    options [] certificate false
    "#);
}

#[test]
fn finds_the_pack() {
    for name in ["create", "update-options", "atomic", "force", "shallow", "signed", "sha256", "delete"] {
        let body = transcript(&format!("{name}.request"));
        let (request, end) = parse(&body).unwrap();
        assert_eq!(request.has_pack(), name != "delete");
        assert_eq!(body[end..].get(..4), request.has_pack().then_some(&b"PACK"[..]), "{name}");
    }
}

fn refuse(lines: &[&str]) -> String {
    parse(&wire(lines)).unwrap_err().to_string()
}

#[test]
fn refuses_what_could_be_read_in_two_ways() {
    let first = format!("{A} {B} refs/heads/a@report-status");
    assert!(parse(&wire(&[&format!("{A} {B} refs/heads/a"), "-"])).is_ok());
    let again = format!("{B} {A} refs/heads/a");
    insta::assert_snapshot!(refuse(&[&first, &again, "-"]), @"the push updates refs/heads/a twice");
    insta::assert_snapshot!(refuse(&[&first, &first, "-"]), @"line 2 of the push is not a ref update without capabilities: those stand on the first line");
    insta::assert_snapshot!(refuse(&[&first, &format!("{A} {B} refs/heads/b@atomic"), "-"]), @"line 2 of the push is not a ref update without capabilities: those stand on the first line");
    insta::assert_snapshot!(refuse(&[&first, &format!("shallow {A}"), "-"]), @"line 2 of the push is not a ref update");
    insta::assert_snapshot!(refuse(&[&format!("{NULL} {NULL} refs/heads/a"), "-"]), @"line 1 of the push is not a ref update with an object to create, update or delete");
    insta::assert_snapshot!(refuse(&[&format!("{A} {B} refs/heads/a..b"), "-"]), @"line 1 of the push names a ref that can't be: it holds .. or @{, or ends with a dot");
    insta::assert_snapshot!(refuse(&[&format!("{A} {B} HEAD"), "-"]), @"line 1 of the push names a ref that can't be: it does not begin with refs/");
    insta::assert_snapshot!(refuse(&[&format!("{A}  {B} refs/heads/a"), "-"]), @"line 1 of the push is not a ref update");
    insta::assert_snapshot!(refuse(&[&format!("{A} {B}"), "-"]), @"line 1 of the push is not a ref update");
    insta::assert_snapshot!(refuse(&["nonsense", "-"]), @"line 1 of the push is not a ref update");
    insta::assert_snapshot!(refuse(&[&format!("shallow {A}0"), "-"]), @"line 1 of the push is not a shallow line with an object name");
    insta::assert_snapshot!(refuse(&[&format!("{A} {B} refs/heads/a@object-format=sha256"), "-"]), @"the push names objects in another format than its object-format");
    insta::assert_snapshot!(refuse(&[&format!("{A} {B} refs/heads/a@object-format=md5"), "-"]), @"the push names objects in another format than its object-format");
    insta::assert_snapshot!(refuse(&[&format!("{A} {B} refs/heads/a@object-format=sha1 object-format=sha256"), "-"]), @"the push names objects in another format than its object-format");
    insta::assert_snapshot!(refuse(&[&format!("{A} {B} refs/heads/a@a\u{7}b"), "-"]), @"line 1 of the push is not one with capabilities of plain text");
    insta::assert_snapshot!(refuse(&[&format!("{A} {B} refs/heads/a@push-options"), "-", "a\nb", "-"]), @"line 3 of the push is not a push option of plain text");
    insta::assert_snapshot!(refuse(&[&first]), @"the push ends in the midst of its ref updates");
    let long = format!("{A} {B} refs/heads/{}", "a".repeat(5000));
    insta::assert_snapshot!(refuse(&[&long, "-"]), @"the push lists more than 4096 bytes of ref updates");
    let many: Vec<String> = (0..101).map(|n| format!("{A} {B} refs/heads/{n}")).collect();
    let parser =
        PushParser::new(100, 1 << 20).feed(&wire(&many.iter().map(|line| &**line).collect::<Vec<_>>()));
    insta::assert_snapshot!(parser.unwrap_err(), @"the push updates more than 100 refs");
    for bad in [&b"0001"[..], b"0002", b"0003", b"zzzz", b"PACK", b"fff1"] {
        assert!(parse(bad).is_err());
    }
}

#[test]
fn refuses_certificates_with_two_readings() {
    let command = format!("{A} {B} refs/heads/a\n");
    let head = ["push-cert@report-status", "certificate version 0.1\n", "pusher x\n", "\n"];
    let signature = ["-----BEGIN PGP SIGNATURE-----\n", "x\n", "-----END PGP SIGNATURE-----\n"];
    let whole = [&head[..], &[&command], &signature, &["push-cert-end\n", "-"]].concat();
    assert_eq!(parse(&wire(&whole)).unwrap().0.commands.len(), 1);
    let check = |at: usize, line: &str| {
        let mut lines = whole.clone();
        lines.insert(at, line);
        refuse(&lines)
    };
    insta::assert_snapshot!(check(1, "certificate version 0.2\n"), @"line 2 of the push is not the line certificate version 0.1");
    insta::assert_snapshot!(check(2, "pusherx\n"), @"line 3 of the push is not a header of a push certificate");
    insta::assert_snapshot!(check(4, &format!("{A} {B} refs/heads/b")), @"line 5 of the push is not a whole line of a push certificate");
    insta::assert_snapshot!(check(4, &format!("{A} {B} refs/heads/b\n{A} {B} refs/heads/c\n")), @"line 5 of the push is not a whole line of a push certificate");
    insta::assert_snapshot!(check(4, "\n"), @"line 5 of the push is not a ref update or a signature");
    insta::assert_snapshot!(check(6, "-----BEGIN PGP SIGNATURE-----\n"), @"line 7 of the push is not part of the only signature of a push certificate");
    insta::assert_snapshot!(check(5, "-"), @"line 6 of the push is not a line of a push certificate");
    insta::assert_snapshot!(check(9, &command), @"line 10 of the push is not the end of a signed push");
    insta::assert_snapshot!(check(0, &command), @"line 2 of the push is not a ref update without capabilities: those stand on the first line");
}

proptest! {
    #[test]
    fn every_split_reads_the_same(name in 0usize..8, cuts in prop::collection::vec(1usize..60, 1..30)) {
        let names = ["create", "update-options", "atomic", "force", "shallow", "signed", "sha256", "delete"];
        let body = transcript(&format!("{}.request", names[name]));
        let (mut pieces, mut rest, mut cuts) = (Vec::new(), &body[..], cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(parse_in(pieces), parse(&body));
    }

    #[test]
    fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_push(&body);
        fuzz_push(&[&wire(&[&format!("{A} {B} refs/heads/a@push-options")]), &body[..]].concat());
    }
}
