//! What approvers are shown.

use super::*;

/// What is shown of a push of these updates, the names of objects taken out.
async fn show(repo: &Repo, commands: &[Command], pack: &[u8]) -> Result<String, InspectError> {
    let rig = Rig::new();
    let mut writer = rig.spools.create();
    writer.write(&Bytes::copy_from_slice(pack)).await.unwrap();
    let spool = writer.finish().await.unwrap();
    let route = Route::parse(&http::Method::POST, &"/app.git/git-receive-pack".parse().unwrap()).unwrap();
    let format = commands[0].new.format();
    let pushed = Pushed { route: &route, format, commands, spool: &spool, pack: 0, known: None };
    let text = Inspector::new(config(Wanted::default())).show(rig.context(&repo.backend()), &pushed).await?;
    let word = |word: &str| match word.trim_end_matches(',') {
        name if name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            word.replace(name, "OID")
        }
        _ => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    Ok(text.trim_end_matches('\n').split('\n').map(line).collect::<Vec<_>>().join("\n"))
}

async fn update(repo: &Repo, old: Option<Oid>, name: &str) -> String {
    let pack = repo.pack(&["HEAD", "^upstream/main"], &["--delta-base-offset"]);
    show(repo, &[command(old, repo.oid("HEAD"), name)], &pack).await.unwrap()
}

#[tokio::test]
async fn files_and_lines() {
    for format in [SHA1, ObjectFormat::Sha256] {
        let (repo, old) = published(format);
        repo.file("src/new.rs", "new");
        repo.save("two");
        repo.file("README", "hello\nworld\n");
        repo.git(&["rm", "-q", "src/lib.rs"]);
        repo.save("three");
        let main = update(&repo, Some(old), "refs/heads/main").await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(main, @r"
            refs/heads/main compared with OID, all commits together
              M README  +1 -0
              D src/lib.rs  +0 -1
              A src/new.rs  +1 -0
              1 added, 1 changed, 1 removed

            --- README
            @@ -1 +1,2 @@
             hello
            +world

            --- src/lib.rs
            @@ -1 +0,0 @@
            -fn main() {}

            --- src/new.rs
            @@ -0,0 +1 @@
            +new
            \ no newline at its end
            ");
        }
        // A new ref is compared with where it leaves what the upstream has.
        let branch = update(&repo, None, "refs/heads/fix").await;
        assert!(branch.starts_with("refs/heads/fix compared with OID"), "{branch}");
        assert!(branch.contains("1 added, 1 changed, 1 removed"), "{branch}");
    }
}

#[tokio::test]
async fn what_is_no_text() {
    let (repo, old) = published(SHA1);
    repo.file("data.bin", b"\x00\x01");
    repo.file("big.txt", "x\n".repeat(1 << 20));
    repo.file("tab\there \u{202e}.txt", "a\r\n\u{1b}[31m\n");
    repo.git(&["add", "-A"]);
    repo.git(&["update-index", "--chmod=+x", "src/lib.rs"]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{old},sub")]);
    repo.git(&["commit", "-q", "-m", "two"]);
    let text = update(&repo, Some(old), "refs/heads/main").await;
    // As it is: whoever prints it to a terminal makes them visible.
    let text = text.replace('\r', "<CR>").replace('\u{1b}', "<ESC>");
    insta::assert_snapshot!(text, @r"
    refs/heads/main compared with OID, all commits together
      A big.txt  2097152 bytes: too large to be shown
      A data.bin  binary, 2 bytes, before 0
      M src/lib.rs  +0 -0, mode 100644 becomes 100755
      A sub  submodule: nothing becomes OID
      A tab\u{9}here \u{202e}.txt  +2 -0
      4 added, 1 changed, 0 removed

    --- tab\u{9}here \u{202e}.txt
    @@ -0,0 +1,2 @@
    +a<CR>
    +<ESC>[31m
    ");
}

#[tokio::test]
async fn secrets_are_masked() {
    let (repo, old) = published(SHA1);
    let token = secret(1);
    repo.file("config.py", format!("a\ntoken = '{token}'\n"));
    repo.file(&format!("keys/{token}"), "");
    repo.save("two");
    let text = update(&repo, Some(old), "refs/heads/main").await;
    assert!(text.contains("+token = '[MASKED:github-pat:") && !text.contains(&token), "{text}");
}

#[tokio::test]
async fn what_is_cut_says_so() {
    let (repo, old) = published(SHA1);
    for file in 0..250 {
        repo.file(&format!("f/{file:03}"), format!("{}{}\n", "line\n".repeat(20), "w".repeat(1000)));
    }
    repo.file("a", "line\n".repeat(2000));
    repo.save("two");
    let text = update(&repo, Some(old), "refs/heads/main").await;
    for part in [
        "\n  A a  +2000 -0\n",
        "[cut after 500 of 2001 lines]",
        " [cut]\n",
        "\n  and 51 more, which are not shown\n  251 added, 0 changed, 0 removed\n",
        "\ncut after 2000 lines: the push changes more than is shown",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.len() < 500_000);
}

#[tokio::test]
async fn several_refs_deletions_and_what_is_there_already() {
    let (repo, old) = published(SHA1);
    let null = Oid::from_bytes(&[0; 20]).unwrap();
    let empty = repo.pack(&[], &[]);
    let same = show(&repo, &[command(None, old, "refs/heads/same")], &empty).await.unwrap();
    insta::assert_snapshot!(same, @r"
    refs/heads/same compared with OID, all commits together
      0 added, 0 changed, 0 removed
    ");
    repo.file("README", "other\n");
    repo.save("two");
    let pack = repo.pack(&["HEAD", "^upstream/main"], &[]);
    let new = repo.oid("HEAD");
    let mut commands: Vec<_> = (0..22).map(|n| command(None, new, &format!("refs/heads/b{n}"))).collect();
    commands.insert(0, command(Some(old), null, "refs/heads/gone"));
    let text = show(&repo, &commands, &pack).await.unwrap();
    assert!(!text.contains("gone") && text.contains("refs/heads/b19 compared"), "{text}");
    assert!(text.ends_with("and 2 more refs, which are not shown"), "{text}");
    // What nobody has can't be shown.
    let missing = Oid::from_bytes(&[7; 20]).unwrap();
    show(&repo, &[command(None, missing, "refs/heads/x")], &empty).await.unwrap_err();
}
