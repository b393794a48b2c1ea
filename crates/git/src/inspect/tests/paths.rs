//! Which paths change.

use super::*;

#[tokio::test]
async fn additions_changes_and_removals() {
    for format in [SHA1, ObjectFormat::Sha256] {
        let (repo, old) = published(format);
        repo.file("src/new.rs", "new");
        repo.file("README", "other\n");
        repo.save("two");
        std::fs::remove_file(repo.dir.path().join("work/src/lib.rs")).unwrap();
        repo.save("three");
        assert_eq!(repo.pushed(PATHS, old).await.paths, ["README", "src/lib.rs", "src/new.rs"]);
    }
}

#[tokio::test]
async fn a_path_that_was_changed_and_changed_back() {
    let (repo, old) = published(SHA1);
    repo.file(".github/workflows/x.yml", "on: push");
    repo.save("two");
    repo.git(&["rm", "-q", ".github/workflows/x.yml"]);
    repo.save("three");
    assert_eq!(repo.pushed(PATHS, old).await.paths, [".github/workflows/x.yml"]);
}

#[tokio::test]
async fn an_existing_file_that_is_copied() {
    let (repo, old) = published(SHA1);
    let work = repo.dir.path().join("work");
    std::fs::create_dir_all(work.join(".github/workflows")).unwrap();
    std::fs::copy(work.join("old/ci.yml"), work.join(".github/workflows/x.yml")).unwrap();
    repo.save("two");
    let pack = repo.pack(&["HEAD", "^upstream/main"], &["--no-sparse"]);
    let objects = u32::from_be_bytes(pack[8..12].try_into().unwrap());
    assert_eq!(objects, 4, "a commit and three trees, no blob");
    let facts = repo.update(ALL, old, &pack).await.unwrap();
    assert_eq!(facts.paths, [".github/workflows/x.yml"]);
    assert_eq!(facts.findings, []);
}

#[tokio::test]
async fn an_existing_directory_that_is_moved() {
    let (repo, old) = published(SHA1);
    repo.git(&["mv", "old", ".github"]);
    repo.save("two");
    assert_eq!(repo.pushed(ALL, old).await.paths, [".github/ci.yml", "old/ci.yml"]);
}

#[tokio::test]
async fn modes_links_and_submodules() {
    let (repo, old) = published(SHA1);
    repo.git(&["update-index", "--chmod=+x", "src/lib.rs"]);
    repo.git(&["commit", "-q", "-m", "two"]);
    let blob = repo.git(&["rev-parse", "HEAD:README"]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("120000,{blob},README")]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{old},sub/module")]);
    repo.git(&["commit", "-q", "-m", "three"]);
    assert_eq!(repo.pushed(ALL, old).await.paths, ["README", "src/lib.rs", "sub/module"]);
}

#[tokio::test]
async fn a_file_that_becomes_a_directory_and_back() {
    let (repo, old) = published(SHA1);
    repo.git(&["rm", "-q", "README"]);
    repo.file("README/inner", "x");
    repo.save("two");
    assert_eq!(repo.pushed(PATHS, old).await.paths, ["README", "README/inner"]);
    let old = repo.publish();
    repo.git(&["rm", "-q", "-r", "README"]);
    repo.file("README", "x");
    repo.save("three");
    assert_eq!(repo.pushed(PATHS, old).await.paths, ["README", "README/inner"]);
}

#[tokio::test]
async fn merges_count_where_they_differ_from_all_parents() {
    let (repo, old) = published(SHA1);
    repo.git(&["switch", "-q", "-c", "side"]);
    repo.file("side", "x");
    repo.save("side");
    repo.git(&["switch", "-q", "main"]);
    repo.file("main", "x");
    repo.save("two");
    repo.git(&["merge", "-q", "--no-commit", "side"]);
    repo.file("evil", "x");
    repo.save("merge");
    assert_eq!(repo.pushed(PATHS, old).await.paths, ["evil", "main", "side"]);

    // What a merge takes over from elsewhere shows between the tips.
    repo.git(&["push", "-q", "upstream", "side"]);
    repo.git(&["reset", "-q", "--hard", "main~1"]);
    let two = repo.publish();
    repo.git(&["merge", "-q", "-m", "merge", "side"]);
    let facts = repo.pushed(PATHS, two).await;
    assert_eq!((facts.commits, facts.paths), (2, vec!["side".into()]));
}

#[tokio::test]
async fn a_rewound_branch_shows_what_it_loses() {
    let (repo, _) = published(SHA1);
    repo.file("a", "x");
    repo.save("two");
    let old = repo.publish();
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let facts = repo.pushed(PATHS, old).await;
    assert_eq!((facts.commits, facts.paths), (0, vec!["a".into()]));
}

#[tokio::test]
async fn a_new_branch_is_compared_with_the_default_branch() {
    let (repo, _) = published(SHA1);
    repo.file("a", "x");
    repo.save("two");
    repo.publish();
    repo.git(&["switch", "-q", "-c", "side", "HEAD~1"]);
    repo.file("b", "x");
    repo.save("three");
    let pack = repo.pack(&["side", "^upstream/main"], &[]);
    let commands = [command(None, repo.oid("side"), "refs/heads/side")];
    let facts = inspect(&repo.backend(), config(PATHS), &commands, &pack).await.unwrap().remove(0);
    assert_eq!((facts.commits, facts.paths), (1, vec!["b".into()]));
}

#[tokio::test]
async fn the_first_push_of_all() {
    let repo = Repo::new(SHA1);
    repo.file("a/b", "x");
    repo.save("one");
    repo.file("c", "x");
    let new = repo.save("two");
    let pack = repo.pack(&["HEAD"], &[]);
    let facts =
        inspect(&repo.backend(), config(PATHS), &[command(None, new, "refs/heads/main")], &pack).await;
    let facts = facts.unwrap().remove(0);
    assert_eq!((facts.commits, facts.paths), (2, vec!["a/b".into(), "c".into()]));
}

#[tokio::test]
async fn an_empty_tree() {
    let (repo, old) = published(SHA1);
    repo.git(&["rm", "-q", "-r", "."]);
    repo.save("two");
    assert_eq!(repo.pushed(ALL, old).await.paths, ["README", "old/ci.yml", "src/lib.rs"]);
}
