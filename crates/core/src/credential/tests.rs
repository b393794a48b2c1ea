//! Credentials by resource, and when they are fetched.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, join_all};
use tokio::time::{advance, timeout};

use super::{
    Credential, CredentialError, Credentials, Fetch, Fetched, Source, Wanted,
    exec::{Exec, ExecConfig, ExecError, OutputError},
    file::SecretFile,
};
use crate::{
    policy::Globs,
    refusal::{Refusal, RefusalKind},
    secret::Secret,
};

/// Lets the stopped clock go on, and everything that waits for it.
async fn elapse(time: Duration) {
    let _ = timeout(time, std::future::pending::<()>()).await;
}

/// Gives `token-1`, `token-2`, ...; fails where it is told to. Takes a second.
#[derive(Default)]
struct Counter {
    count: AtomicUsize,
    failing: Mutex<VecDeque<bool>>,
}

impl Fetch for Counter {
    fn scope(&self, resource: &str) -> Result<String, CredentialError> {
        Ok(resource.split('/').next().unwrap_or_default().to_owned())
    }

    fn fetch<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Fetched, CredentialError>> {
        Box::pin(async {
            elapse(Duration::from_secs(1)).await;
            let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
            if self.failing.lock().unwrap().pop_front().unwrap_or(false) {
                return Err(CredentialError::Header);
            }
            let credential = Credential::Bearer(Secret::new(format!("token-{count}")));
            Ok(Fetched { credential, fresh: Duration::from_secs(100), valid: Duration::from_secs(200) })
        })
    }
}

fn counted() -> (Arc<Counter>, Credentials) {
    let counter = Arc::new(Counter::default());
    let source = Source::Fetched(Arc::clone(&counter) as Arc<dyn Fetch>);
    (counter, Credentials::new([(None, source)]).unwrap())
}

async fn presented(credentials: &Credentials, resource: &str) -> Result<String, Arc<CredentialError>> {
    let header = credentials.header(|| Wanted::for_all_of(Some(resource.to_owned()))).await?;
    Ok(header.map_or_else(String::new, |header| {
        assert!(header.is_sensitive());
        header.to_str().unwrap().to_owned()
    }))
}

