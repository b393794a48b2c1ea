//! The session index, from the proxy to whoever searches.

use std::time::Duration;

use lockgate_control::{
    CallError,
    model::{EntryFilter, PageRequest},
};
use lockgate_core::index::Index;
use lockgate_testkit::wait::PATIENCE;

use crate::support::{Plane, entry, exchange};

fn by(principal: &str) -> EntryFilter {
    EntryFilter { principal: Some(principal.into()), ..EntryFilter::default() }
}

#[tokio::test]
async fn what_a_proxy_hands_over_is_found_by_people() {
    let plane = Plane::start().await;
    let (proxy, vi) = (plane.proxy().await, plane.person("vi", &["viewers"]));
    let (mut ada, bo) = (entry("ada", "team/app"), entry("bo", "team/web"));
    proxy.put(ada.clone());
    proxy.put(bo.clone());
    ada.verdict = "deny".into();
    proxy.put(ada.clone());
    assert!(proxy.flush(PATIENCE).await);

    let page = PageRequest::default();
    assert_eq!(vi.entries(&by("ada"), &page).await.unwrap().items, [ada.clone()]);
    let web = EntryFilter { resource: Some("*/web".into()), ..EntryFilter::default() };
    assert_eq!(vi.entries(&web, &page).await.unwrap().items, [bo]);
    assert_eq!(vi.entry(&ada.exchange).await.unwrap(), ada);
    let sessions = vi.sessions(&by("corp:ada"), &page).await.unwrap().items;
    assert_eq!(sessions.len(), 1);
    assert_eq!((&*sessions[0].id, sessions[0].denied), ("session of ada", 1));
    assert!(matches!(vi.entry(&exchange()).await, Err(CallError::NotFound(_))));
    assert!(matches!(vi.entry("no id").await, Err(CallError::Invalid(_))));
}

#[tokio::test]
async fn an_entry_that_makes_no_sense_keeps_no_other_out() {
    let plane = Plane::start().await;
    let proxy = plane.proxy().await;
    let mut senseless = entry("ada", "team/app");
    senseless.exchange = "no id".into();
    proxy.put(senseless);
    proxy.put(entry("bo", "team/app"));
    assert!(proxy.flush(PATIENCE).await);
    let found = plane.operator().entries(&EntryFilter::default(), &PageRequest::default()).await.unwrap();
    assert_eq!(found.items.len(), 1);
}

#[tokio::test]
async fn many_entries_arrive_and_come_in_pages() {
    let plane = Plane::start().await;
    let proxy = plane.proxy().await;
    for number in 0..1200 {
        proxy.put(entry("ada", &format!("team/app{number}")));
    }
    assert!(proxy.flush(PATIENCE).await);
    let operator = plane.operator();
    let (mut page, mut found) = (PageRequest::first(500), 0);
    loop {
        let part = operator.entries(&by("ada"), &page).await.unwrap();
        found += part.items.len();
        let Some(next) = part.next else { break };
        page.token = Some(next);
    }
    assert_eq!(found, 1200);
    assert_eq!(proxy.dropped_entries(), 0);
    let foreign = PageRequest { size: 0, token: Some("foreign".into()) };
    assert!(matches!(operator.entries(&by("ada"), &foreign).await, Err(CallError::Invalid(_))));
}

#[tokio::test]
async fn a_huge_entry_is_cut_to_what_can_be_sent() {
    let plane = Plane::start().await;
    let proxy = plane.proxy().await;
    let mut huge = entry("ada", "team/app");
    let access = huge.accesses[0].clone();
    huge.accesses = vec![access; 100_000];
    proxy.put(huge.clone());
    assert!(proxy.flush(PATIENCE).await);
    let kept = plane.operator().entry(&huge.exchange).await.unwrap();
    assert!(!kept.accesses.is_empty() && kept.accesses.len() < 100_000);
}

#[tokio::test]
async fn what_can_not_be_sent_is_said_so() {
    let plane = Plane::start().await;
    let proxy = plane.proxy().await;
    let (_folder, _idp) = plane.stop().await;
    proxy.put(entry("ada", "team/app"));
    assert!(!proxy.flush(Duration::from_millis(10)).await);
}
