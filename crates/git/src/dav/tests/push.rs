//! What is asked for by refs that are written, and by the list of them.

use http::StatusCode;

use super::*;

#[tokio::test]
async fn a_ref_is_created_or_forced() {
    let packed =
        format!("# pack-refs with: peeled fully-peeled sorted \n{} refs/heads/p\n^{}\n", hex('c'), hex('d'));
    let upstream =
        Upstream::of(&[("refs/heads/l", &hex('b')), ("packed-refs", &packed), ("refs/heads/e", "")]);
    upstream.set("refs/remotes/o/HEAD", Ok("ref: refs/heads/l\n"));
    upstream.set("refs/heads/long", Ok(&"b".repeat(64)));
    upstream.set("refs/heads/down", Err(StatusCode::BAD_GATEWAY));
    upstream.set("refs/heads/folder", Err(StatusCode::MOVED_PERMANENTLY));
    upstream.set("refs/heads/mine", Err(StatusCode::UNAUTHORIZED));
    let check = async |name: &str, expected: Result<&str, &str>| {
        let made = asked(&upstream, &format!("PUT refs/{name}"), hex('a') + "\n").await;
        assert_eq!(
            made,
            expected.map(|push| vec![FETCH.into(), push.into()]).map_err(str::to_owned),
            "{name}"
        );
    };
    check("heads/n", Ok("push refs/heads/n 00..aa (create)")).await;
    check("heads/e", Ok("push refs/heads/e 00..aa (create)")).await;
    check("heads/l", Ok("push refs/heads/l bb..aa (force)")).await;
    check("heads/p", Ok("push refs/heads/p cc..aa (force)")).await;
    let strange = "is not understood here: push over smart HTTP";
    check(
        "remotes/o/HEAD",
        Err(&format!("upstream_invalid: what the upstream has as refs/remotes/o/HEAD {strange}")),
    )
    .await;
    check("heads/long", Err("invalid: the ref names an object in another format")).await;
    let answered = |name: &str, status| {
        format!(
            "upstream_unavailable: the upstream was asked for refs/heads/{name}, and answered with {status}"
        )
    };
    check("heads/down", Err(&answered("down", "502 Bad Gateway"))).await;
    check("heads/folder", Err(&answered("folder", "301 Moved Permanently"))).await;
    check("heads/mine", Err("unauthenticated: the upstream asks who wants to write")).await;
    for file in ["", "ref: refs/heads/l\n", &hex('0'), &hex('a')[1..], &"a".repeat(300)] {
        assert!(asked(&upstream, "PUT refs/heads/n", file).await.is_err(), "{file}");
    }
    upstream.set("packed-refs", Ok(&packed[..packed.len() - 1]));
    check("heads/n", Err(&format!("upstream_invalid: what the upstream has as packed-refs {strange}"))).await;
    check("heads/l", Ok("push refs/heads/l bb..aa (force)")).await;
}

#[tokio::test]
async fn only_files_of_refs_are_deleted() {
    let packed = format!("{} refs/heads/p\n{} refs/heads/both\n", hex('c'), hex('c'));
    let upstream = Upstream::of(&[("refs/heads/l", &hex('b')), ("packed-refs", &packed)]);
    upstream.set("refs/heads/both", Ok(&hex('b')));
    let check = async |name: &str, expected: Result<&str, &str>| {
        let made = asked(&upstream, &format!("DELETE refs/{name}"), "").await;
        assert_eq!(
            made,
            expected.map(|push| vec![FETCH.into(), push.into()]).map_err(str::to_owned),
            "{name}"
        );
    };
    check("heads/l", Ok("push refs/heads/l bb..00 (delete)")).await;
    // What is in `packed-refs` would be there again.
    check("heads/both", Ok("push refs/heads/both bb..cc (force)")).await;
    for name in ["heads", "heads/p", "heads/n"] {
        check(name, Err(&format!("not_found: refs/{name} has no file of its own that could be deleted")))
            .await;
    }
}

