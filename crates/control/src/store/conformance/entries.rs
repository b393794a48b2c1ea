//! The session index and its searches.

use std::sync::Arc;

use lockgate_core::index::Entry;

use crate::{
    model::{EntryFilter, PageRequest, Session, Verdict},
    samples::{access, at, entry, someone},
    store::{Store, StoreError},
};

async fn put(store: &dyn Store, entries: &[Entry]) {
    store.put_entries(entries).await.unwrap();
}

async fn found(store: &dyn Store, filter: EntryFilter) -> Vec<Entry> {
    let page = store.search_entries(&filter, &PageRequest::default()).await.unwrap();
    assert_eq!(page.next, None);
    page.items
}

fn filter(set: impl FnOnce(&mut EntryFilter)) -> EntryFilter {
    let mut filter = EntryFilter::default();
    set(&mut filter);
    filter
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(crate) async fn an_entry_comes_back_as_it_was(store: Arc<dyn Store>) {
    let mut full = entry("team/app", "refs/heads/main", 0);
    full.accesses.push(access("delete", "team/app", "refs/tags/v1"));
    full.approval = Some("0198".into());
    (full.status, full.bytes_in, full.bytes_out) = (599, u64::MAX, 7);
    let mut bare = entry("", "", 1);
    (bare.accesses, bare.rules, bare.bundles, bare.verdict) = (vec![], vec![], vec![], "none".into());
    put(&*store, &[full.clone(), bare.clone()]).await;
    assert_eq!(store.entry(&full.exchange).await.unwrap(), full);
    assert_eq!(store.entry(&bare.exchange).await.unwrap(), bare);
    assert_eq!(found(&*store, EntryFilter::default()).await, [bare, full]);
    put(&*store, &[]).await;
}

pub(crate) async fn a_later_entry_replaces_the_earlier(store: Arc<dyn Store>) {
    let first = entry("team/app", "refs/heads/main", 0);
    let mut second = entry("team/web", "refs/heads/dev", 0);
    second.exchange.clone_from(&first.exchange);
    put(&*store, std::slice::from_ref(&first)).await;
    put(&*store, &[first.clone(), second.clone()]).await;
    assert_eq!(found(&*store, EntryFilter::default()).await, [second.clone()]);
    for gone in [filter(|it| it.resource = some("team/app")), filter(|it| it.text = some("main"))] {
        assert_eq!(found(&*store, gone).await, []);
    }
    assert_eq!(found(&*store, filter(|it| it.text = some("dev"))).await, [second]);
}

pub(crate) async fn what_is_restored_replaces_nothing(store: Arc<dyn Store>) {
    let known = entry("team/app", "refs/heads/main", 0);
    let (mut other, lost) = (entry("team/web", "refs/heads/dev", 0), entry("team/lost", "refs/heads/x", 1));
    other.exchange.clone_from(&known.exchange);
    put(&*store, std::slice::from_ref(&known)).await;
    let by = someone("root", &[]);
    for _ in 0..2 {
        store.restore_entries(&[other.clone(), lost.clone()], &by, at(9)).await.unwrap();
    }
    assert_eq!(found(&*store, EntryFilter::default()).await, [lost.clone(), known]);
    let audit = store.audit(&PageRequest::default()).await.unwrap().items;
    let told: Vec<_> = audit.iter().map(|event| (&*event.action, &*event.target, event.at)).collect();
    assert_eq!(told, [("index.restore", &*lost.exchange, at(9))]);
}

pub(crate) async fn each_filter_finds_what_it_names(store: Arc<dyn Store>) {
    let one = entry("team/app", "refs/heads/main", 0);
    let mut two = entry("team/web", "refs/heads/dev", 100);
    (two.issuer, two.subject, two.session) = ("ci".into(), "repo:x/y:ref:z".into(), "0e0e".into());
    (two.upstream, two.protocol, two.verdict) = ("mirror".into(), "oci".into(), "deny".into());
    two.outcome = "refused".into();
    two.accesses[0].action = "delete".into();
    put(&*store, &[one.clone(), two.clone()]).await;

    let reference = |value: &str| vec![("ref".to_owned(), value.to_owned())];
    let only_two = [
        filter(|it| it.principal = some("repo:x/y:ref:z")),
        filter(|it| it.principal = some("ci:repo:x/y:ref:z")),
        filter(|it| it.principal = some("ci:*")),
        filter(|it| it.session = some("0e0e")),
        filter(|it| it.upstream = some("mirror")),
        filter(|it| it.upstream = some("m*r")),
        filter(|it| it.protocol = some("oci")),
        filter(|it| it.action = some("delete")),
        filter(|it| it.resource = some("team/web")),
        filter(|it| it.resource = some("*web")),
        filter(|it| it.attributes = reference("refs/heads/dev")),
        filter(|it| it.attributes = reference("*/dev")),
        filter(|it| it.verdicts = vec![Verdict::Deny, Verdict::Hold]),
        filter(|it| it.outcome = some("refused")),
        filter(|it| it.since = Some(at(100))),
        filter(|it| it.text = some("WEB")),
    ];
    for filter in only_two {
        assert_eq!(found(&*store, filter.clone()).await, [two.clone()], "{filter:?}");
    }
    let only_one = [
        filter(|it| it.principal = some("ada")),
        filter(|it| it.until = Some(at(100))),
        filter(|it| (it.since, it.until) = (Some(at(0)), Some(at(1)))),
        filter(|it| it.verdicts = vec![Verdict::Permit]),
        filter(|it| (it.principal, it.upstream) = (some("ada"), some("forge"))),
    ];
    for filter in only_one {
        assert_eq!(found(&*store, filter.clone()).await, std::slice::from_ref(&one), "{filter:?}");
    }
    let none = [
        filter(|it| it.principal = some("Ada")),
        filter(|it| it.principal = some("ad")),
        filter(|it| (it.principal, it.upstream) = (some("ada"), some("mirror"))),
        filter(|it| it.since = Some(at(101))),
        filter(|it| it.attributes = vec![("repository".into(), "refs/heads/dev".into())]),
    ];
    for filter in none {
        assert_eq!(found(&*store, filter.clone()).await, [], "{filter:?}");
    }
}

pub(crate) async fn an_outcome_is_found_by_its_word(store: Arc<dyn Store>) {
    let outcomes = ["failed", "failed: the disk is full", "failed, not recorded whole", "upstream failed"];
    for (at, outcome) in outcomes.into_iter().enumerate() {
        let mut entry = entry("team/app", "refs/heads/main", i64::try_from(at).unwrap());
        entry.outcome = outcome.into();
        put(&*store, &[entry]).await;
    }
    let search = async |outcome: &str| found(&*store, filter(|it| it.outcome = some(outcome))).await;
    assert_eq!(search("failed").await.len(), 3);
    assert_eq!(search("upstream failed").await.len(), 1);
    assert_eq!(search("fail").await, []);
}

pub(crate) async fn conditions_on_accesses_meet_in_one(store: Arc<dyn Store>) {
    let mut both = entry("team/app", "refs/heads/main", 0);
    both.accesses.push(access("delete", "team/app", "refs/heads/dev"));
    put(&*store, std::slice::from_ref(&both)).await;
    let search = |action: &str, reference: &str| {
        filter(|it| {
            it.action = some(action);
            it.attributes =
                vec![("ref".into(), reference.to_owned()), ("repository".into(), "team/app".into())];
        })
    };
    assert_eq!(found(&*store, search("push", "refs/heads/main")).await, [both.clone()]);
    assert_eq!(found(&*store, search("delete", "refs/heads/dev")).await, [both]);
    assert_eq!(found(&*store, search("delete", "refs/heads/main")).await, []);
}

pub(crate) async fn text_finds_the_beginnings_of_words(store: Arc<dyn Store>) {
    let one = entry("team/app", "refs/heads/main", 0);
    put(&*store, std::slice::from_ref(&one)).await;
    for text in ["1234ab", "heads/ma", "push app", "ADA", "branches", &one.exchange, "complete forge"] {
        assert_eq!(found(&*store, filter(|it| it.text = some(text))).await.len(), 1, "{text}");
    }
    for text in ["234ab", "heads/dev", "push other", "corp"] {
        assert_eq!(found(&*store, filter(|it| it.text = some(text))).await.len(), 0, "{text}");
    }
}

pub(crate) async fn values_are_never_a_language(store: Arc<dyn Store>) {
    let odd = "te?m/[a]p'; DROP TABLE entry; --%_\"";
    let mut one = entry(odd, "refs/heads/*", 0);
    one.subject = odd.into();
    put(&*store, &[one.clone(), entry("team/app", "refs/heads/main", 0)]).await;
    let finds = [
        filter(|it| it.resource = some(odd)),
        filter(|it| it.resource = some("te?m/[a]p*")),
        filter(|it| it.principal = some(odd)),
        filter(|it| it.text = some("drop table \"")),
    ];
    for filter in finds {
        assert_eq!(found(&*store, filter.clone()).await, [one.clone()], "{filter:?}");
    }
    for text in ["\"", "a OR b", "NOT x", "text:push", "NEAR(a b)", "(", "^x", "a*b", "-", "{x}:"] {
        store.search_entries(&filter(|it| it.text = some(text)), &PageRequest::default()).await.expect(text);
    }
}

pub(crate) async fn pages_are_whole_and_disjoint(store: Arc<dyn Store>) {
    // Several at the same time, so that the time alone does not order them.
    let entries: Vec<_> = (0..25).map(|number| entry("team/app", "refs/heads/main", number / 5)).collect();
    put(&*store, &entries).await;
    let mut page = PageRequest::first(4);
    let mut seen: Vec<Entry> = Vec::new();
    loop {
        let part = store.search_entries(&EntryFilter::default(), &page).await.unwrap();
        assert!(part.items.len() <= 4);
        seen.extend(part.items);
        let Some(next) = part.next else { break };
        page.token = Some(next);
        put(&*store, &[entry("team/app", "refs/heads/later", 1000)]).await;
    }
    let mut expected = entries;
    expected.sort_by(|a, b| (b.started, &b.exchange).cmp(&(a.started, &a.exchange)));
    assert_eq!(seen, expected);
    let foreign = PageRequest { size: 0, token: some("foreign") };
    let refused = store.search_entries(&EntryFilter::default(), &foreign).await;
    assert!(matches!(refused, Err(StoreError::PageToken)));
}

pub(crate) async fn sessions_are_summed_up(store: Arc<dyn Store>) {
    let in_session = |session: &str, upstream: &str, verdict: &str, second: i64| {
        let mut entry = entry("team/app", "refs/heads/main", second);
        (entry.session, entry.upstream, entry.verdict) = (session.into(), upstream.into(), verdict.into());
        entry
    };
    put(
        &*store,
        &[
            in_session("a", "forge", "permit", 0),
            in_session("b", "forge", "hold", 50),
            in_session("a", "cluster", "deny", 100),
            in_session("a", "forge", "deny", 20),
        ],
    )
    .await;
    let page = PageRequest::first(1);
    let first = store.search_sessions(&EntryFilter::default(), &page).await.unwrap();
    let Session { id, principal, upstreams, exchanges, denied, held, started, ended } = &first.items[0];
    assert_eq!((&**id, &*principal.to_string()), ("a", "corp:ada"));
    assert_eq!((&upstreams[..], *exchanges), (&["cluster".to_owned(), "forge".to_owned()][..], 3));
    assert_eq!((*denied, *held, *started, *ended), (2, 0, at(0), at(105)));

    let rest = PageRequest { token: first.next, ..page };
    let second = store.search_sessions(&EntryFilter::default(), &rest).await.unwrap();
    assert_eq!((&*second.items[0].id, second.items[0].held), ("b", 1));
    let rest = PageRequest { token: second.next, ..rest };
    assert_eq!(rest.token, None);

    let refused = filter(|it| it.verdicts = vec![Verdict::Deny]);
    let only = store.search_sessions(&refused, &PageRequest::default()).await.unwrap().items;
    assert_eq!(only.iter().map(|it| (&*it.id, it.exchanges)).collect::<Vec<_>>(), [("a", 2)]);
}
