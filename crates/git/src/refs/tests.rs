//! What is shown of lists of refs.

use proptest::prelude::*;

use super::*;

fn frames(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        match *line {
            "0000" => out.extend_from_slice(pkt::FLUSH),
            line => pkt::write(&mut out, line.as_bytes()),
        }
    }
    out
}

/// With object names of one letter, over and over.
fn long(text: &str) -> String {
    let mut long = String::new();
    for word in text.split_inclusive([' ', ':']) {
        match word.trim_end() {
            letter @ ("a" | "b" | "c" | "d" | "0") => {
                long.push_str(&letter.repeat(40));
                long.push_str(&word[1..]);
            }
            _ => long.push_str(word),
        }
    }
    long
}

/// The lines of a body, with short object names.
fn shown(body: &[u8]) -> Vec<String> {
    let lines = packets(body).unwrap().into_iter().map(|packet| match packet {
        Packet::Data(data) => {
            let line = String::from_utf8(data.to_vec()).unwrap().replace('\n', "");
            ["a", "b", "c", "d", "0"]
                .iter()
                .fold(line, |line, letter| line.replace(&letter.repeat(40), letter))
        }
        Packet::Flush | Packet::Delimiter | Packet::ResponseEnd => "0000".to_owned(),
    });
    lines.collect()
}

fn see(name: &str) -> bool {
    !name.contains("hidden")
}

