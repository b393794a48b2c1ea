//! Real git, and what no git sends, against a repository of which a client may not see every ref.

use super::gateway::Gateway;
use crate::oid::ObjectFormat;

/// A repository with visible and hidden refs: `main` and the tags `v1` and `heavy`, both annotated;
/// `hidden` with two commits of its own, and an annotated tag of what is visible.
async fn gateway(format: ObjectFormat) -> Gateway {
    let gateway = Gateway::hiding(format).await;
    let repo = &gateway.repo;
    for message in ["one", "two", "three"] {
        repo.commit(message);
    }
    repo.git(&["tag", "-a", "-m", "one", "v1", "HEAD~2"]);
    repo.git(&["tag", "-a", "-m", "tells much", "hidden-tag", "HEAD"]);
    repo.git(&["switch", "-q", "-c", "hidden", "HEAD~1"]);
    repo.commit("secret");
    repo.commit("tip");
    repo.git(&["switch", "-q", "main"]);
    repo.git(&["push", "-q", "upstream", "--all"]);
    repo.git(&["push", "-q", "upstream", "--tags"]);
    for name in ["uploadpack.allowRefInWant", "uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
        repo.run("app.git", &["config", name, "true"]);
    }
    gateway
}

fn version(version: &str) -> String {
    format!("protocol.version={version}")
}

#[tokio::test]
async fn a_clone_has_what_may_be_seen_and_no_more() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let gateway = gateway(format).await;
        let repo = &gateway.repo;
        for number in ["0", "1", "2"] {
            let config = version(number);
            let listed = gateway.git(&["-c", &config, "ls-remote", "-q", "{url}"]).await;
            let names: Vec<&str> = listed.lines().filter_map(|line| Some(line.split_once('\t')?.1)).collect();
            let expected = ["HEAD", "refs/heads/main", "refs/tags/v1", "refs/tags/v1^{}"];
            assert_eq!(names, expected, "v{number}: {listed}");
            let folder = format!("clone-{number}");
            let printed =
                gateway.git(&["-c", &config, "clone", "-q", "{url}", &format!("../{folder}")]).await;
            assert!(printed.ends_with("exit 0"), "v{number}: {printed}");
            let refs = repo.run(&folder, &["for-each-ref", "--format=%(refname)"]);
            let all = "refs/heads/main\nrefs/remotes/origin/HEAD\nrefs/remotes/origin/main\nrefs/tags/v1";
            assert_eq!(refs, all, "v{number}");
            repo.run(&folder, &["fsck", "--strict"]);
            for name in ["hidden", "hidden~1", "hidden-tag"] {
                let there = gateway
                    .git(&["-C", &format!("../{folder}"), "cat-file", "-e", &repo.oid(name).to_string()])
                    .await;
                assert!(!there.ends_with("exit 0"), "v{number}: {name} is there");
            }
            repo.commit(&format!("later{number}"));
            repo.git(&["push", "-q", "upstream", "main"]);
            let pulled = gateway.git(&["-C", &format!("../{folder}"), "-c", &config, "pull", "-q"]).await;
            assert!(pulled.ends_with("exit 0"), "v{number}: {pulled}");
            assert_eq!(repo.run(&folder, &["rev-parse", "main"]), repo.oid("main").to_string());
        }
    }
}

#[tokio::test]
async fn what_is_hidden_can_not_be_asked_for_by_name() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let gateway = gateway(format).await;
        let repo = &gateway.repo;
        for number in ["0", "2"] {
            let config = version(number);
            let init = format!("--object-format={}", format.word());
            let folder = format!("../by-name-{number}");
            gateway.git(&["init", "-q", &init, &folder]).await;
            let fetch = async |what: &str| {
                gateway.git(&["-C", &folder, "-c", &config, "fetch", "-q", "{url}", what]).await
            };
            for name in ["hidden", "hidden~1", "hidden-tag", "main~1", "hidden:secret"] {
                let oid = repo.oid(name).to_string();
                let printed = fetch(&oid).await;
                let (told, failed) =
                    (printed.contains("remote error: lockgate: denied"), printed.ends_with("exit 128"));
                // Before version 2 git itself refuses what is not advertised.
                assert!(failed && (told || number == "0"), "v{number} {name}: {printed}");
            }
            assert!(fetch("refs/heads/hidden").await.contains("couldn't find remote ref"), "v{number}");
            for name in ["main", "v1", "v1^{commit}"] {
                let printed = fetch(&repo.oid(name).to_string()).await;
                assert!(printed.ends_with("exit 0") || number == "0", "v{number} {name}: {printed}");
            }
        }
    }
}

#[tokio::test]
async fn shallow_clones_deepen_and_partial_ones_become_whole() {
    let gateway = gateway(ObjectFormat::Sha1).await;
    let repo = &gateway.repo;
    // git 2.39 clones from no server of its own that allows wanted refs, if shallowly: each sends and expects
    // the sections of an answer in another order.
    repo.run("app.git", &["config", "uploadpack.allowRefInWant", "false"]);
    for number in ["0", "1", "2"] {
        let config = version(number);
        let folder = format!("shallow-{number}");
        let git = async |arguments: &[&str]| {
            let arguments = [&["-c", &config], arguments].concat();
            let printed = gateway.git(&arguments).await;
            assert!(printed.ends_with("exit 0"), "v{number} {arguments:?}: {printed}");
            printed
        };
        let there = format!("../{folder}");
        git(&["clone", "-q", "--depth=1", "{url}", &there]).await;
        let count = || repo.run(&folder, &["rev-list", "--count", "HEAD"]);
        assert_eq!(count(), "1");
        git(&["-C", &there, "fetch", "-q", "--depth=2"]).await;
        assert_eq!(count(), "2");
        git(&["-C", &there, "fetch", "-q", "--unshallow"]).await;
        assert_eq!(count(), "3");
        repo.run(&folder, &["fsck", "--strict"]);
        git(&["clone", "-q", "--shallow-exclude=v1", "{url}", &format!("../excluded-{number}")]).await;
        assert_eq!(repo.run(&format!("excluded-{number}"), &["rev-list", "--count", "HEAD"]), "2");
        let partial = format!("../partial-{number}");
        let printed = git(&["clone", "-q", "--filter=blob:none", "{url}", &partial]).await;
        assert!(printed.contains("filtering not recognized by server, ignoring"), "v{number}: {printed}");
        let excluded = gateway
            .git(&["-c", &config, "clone", "-q", "--shallow-exclude=hidden", "{url}", "../none"])
            .await;
        assert!(
            excluded.contains("denied: no ref that you may read is called hidden"),
            "v{number}: {excluded}"
        );
    }
}

