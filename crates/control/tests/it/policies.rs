//! Policies, from the publication to the proxy.

use lockgate_control::{
    CallError,
    client::ControlClient,
    model::{PageRequest, PublishedPolicy},
    people::{Publish, Validated},
    transport::{Endpoint, connect},
};
use lockgate_core::policy::PolicyHandle;
use lockgate_testkit::wait;

use crate::support::{GIT, Plane, policy};

/// Waits until the handle holds that version.
async fn follows(handle: &PolicyHandle, version: &str) {
    let reached = async || handle.current().filter(|policy| policy.version() == version).map(drop);
    wait::until_async("the policy to come into force", reached).await.unwrap();
}

fn publish(text: &str) -> Publish {
    Publish { text: text.into(), comment: "because".into(), if_current: None }
}

#[tokio::test]
async fn what_is_published_comes_into_force_at_the_proxy() {
    let plane = Plane::start().await;
    let handle = PolicyHandle::new();
    let watch = plane.proxy().await.watch_policy(handle.clone(), &[&GIT], None);
    assert!(handle.current().is_none());
    let first = plane.publish(&policy("one")).await;
    watch.ready().await;
    follows(&handle, &first).await;
    let second = plane.publish(&policy("two")).await;
    follows(&handle, &second).await;

    let late = PolicyHandle::new();
    let _watch = plane.proxy().await.watch_policy(late.clone(), &[&GIT], None);
    follows(&late, &second).await;
}

#[tokio::test]
async fn what_does_not_load_is_not_published() {
    let plane = Plane::start().await;
    let operator = plane.operator();
    let good = plane.publish(&policy("one")).await;
    let bad = policy("two").replace("refs:", "refz:");
    let Err(CallError::Policy(problems)) = operator.publish_policy(publish(&bad)).await else {
        panic!("it was published")
    };
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].line, problems[0].column), (6, 35));
    assert!(problems[0].message.contains("refz"), "{}", problems[0]);
    assert_eq!(operator.validate_policy(&bad).await.unwrap(), Validated::Refused(problems));
    assert_eq!(
        operator.validate_policy(&policy("one")).await.unwrap(),
        Validated::Loads { version: good.clone() }
    );
    assert_eq!(operator.policy(None).await.unwrap().version, good);
    let huge = "#".repeat((1 << 20) + 1);
    assert!(matches!(operator.validate_policy(&huge).await, Err(CallError::Invalid(_))));
}

#[tokio::test]
async fn an_earlier_version_is_rolled_back_to() {
    let plane = Plane::start().await;
    let operator = plane.operator();
    let nothing = operator.roll_back(None, "").await.unwrap_err();
    assert!(matches!(nothing, CallError::NotFound(_)), "{nothing:?}");
    let handle = PolicyHandle::new();
    let _watch = plane.proxy().await.watch_policy(handle.clone(), &[&GIT], None);
    let one = plane.publish(&policy("one")).await;
    let two = plane.publish(&policy("two")).await;
    let three = plane.publish(&policy("three")).await;
    assert_eq!(operator.roll_back(None, "oops").await.unwrap().version, two);
    follows(&handle, &two).await;
    assert_eq!(operator.roll_back(Some(&one), "further").await.unwrap().version, one);
    follows(&handle, &one).await;

    let listed = operator.policies(&PageRequest::default()).await.unwrap().items;
    let summary = |policy: &PublishedPolicy| (policy.revision, policy.version.clone(), policy.current);
    let expected = [
        (5, one.clone(), true),
        (4, two.clone(), false),
        (3, three, false),
        (2, two, false),
        (1, one.clone(), false),
    ];
    assert_eq!(listed.iter().map(summary).collect::<Vec<_>>(), expected);
    assert_eq!(operator.policy(Some(&one)).await.unwrap().text, policy("one"));
    let audit = operator.audit(&PageRequest::first(2)).await.unwrap();
    assert_eq!(audit.items[0].action, "policy.roll_back");
    assert_eq!(
        (&*audit.items[0].detail, audit.items[0].by.to_string()),
        ("further", "local:operator".to_owned())
    );
    assert!(audit.next.is_some());
}

#[tokio::test]
async fn two_who_change_the_same_policy_do_not_overwrite_each_other() {
    let plane = Plane::start().await;
    let operator = plane.operator();
    let one = plane.publish(&policy("one")).await;
    let based = |text: &str| Publish { if_current: Some(one.clone()), ..publish(text) };
    operator.publish_policy(based(&policy("two"))).await.unwrap();
    let lost = operator.publish_policy(based(&policy("three"))).await.unwrap_err();
    assert!(matches!(lost, CallError::NotNow(_)), "{lost:?}");
}

#[tokio::test]
async fn a_proxy_that_can_not_load_a_policy_stays_on_the_one_before() {
    let plane = Plane::start().await;
    let handle = PolicyHandle::new();
    // It does not know git.
    let _watch = plane.proxy().await.watch_policy(handle.clone(), &[], None);
    let first = plane.publish("version: 1\n").await;
    follows(&handle, &first).await;
    plane.publish(&policy("git")).await;
    let third = plane.publish("version: 1\n# later\n").await;
    follows(&handle, &third).await;
}

#[tokio::test]
async fn the_last_good_policy_serves_while_the_control_plane_is_away() {
    let plane = Plane::start().await;
    let kept = tempfile::tempdir().unwrap();
    let version = plane.publish(&policy("one")).await;
    let watch = plane.proxy().await.watch_policy(PolicyHandle::new(), &[&GIT], Some(kept.path()));
    watch.ready().await;
    drop(watch);
    let (folder, _idp) = plane.stop().await;

    let handle = PolicyHandle::new();
    let nobody = connect(&Endpoint::Unix(folder.path().join("nobody"))).unwrap();
    let client = ControlClient::new(nobody, "alone");
    let watch = client.watch_policy(handle.clone(), &[&GIT], Some(kept.path()));
    watch.ready().await;
    assert_eq!(handle.current().unwrap().version(), version);
}

#[tokio::test]
async fn the_policy_is_in_force_after_a_restart() {
    let plane = Plane::start().await;
    let version = plane.publish(&policy("one")).await;
    let (folder, idp) = plane.stop().await;
    let plane = Plane::start_in(folder, idp).await;
    assert_eq!(plane.operator().policy(None).await.unwrap().version, version);
    let handle = PolicyHandle::new();
    let watch = plane.proxy().await.watch_policy(handle.clone(), &[&GIT], None);
    watch.ready().await;
    assert_eq!(handle.current().unwrap().version(), version);
}
