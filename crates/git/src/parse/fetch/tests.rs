//! Requests in every version, and what is none.

use proptest::prelude::*;

use super::*;

fn frames(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        match *line {
            "0000" => out.extend_from_slice(pkt::FLUSH),
            "0001" => out.extend_from_slice(pkt::DELIMITER),
            line => pkt::write(&mut out, line.as_bytes()),
        }
    }
    out
}

fn read(body: &[u8], cuts: &[usize]) -> Result<FetchRequest, FetchError> {
    let (mut parser, mut cuts) = (FetchParser::new(4096), cuts.iter().cycle());
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(cuts.next().map_or(rest.len(), |cut| (*cut).min(rest.len())));
        parser.feed(piece)?;
        rest = after;
    }
    parser.finish()
}

const OID: &str = "0123456789abcdef0123456789abcdef01234567";

fn good() -> Vec<Vec<u8>> {
    let want = format!("want {OID}");
    let first = format!(
        "{want} multi_ack_detailed side-band-64k thin-pack include-tag agent=git/2.47.3 deepen-since"
    );
    vec![
        frames(&[
            "command=ls-refs\n",
            "agent=git/2",
            "object-format=sha1",
            "0001",
            "peel\n",
            "symrefs",
            "unborn",
            "ref-prefix refs/heads/",
            "0000",
        ]),
        frames(&["command=ls-refs", "0000"]),
        frames(&[
            "command=fetch",
            "0001",
            "thin-pack",
            &want,
            "want-ref refs/heads/main",
            &format!("have {OID}"),
            &format!("shallow {OID}"),
            "deepen 3",
            "deepen-since 7",
            "deepen-not refs/heads/x",
            "done",
            "0000",
        ]),
        frames(&[&first, &want, "0000", "0000", &format!("have {OID}\n"), "0000", "done\n"]),
        frames(&[&first, &format!("shallow {OID}"), "deepen 2147483647", "0000"]),
        frames(&["0000"]),
    ]
}

#[test]
fn reads_and_writes_every_version() {
    for body in good() {
        let request = read(&body, &[]).unwrap_or_else(|error| panic!("{error}: {}", body.escape_ascii()));
        assert_eq!(read(&request.write(), &[]).as_ref(), Ok(&request));
    }
    let request = read(&good()[3], &[]).unwrap();
    let written = String::from_utf8(request.write()).unwrap();
    assert!(
        written.starts_with("008awant ") || written.contains(" multi_ack_detailed side-band-64k thin-pack ")
    );
    assert!(written.ends_with("00000000") || written.ends_with("0009done\n"), "{written}");
}

#[test]
fn refuses_what_it_does_not_know() {
    let want = format!("want {OID}");
    let line = |line| Err(FetchError::Line { line });
    let rows: Vec<(Vec<&str>, Result<(), FetchError>)> = vec![
        (vec!["command=object-info", "0001", "size", "0000"], line(1)),
        (vec!["command=bundle-uri", "0000"], line(1)),
        (vec!["command=fetch", "0001", "filter blob:none", "0000"], line(3)),
        (vec!["command=fetch", "0001", "packfile-uris https", "0000"], line(3)),
        (vec!["command=fetch", "0001", "deepen-relative", "0000"], line(3)),
        (vec!["command=fetch", "0001", "deepen 0", "0000"], line(3)),
        (vec!["command=fetch", "0001", "deepen +1", "0000"], line(3)),
        (vec!["command=fetch", "0001", "deepen 2147483648", "0000"], line(3)),
        (vec!["command=fetch", "0001", "want main", "0000"], line(3)),
        (vec!["command=fetch", "x=y", "0000"], line(2)),
        (vec!["command=fetch", "0001", "0001", "0000"], line(3)),
        (vec!["command=ls-refs", "0001", "want x", "0000"], line(3)),
        (vec!["command=fetch", "0001", "done"], Err(FetchError::Truncated)),
        (vec!["command=fetch", "0000", "command=fetch", "0000"], Err(FetchError::Trailing)),
        (vec![&want], Err(FetchError::Truncated)),
        (vec![&want, "filter blob:none", "0000"], line(2)),
        (vec![&want, "0000", &want], line(3)),
        (vec![&want, "0000", "done", "0000"], Ok(())),
        (vec![&want, "0000", "done", "0000", &want], Err(FetchError::Trailing)),
        (vec!["have x", "0000"], line(1)),
        (vec![], Err(FetchError::Truncated)),
    ];
    for (lines, expected) in rows {
        assert_eq!(read(&frames(&lines), &[3]).map(drop), expected, "{lines:?}");
    }
    let relative = format!("{want} deepen-relative");
    assert_eq!(read(&frames(&[&relative, "0000"]), &[]).map(drop), line(1));
    assert_eq!(read(&frames(&["0000"]), &[]).unwrap().lines, []);
    assert_eq!(read(&[b'0'; 5000], &[]).map(drop), Err(FetchError::TooLarge { max: 4096 }));
    assert_eq!(read(b"00", &[]).map(drop), Err(FetchError::Truncated));
    assert!(matches!(read(b"zzzz", &[]), Err(FetchError::Pkt(_))));
}

proptest! {
    #[test]
    fn every_split_reads_the_same(index in 0usize..6, cuts in prop::collection::vec(1usize..30, 1..10)) {
        let body = &good()[index];
        prop_assert_eq!(read(body, &cuts), read(body, &[]));
    }

    #[test]
    fn anything_is_answered(data in prop::collection::vec(any::<u8>(), 0..200), index in 0usize..6, at in 0usize..100) {
        fuzz_fetch(&data);
        let mut body = good()[index].clone();
        if let Some(byte) = body.get_mut(at) {
            *byte ^= data.first().copied().unwrap_or(1);
        }
        fuzz_fetch(&body);
    }
}
