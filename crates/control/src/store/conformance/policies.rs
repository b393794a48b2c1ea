//! The log of policies and the audit.

use std::sync::Arc;

use crate::{
    model::{AuditEvent, PageRequest, PublishedPolicy},
    samples::{at, someone},
    store::{PolicyAct, Publication, Store, StoreError, Which},
};

fn publication(version: &str, second: i64) -> Publication {
    Publication {
        version: version.into(),
        text: format!("text of {version}"),
        by: someone("ada", &["admins"]),
        at: at(second),
        comment: format!("because of {version}"),
        if_current: None,
        act: PolicyAct::Publish,
    }
}

async fn publish(store: &dyn Store, version: &str, second: i64) -> PublishedPolicy {
    store.publish(publication(version, second)).await.unwrap()
}

async fn versions(store: &dyn Store) -> Vec<(u64, String, bool)> {
    let page = store.policies(&PageRequest::default()).await.unwrap();
    assert_eq!(page.next, None);
    page.items.into_iter().map(|policy| (policy.revision, policy.version, policy.current)).collect()
}

async fn audit(store: &dyn Store) -> Vec<AuditEvent> {
    store.audit(&PageRequest::default()).await.unwrap().items
}

pub(crate) async fn nothing_is_in_force_at_first(store: Arc<dyn Store>) {
    for which in [Which::Current, Which::Previous, Which::Version("a")] {
        assert_eq!(store.policy(which).await.unwrap(), None);
    }
    assert_eq!(versions(&*store).await, []);
    assert_eq!(audit(&*store).await, []);
}

pub(crate) async fn what_is_published_is_in_force(store: Arc<dyn Store>) {
    let published = publish(&*store, "a", 0).await;
    assert_eq!(published.revision, 1);
    assert!(published.current);
    let found = store.policy(Which::Current).await.unwrap().unwrap();
    assert_eq!(found.text, "text of a");
    assert_eq!((found.by.to_string(), found.at), ("corp:ada".into(), at(0)));
    assert_eq!(found.comment, "because of a");

    publish(&*store, "b", 1).await;
    assert_eq!(store.policy(Which::Current).await.unwrap().unwrap().version, "b");
    let previous = store.policy(Which::Previous).await.unwrap().unwrap();
    assert_eq!((&*previous.version, previous.current), ("a", false));
    let first = store.policy(Which::Version("a")).await.unwrap().unwrap();
    assert_eq!((first.revision, &*first.text), (1, "text of a"));
}

pub(crate) async fn the_text_in_force_is_not_published_again(store: Arc<dyn Store>) {
    let first = publish(&*store, "a", 0).await;
    let second = publish(&*store, "a", 1).await;
    assert_eq!((second.revision, second.at), (first.revision, first.at));
    assert_eq!(audit(&*store).await.len(), 1);
}

pub(crate) async fn an_earlier_text_can_come_back(store: Arc<dyn Store>) {
    publish(&*store, "a", 0).await;
    publish(&*store, "b", 1).await;
    let back = Publication { act: PolicyAct::RollBack, ..publication("a", 2) };
    assert_eq!(store.publish(back).await.unwrap().revision, 3);
    let expected = [(3, "a".into(), true), (2, "b".into(), false), (1, "a".into(), false)];
    assert_eq!(versions(&*store).await, expected);
    assert_eq!(store.policy(Which::Version("a")).await.unwrap().unwrap().revision, 3);
    assert_eq!(store.policy(Which::Previous).await.unwrap().unwrap().version, "b");
}

pub(crate) async fn a_publication_based_on_another_is_refused(store: Arc<dyn Store>) {
    let based_on =
        |version: &str, base: &str| Publication { if_current: Some(base.into()), ..publication(version, 0) };
    let refused = store.publish(based_on("a", "x")).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotCurrent { current } if current.is_empty()));
    publish(&*store, "a", 0).await;
    store.publish(based_on("b", "a")).await.unwrap();
    let refused = store.publish(based_on("c", "a")).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotCurrent { current } if current == "b"));
    assert_eq!(audit(&*store).await.len(), 2);
}

pub(crate) async fn every_act_is_in_the_audit(store: Arc<dyn Store>) {
    publish(&*store, "a", 0).await;
    publish(&*store, "b", 1).await;
    let back = Publication { act: PolicyAct::RollBack, ..publication("a", 2) };
    store.publish(back).await.unwrap();
    let events = audit(&*store).await;
    let told = |event: &AuditEvent| (event.number, event.action.clone(), event.target.clone());
    let expected = [
        (3, "policy.roll_back".to_owned(), "a".to_owned()),
        (2, "policy.publish".to_owned(), "b".to_owned()),
        (1, "policy.publish".to_owned(), "a".to_owned()),
    ];
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!((events[0].by.to_string(), events[0].at), ("corp:ada".into(), at(2)));
    assert_eq!(events[0].detail, "because of a");
}

pub(crate) async fn lists_come_in_pages(store: Arc<dyn Store>) {
    for second in 0..5 {
        publish(&*store, &format!("v{second}"), second).await;
    }
    let mut page = PageRequest::first(2);
    let (mut revisions, mut numbers) = (Vec::new(), Vec::new());
    loop {
        let found = store.policies(&page).await.unwrap();
        assert!(found.items.iter().all(|policy| policy.text.is_empty()));
        revisions.extend(found.items.iter().map(|policy| policy.revision));
        numbers.extend(store.audit(&page).await.unwrap().items.iter().map(|event| event.number));
        let Some(next) = found.next else { break };
        page.token = Some(next);
        // What comes in between is not the matter of this list.
        publish(&*store, &format!("between {}", revisions.len()), 9).await;
    }
    assert_eq!(revisions, [5, 4, 3, 2, 1]);
    assert_eq!(numbers, revisions);
    let foreign = PageRequest { size: 0, token: Some("foreign".into()) };
    assert!(matches!(store.policies(&foreign).await, Err(StoreError::PageToken)));
}