#[tokio::test]
async fn a_push_sees_the_same_refs() {
    let gateway = gateway(ObjectFormat::Sha1).await;
    let repo = &gateway.repo;
    repo.commit("mine");
    let push = async |arguments: &[&str]| gateway.git(&[&["push", "{url}"], arguments].concat()).await;
    let printed = push(&["main"]).await;
    assert!(printed.ends_with("exit 0"), "{printed}");
    let before = repo.run("app.git", &["rev-parse", "hidden"]);
    let printed = push(&["main:hidden"]).await;
    assert!(printed.contains("[remote rejected]") && printed.ends_with("exit 1"), "{printed}");
    assert_eq!(repo.run("app.git", &["rev-parse", "hidden"]), before);
    // Nor is it deleted by who can't see it.
    let printed = push(&["--delete", "hidden"]).await;
    assert!(printed.contains("remote ref does not exist") && printed.ends_with("exit 1"), "{printed}");
}

/// The answer to a request as no git sends it.
async fn posted(gateway: &Gateway, header: &str, lines: &[String]) -> Vec<u8> {
    let mut body = Vec::new();
    for line in lines {
        match line.as_str() {
            "0000" => body.extend_from_slice(b"0000"),
            "0001" => body.extend_from_slice(b"0001"),
            line => crate::pkt::write(&mut body, line.as_bytes()),
        }
    }
    gateway.post("/app.git/git-upload-pack", header, body).await
}

fn holds(answer: &[u8], text: &str) -> bool {
    answer.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn what_no_git_sends_gets_nothing() {
    let gateway = gateway(ObjectFormat::Sha1).await;
    let oid = |name: &str| gateway.repo.oid(name).to_string();
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let fetch = |arguments: &[String]| {
        [&lines(&["command=fetch", "0001"])[..], arguments, &lines(&["done", "0000"])].concat()
    };
    let main = format!("want {}", oid("main"));
    let refused: Vec<(&str, Vec<String>)> = vec![
        ("version=2", fetch(&[format!("want {}", oid("hidden"))])),
        ("version=2", fetch(&[main.clone(), format!("want {}", oid("hidden~1"))])),
        ("version=2", fetch(&["want-ref refs/heads/hidden".into()])),
        ("version=2", fetch(&["want-ref refs/heads/none".into()])),
        ("version=2", fetch(&[main.clone(), "filter blob:none".into()])),
        (
            "version=2",
            fetch(&[
                main.clone(),
                "deepen 1".into(),
                "deepen-relative".into(),
                format!("shallow {}", oid("hidden")),
            ]),
        ),
        (
            "version=2",
            lines(&["command=object-info", "0001", "size", &format!("oid {}", oid("hidden")), "0000"]),
        ),
        ("version=2", lines(&["command=bundle-uri", "0000"])),
        ("version=0", vec![format!("want {}", oid("hidden")), "0000".into(), "done\n".into()]),
        (
            "version=0",
            vec![format!("{main} filter"), "filter blob:none".into(), "0000".into(), "done\n".into()],
        ),
        // Read as version 2 here, and so by the upstream.
        ("version=1", fetch(&[format!("want {}", oid("hidden"))])),
        ("version=2", vec![format!("want {}", oid("hidden")), "0000".into(), "done\n".into()]),
    ];
    for (header, lines) in refused {
        let answer = posted(&gateway, header, &lines).await;
        assert!(holds(&answer, "ERR lockgate: "), "{lines:?}: {}", answer.escape_ascii());
        assert!(!holds(&answer, "PACK"), "{lines:?}");
    }
    // The whole history behind a commit that the client claims to have: of visible ones alone.
    let all = [main.clone(), "deepen 2147483647".into(), format!("shallow {}", oid("hidden"))];
    let answer = posted(&gateway, "version=2", &fetch(&all)).await;
    assert!(holds(&answer, "PACK"), "{}", answer.escape_ascii());
    assert!(!holds(&answer, "unshallow"), "{}", answer.escape_ascii());
    // Tags that come along.
    let tags = [main, "include-tag".into()];
    let answer = posted(&gateway, "version=2", &fetch(&tags)).await;
    let pack = answer.windows(8).position(|part| part == b"PACK\0\0\0\x02").unwrap();
    let objects = u32::from_be_bytes(answer[pack + 8..pack + 12].try_into().unwrap());
    assert_eq!(objects, 9, "three commits, trees and blobs");
    let ls = lines(&["command=ls-refs", "0001", "peel", "0000"]);
    let answer = posted(&gateway, "version=2", &ls).await;
    assert!(holds(&answer, " HEAD\n") && holds(&answer, " refs/heads/main\n"), "{}", answer.escape_ascii());
    assert!(!holds(&answer, "hidden") && !holds(&answer, "symref-target"), "{}", answer.escape_ascii());
}