#[tokio::test]
async fn the_list_of_refs_says_what_refs_do() {
    let line = |digit: char, name: &str| format!("{}\trefs/{name}\n", hex(digit));
    let listed =
        [line('a', "heads/gone"), line('a', "heads/moved"), line('a', "heads/stale"), line('a', "tags/t")];
    let upstream = Upstream::of(&[
        ("info/refs", &listed.concat()),
        ("refs/heads/moved", &hex('b')),
        ("refs/heads/stale", &hex('b')),
        ("refs/heads/new", &hex('b')),
        ("packed-refs", &format!("{} refs/tags/t\n", hex('a'))),
    ]);
    let check = async |lines: &[String], expected: &[&str]| {
        let made = asked(&upstream, "PUT info/refs", lines.concat()).await.unwrap();
        assert!(made[0] == FETCH && made[1].starts_with("write-object "), "{made:?}");
        assert!(made[1].ends_with(" as team/app/info/refs"), "{made:?}");
        assert_eq!(made[2..], *expected);
    };
    let (new, moved) = (line('b', "heads/new"), line('b', "heads/moved"));
    let (stale, tag) = (line('a', "heads/stale"), line('a', "tags/t"));
    check(&[new.clone(), moved.clone(), stale.clone(), tag.clone()], &[]).await;
    check(&listed, &[]).await;
    check(
        &[
            line('d', "heads/gone"),
            line('c', "heads/moved"),
            line('c', "heads/new"),
            line('c', "heads/x"),
            stale.clone(),
        ],
        &[
            "push refs/heads/gone aa..dd (force)",
            "push refs/heads/moved bb..cc (force)",
            "push refs/heads/new bb..cc (force)",
            "push refs/heads/x 00..cc (create)",
            "push refs/tags/t aa..00 (delete)",
        ],
    )
    .await;
    // What a tag is of is said of what it is.
    check(&[moved.clone(), stale.clone(), tag.clone(), line('c', "tags/t^{}")], &[]).await;
    let many: Vec<String> = (0..300).map(|number| line('c', &format!("heads/{number}"))).collect();
    let refused = asked(&upstream, "PUT info/refs", many.concat()).await.unwrap_err();
    assert_eq!(refused, "too_large: more than 256 refs change at once");
    for list in ["x\n".to_owned(), format!("{} HEAD\n", hex('a')), moved.clone() + &moved] {
        assert!(asked(&upstream, "PUT info/refs", list).await.unwrap_err().starts_with("invalid: "));
    }
    upstream.set("info/refs", Ok("<html>"));
    assert!(asked(&upstream, "PUT info/refs", moved).await.unwrap_err().starts_with("upstream_invalid: "));
}

#[tokio::test]
async fn what_changed_meanwhile_is_judged_anew() {
    let upstream = Upstream::of(&[("refs/heads/l", &hex('b'))]);
    let passing = async |what: &str, body: String| {
        let classified = classify(&Rig::with(Auth::Passthrough), &upstream, request(what, body)).await;
        classified.unwrap_or_else(|refusal| panic!("{what}: {refusal}"))
    };
    let update = passing("PUT refs/heads/l", hex('a')).await;
    let create = passing("PUT refs/heads/n", hex('a')).await;
    let delete = passing("DELETE refs/heads/l", String::new()).await;
    let list = passing("PUT info/refs", format!("{}\trefs/heads/l\n", hex('b'))).await;
    for passing in [&update, &create, &delete, &list] {
        passing.dialect.stands(&upstream).await.unwrap();
    }
    upstream.set("packed-refs", Ok(&format!("{0} refs/heads/n\n{0} refs/heads/l\n", hex('c'))));
    assert!(create.dialect.stands(&upstream).await.is_err());
    assert!(delete.dialect.stands(&upstream).await.is_err());
    update.dialect.stands(&upstream).await.unwrap();
    list.dialect.stands(&upstream).await.unwrap();
    upstream.set("info/refs", Ok(&format!("{}\trefs/heads/m\n", hex('c'))));
    assert!(list.dialect.stands(&upstream).await.is_err());
    upstream.set("info/refs", Ok(""));
    list.dialect.stands(&upstream).await.unwrap();
    upstream.set("refs/heads/l", Ok(&hex('e')));
    assert!(update.dialect.stands(&upstream).await.is_err());
    assert!(list.dialect.stands(&upstream).await.is_err());
    // Packed meanwhile, it names what it named.
    upstream.set("packed-refs", Ok(&format!("{} refs/heads/l\n", hex('b'))));
    upstream.set("refs/heads/l", Err(StatusCode::NOT_FOUND));
    update.dialect.stands(&upstream).await.unwrap();
}