fn body(lines: &[&str]) -> Vec<u8> {
    let lines: Vec<String> = lines.iter().map(|line| long(line)).collect();
    frames(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_repository_without_refs_keeps_its_format() {
    for digits in [40, 64] {
        let empty = format!("{} capabilities^{{}}\0ofs-delta\n", "0".repeat(digits));
        let body = frames(&["# service=git-receive-pack\n", "0000", &empty, "0000"]);
        assert_eq!(advertisement(&body, Service::ReceivePack, &see), Ok(body));
    }
}

fn advertised(service: Service, lines: &[&str]) -> Vec<String> {
    shown(&advertisement(&body(lines), service, &see).unwrap())
}

#[test]
fn hides_refs_from_fetches_before_version_2() {
    let check =
        |lines: &[&str], expected: &[&str]| assert_eq!(advertised(Service::UploadPack, lines), expected);
    check(
        &[
            "# service=git-upload-pack\n",
            "0000",
            "version 1",
            "a HEAD\0multi_ack include-tag filter deepen-relative allow-tip-sha1-in-want allow-reachable-sha1-in-want symref=HEAD:refs/heads/main symref=refs/x:refs/hidden object-format=sha1 agent=git/2",
            "b refs/heads/hidden",
            "a refs/heads/main\n",
            "c refs/tags/hidden",
            "b refs/tags/hidden^{}",
            "c refs/tags/v1",
            "a refs/tags/v1^{}",
            "shallow d",
            "0000",
        ],
        &[
            "# service=git-upload-pack",
            "0000",
            "version 1",
            "a HEAD\0multi_ack symref=HEAD:refs/heads/main object-format=sha1 agent=git/2",
            "a refs/heads/main",
            "c refs/tags/v1",
            "a refs/tags/v1^{}",
            "shallow d",
            "0000",
        ],
    );
    // HEAD of what is hidden, by its name and, detached, by its object.
    let head = "a HEAD\0thin-pack symref=HEAD:refs/heads/hidden";
    check(&[head, "a refs/heads/hidden", "b refs/x", "0000"], &["b refs/x\0thin-pack", "0000"]);
    check(&[head, "a refs/heads/hidden", "0000"], &["0 capabilities^{}\0thin-pack", "0000"]);
    let detached = "a HEAD\0thin-pack";
    check(&[detached, "a refs/heads/hidden", "b refs/x", "0000"], &["b refs/x\0thin-pack", "0000"]);
    check(&[detached, "a refs/y", "0000"], &["a HEAD\0thin-pack", "a refs/y", "0000"]);
    check(&["0 capabilities^{}\0thin-pack", "0000"], &["0 capabilities^{}\0thin-pack", "0000"]);
    check(&["ERR hidden things"], &["ERR hidden things"]);
}

#[test]
fn hides_refs_from_pushes() {
    let lines = ["b .have\0report-status ofs-delta", "a refs/heads/hidden", "b .have", "c refs/x", "0000"];
    let expected = ["c refs/x\0report-status ofs-delta", "0000"];
    assert_eq!(advertised(Service::ReceivePack, &lines), expected);
}

#[test]
fn strips_version_2() {
    let lines = [
        "version 2",
        "agent=git/2",
        "ls-refs=unborn",
        "fetch=shallow wait-for-done filter packfile-uris ref-in-want sideband-all",
        "server-option",
        "object-format=sha1",
        "object-info",
        "bundle-uri",
        "promisor-remote=name=x",
        "0000",
    ];
    let expected = [
        "version 2",
        "agent=git/2",
        "ls-refs=unborn",
        "fetch=shallow wait-for-done ref-in-want",
        "server-option",
        "object-format=sha1",
        "0000",
    ];
    assert_eq!(advertised(Service::UploadPack, &lines), expected);
}

#[test]
fn hides_refs_in_version_2() {
    let check = |lines: &[&str], symrefs, expected: &[&str]| {
        assert_eq!(shown(&listing(&body(lines), symrefs, &see).unwrap()), expected);
    };
    let lines = [
        "a HEAD symref-target:refs/heads/main",
        "b refs/heads/hidden",
        "a refs/heads/main",
        "b refs/remotes/x/HEAD symref-target:refs/remotes/x/hidden",
        "c refs/tags/hidden peeled:b",
        "c refs/tags/v1 peeled:a unknown:b",
        "0000",
    ];
    let main = "a refs/heads/main";
    check(&lines, true, &["a HEAD symref-target:refs/heads/main", main, "c refs/tags/v1 peeled:a", "0000"]);
    check(&lines, false, &["a HEAD", main, "c refs/tags/v1 peeled:a", "0000"]);
    check(&["a HEAD symref-target:refs/heads/hidden", "0000"], true, &["0000"]);
    check(&["a HEAD", "a refs/heads/hidden", "0000"], true, &["0000"]);
    check(&["unborn HEAD symref-target:refs/heads/hidden", "0000"], true, &["0000"]);
    let unborn = "unborn HEAD symref-target:refs/heads/main";
    check(&[unborn, "0000"], true, &[unborn, "0000"]);
}

#[test]
fn nonsense_is_not_shown() {
    let a = "a".repeat(40);
    let name = format!("{a} refs/x");
    let of = format!("{a} refs/y^{{}}");
    for lines in
        [&["x refs/x", "0000"][..], &["xy"], &[], &[&name], &[&of, "0000"], &[&name, "0000", &name, "0000"]]
    {
        assert!(advertisement(&frames(lines), Service::UploadPack, &see).is_err(), "{lines:?}");
        assert!(listing(&frames(lines), true, &see).is_err() || lines == [&*of, "0000"], "{lines:?}");
    }
    assert!(advertisement(b"001", Service::UploadPack, &see).is_err());
    let mut unreadable = frames(&[&format!("{name}\0thin-pack")]);
    pkt::write(&mut unreadable, &[a.as_bytes(), b" refs/\xff"].concat());
    pkt::write(&mut unreadable, &[a.as_bytes(), b" refs/\xff^{}"].concat());
    unreadable.extend_from_slice(pkt::FLUSH);
    let shown = self::shown(&advertisement(&unreadable, Service::UploadPack, &see).unwrap());
    assert_eq!(shown, ["a refs/x\0thin-pack", "0000"]);
    let words = "x".repeat(pkt::MAX_DATA - 60);
    let long = format!("{a} refs/hidden\0{words}");
    let name = format!("{a} refs/{}", "n".repeat(100));
    assert!(advertisement(&frames(&[&long, &name, "0000"]), Service::ReceivePack, &see).is_err());
}

#[test]
fn knows_what_may_be_asked_for() {
    let lines = [
        "a HEAD\0thin-pack",
        "b refs/heads/hidden",
        "a refs/heads/main",
        "c refs/tags/main",
        "d refs/tags/main^{}",
        "0000",
    ];
    let tips = Tips::read(&body(&lines), &see).unwrap();
    let oid = |letter: &str| Oid::from_hex(letter.repeat(40).as_bytes()).unwrap();
    assert_eq!(["a", "b", "c", "d"].map(|letter| tips.has(&oid(letter))), [true, false, true, true]);
    assert!(tips.shows("refs/heads/main") && !tips.shows("refs/heads/hidden") && !tips.shows("main"));
    assert!(tips.shows_short("main") && tips.shows_short("heads/main") && !tips.shows_short("x"));
    assert!(!tips.shows_short("hidden") && !tips.shows_short("refs/heads/hidden"));
    assert!(Tips::read(&frames(&["version 2", "0000"]), &see).is_err());
}

proptest! {
    #[test]
    fn anything_is_answered(data in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..200) {
        fuzz_refs(&data);
        let mut lines = body(&["a HEAD\0thin-pack symref=HEAD:refs/x", "a refs/x", "c refs/t", "b refs/t^{}", "0000"]);
        if let Some(byte) = lines.get_mut(at) {
            *byte ^= data.first().copied().unwrap_or(1);
        }
        fuzz_refs(&lines);
    }
}