#[tokio::test(start_paused = true)]
async fn a_value_may_be_for_some_things_only() {
    let (counter, credentials) = counted();
    let wanted = |narrowly: &str| Wanted { resource: "a".into(), narrowly: Some(narrowly.into()) };
    for narrowly in ["pull", "push", "pull"] {
        credentials.header(|| wanted(narrowly)).await.unwrap();
    }
    assert_eq!(counter.count.load(Ordering::Relaxed), 2, "one of each");
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_for_ever_more_things_finds_room() {
    let (_, credentials) = counted();
    for batch in 0..25 {
        let all = (0..100).map(|n| {
            let credentials = credentials.clone();
            async move { presented(&credentials, &format!("{batch}-{n}/app")).await }
        });
        for value in join_all(all).await {
            assert!(value.unwrap().starts_with("Bearer token-"), "of {batch}");
        }
    }
    assert!((512..=2048).contains(&credentials.known().len()));
}

#[tokio::test]
async fn the_first_that_fits_is_presented() {
    let fixed = |token: &str| Source::Fixed(Credential::Bearer(Secret::new(token)));
    let globs = |glob| Some(Globs::new([glob]).unwrap());
    let credentials = Credentials::new([
        (globs("team/*"), fixed("token-team")),
        (globs("public/**"), Source::Fixed(Credential::None)),
        (globs("**"), fixed("token-rest")),
    ]);
    let credentials = credentials.unwrap();
    assert_eq!(presented(&credentials, "team/app").await.unwrap(), "Bearer token-team");
    assert_eq!(presented(&credentials, "team/a/b").await.unwrap(), "Bearer token-rest");
    assert_eq!(presented(&credentials, "public/a").await.unwrap(), "");
    assert_eq!(credentials.known().len(), 2);

    let some = Credentials::new([(globs("team/*"), fixed("token-team"))]).unwrap();
    let error = presented(&some, "other").await.unwrap_err();
    assert_eq!(error.to_string(), "no credential of this upstream is for other");
    assert!(matches!(some.header(Wanted::default).await.unwrap_err().as_ref(), CredentialError::NoneFor(_)));
    assert!(Credentials::none().is_none() && !some.is_none());
    assert!(Credentials::fixed(Credential::Bearer(Secret::new("a\nb"))).is_err());
}

#[tokio::test(start_paused = true)]
async fn many_requests_fetch_once_and_the_mask_knows() {
    let (counter, credentials) = counted();
    assert!(!credentials.is_none());
    let all = join_all((0..50).map(|n| {
        let credentials = credentials.clone();
        async move { presented(&credentials, &format!("team/{n}")).await.unwrap() }
    }));
    assert!(all.await.iter().all(|header| header == "Bearer token-1"));
    assert_eq!(presented(&credentials, "other/app").await.unwrap(), "Bearer token-2");
    assert_eq!((counter.count.load(Ordering::Relaxed), credentials.known().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_value_is_renewed_before_its_end_and_nobody_waits() {
    let (counter, credentials) = counted();
    presented(&credentials, "a").await.unwrap();
    advance(Duration::from_secs(150)).await;
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-1");
    elapse(Duration::from_secs(2)).await;
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-2");
    advance(Duration::from_secs(201)).await;
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-3");
    assert_eq!(counter.count.load(Ordering::Relaxed), 3);
    // What was presented may come back for a while.
    assert_eq!(credentials.known().len(), 3);
    advance(Duration::from_hours(2)).await;
    presented(&credentials, "a").await.unwrap();
    assert_eq!(credentials.known().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_and_not_repeated_at_once() {
    let (counter, credentials) = counted();
    *counter.failing.lock().unwrap() = [true, true, false, true].into();
    for _ in 0..10 {
        assert!(presented(&credentials, "a").await.is_err());
    }
    assert_eq!(counter.count.load(Ordering::Relaxed), 1);
    advance(Duration::from_secs(1)).await;
    assert!(presented(&credentials, "a").await.is_err());
    advance(Duration::from_secs(1)).await;
    assert!(presented(&credentials, "a").await.is_err());
    assert_eq!(counter.count.load(Ordering::Relaxed), 2, "the second wait is longer");
    advance(Duration::from_secs(1)).await;
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-3");
    // A renewal that fails leaves the value that is still good.
    advance(Duration::from_secs(150)).await;
    presented(&credentials, "a").await.unwrap();
    elapse(Duration::from_millis(1500)).await;
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-3");
    assert_eq!(counter.count.load(Ordering::Relaxed), 4);
    let refusal = Refusal::from(&CredentialError::Header);
    assert_eq!(refusal.kind, RefusalKind::Internal);
    assert!(!refusal.reason.contains("header") && refusal.detail.unwrap().contains("header"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_stops_no_fetch() {
    let (counter, credentials) = counted();
    let gone = timeout(Duration::from_millis(10), presented(&credentials, "a")).await;
    assert!(gone.is_err());
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-1");
    assert_eq!(counter.count.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_refuses_is_fetched_anew() {
    let (_, credentials) = counted();
    presented(&credentials, "a/b").await.unwrap();
    credentials.refused(|| Wanted::for_all_of(Some("a/c".into())));
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-1", "it was fetched just now");
    advance(Duration::from_secs(11)).await;
    credentials.refused(|| Wanted::for_all_of(Some("a/c".into())));
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-2");
}

#[tokio::test(start_paused = true)]
async fn scopes_are_bounded() {
    let (counter, credentials) = counted();
    for n in 0..600 {
        presented(&credentials, &n.to_string()).await.unwrap();
        presented(&credentials, "used").await.unwrap();
    }
    let fetched = counter.count.load(Ordering::Relaxed);
    presented(&credentials, "599").await.unwrap();
    assert_eq!(counter.count.load(Ordering::Relaxed), fetched);
    presented(&credentials, "0").await.unwrap();
    assert_eq!(counter.count.load(Ordering::Relaxed), fetched + 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "token-1\n").unwrap();
    let credentials = Credentials::new([(None, SecretFile::new(&path, None).into())]).unwrap();
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-1");
    fs::write(&path, "token-2\n").unwrap();
    advance(Duration::from_secs(1)).await;
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-2");
    assert_eq!(credentials.known().len(), 2);
    // As it is for a moment when it is written anew.
    fs::write(&path, "").unwrap();
    advance(Duration::from_secs(30)).await;
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-2");
    advance(Duration::from_secs(61)).await;
    let error = presented(&credentials, "a").await.unwrap_err();
    assert!(matches!(&*error, CredentialError::File(_)), "{error:?}");
    fs::write(&path, "token-3").unwrap();
    advance(Duration::from_secs(2)).await;
    assert_eq!(presented(&credentials, "a").await.unwrap(), "Bearer token-3");
}

fn script(dir: &std::path::Path, text: &str) -> ExecConfig {
    let program = dir.join("token");
    fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    ExecConfig {
        program: "/bin/sh".into(),
        arguments: vec![program.into(), "--for".into()],
        environment: vec![("GIVEN".into(), "env".into())],
        user: None,
        timeout: Duration::from_secs(20),
        lifetime: Duration::from_secs(300),
    }
}

async fn executed(text: &str, timeout: Duration) -> Result<Credential, CredentialError> {
    let dir = tempfile::tempdir().unwrap();
    let config = ExecConfig { timeout, ..script(dir.path(), text) };
    Exec::new(config).fetch("a").await.map(|fetched| fetched.credential)
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_ends_with_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let text = format!("sleep 1000 >{} & wait", pipe.display());
    let fetch = tokio::spawn(async move { executed(&text, Duration::from_secs(60)).await });
    // Opened when it is opened for writing; it ends when nobody is left that could write.
    let mut opened = tokio::task::spawn_blocking(|| File::open(pipe)).await.unwrap().unwrap();
    fetch.abort();
    let read = tokio::task::spawn_blocking(move || opened.read(&mut [0])).await.unwrap();
    assert_eq!(read.unwrap(), 0);
}

#[tokio::test]
async fn a_command_prints_a_credential() {
    let minute = Duration::from_secs(60);
    let printed = executed("echo \"$1-$GIVEN-${HOME:-nothing}\"; cat", minute).await.unwrap();
    assert_eq!(printed, Credential::Bearer(Secret::new("--for-env-nothing")));
    let failed = executed("echo hunter2; exit 3", minute).await.unwrap_err();
    let CredentialError::Exec(error @ ExecError::Failed(..)) = failed else { panic!("{failed:?}") };
    assert!(error.to_string().contains("exit status: 3"), "{error}");
    let large = executed("head -c 100000 /dev/zero; sleep 1000", minute).await.unwrap_err();
    assert!(matches!(large, CredentialError::Exec(ExecError::Output(_, OutputError::TooLarge))), "{large:?}");
    let slow = executed("echo hunter2; sleep 1000", Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(slow, CredentialError::Exec(ExecError::Timeout(..))), "{slow:?}");
    let config =
        ExecConfig { program: "/nonexistent".into(), ..script(tempfile::tempdir().unwrap().path(), "") };
    let missing = Exec::new(config).fetch("a").await.unwrap_err();
    assert!(matches!(missing, CredentialError::Exec(ExecError::Run(..))), "{missing:?}");
}
