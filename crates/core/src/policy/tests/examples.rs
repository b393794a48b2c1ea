//! The example policies hold what they promise.

use insta::assert_snapshot;

use super::{agent, judged, load, principal};

#[test]
fn production_approval() {
    let policy = load(include_str!("../../../../../examples/policies/production-approval.yaml"))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let check = |asked: &str| judged(&policy, &agent(), &[asked]);
    assert_snapshot!(check("git fetch repository=a"), @"permit [allow agents-fetch]");
    assert_snapshot!(check("git push repository=a ref=refs/heads/fix change=create kind=branch"), @"permit [allow agents-branches]");
    assert_snapshot!(check("git push repository=a ref=refs/heads/fix change=force kind=branch"), @"permit [allow agents-branches]");
    assert_snapshot!(check("git push repository=a ref=refs/heads/main change=update kind=branch"), @"hold [require_approval production]");
    assert_snapshot!(check("git push repository=a ref=refs/heads/main change=force kind=branch"), @"deny [deny protected]");
    assert_snapshot!(check("git push repository=a ref=refs/heads/release/1 change=delete kind=branch"), @"deny [deny protected]");
    assert_snapshot!(check("git push repository=a ref=refs/tags/v1 change=create kind=tag"), @"deny [deny ]");
    assert_snapshot!(check("git push repository=a ref=refs/meta/config change=update kind=other"), @"deny [deny ]");
    let stranger = principal("github", "x", &[], r#"{ "repository_owner_id": "666" }"#);
    assert_snapshot!(judged(&policy, &stranger, &["git fetch repository=a"]), @"deny [deny ]");
}

#[test]
fn record_only() {
    let policy = load(include_str!("../../../../../examples/policies/record-only.yaml"))
        .unwrap_or_else(|errors| panic!("{errors}"));
    assert_snapshot!(judged(&policy, &agent(), &["git push repository=a ref=refs/heads/main change=delete"]), @"permit [allow ]");
    assert_snapshot!(judged(&policy, &agent(), &["k8s read"]), @"permit [allow ]");
}

/// The document in the module's documentation.
#[test]
fn documentation() {
    let documentation = include_str!("../../policy.rs");
    let (_, document) = documentation.split_once("//! ```yaml\n").unwrap();
    let (document, _) = document.split_once("//! ```\n").unwrap();
    let document: String =
        document.lines().map(|line| line.trim_start_matches("//!").to_owned() + "\n").collect();
    load(&document).unwrap_or_else(|errors| panic!("{errors}\n{document}"));
}
