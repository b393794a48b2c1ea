//! The git server against the real git: what later tests take for granted.

use lockgate_testkit::{Auth, Ca, Git, GitServer, GitServerOptions, ObjectFormat, generate, with_user};

#[test]
fn git_clones_and_pushes_with_every_protocol_and_object_format() {
    let server = GitServer::start().unwrap();
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        for protocol in 0..=2 {
            let repo = server.create_with(&format!("{format:?}-{protocol}.git"), format).unwrap();
            repo.seed(3).unwrap();
            let git = Git::new().unwrap().protocol(protocol);
            let work = git.clone_to(repo.url(), "work").unwrap();
            let head = git.commit(&work, "new/file.txt", "new\n").unwrap();
            git.ok(&work, &["push", "--push-option=one", "origin", "HEAD:refs/heads/topic"]).unwrap();
            assert_eq!(repo.rev("refs/heads/topic").unwrap(), Some(head.clone()));
            assert_eq!(repo.refs().unwrap().len(), 2);
            assert_eq!(repo.rev("refs/heads/none").unwrap(), None);
            repo.fsck().unwrap();
            let digits = if format == ObjectFormat::Sha1 { 40 } else { 64 };
            assert_eq!(head.len(), digits);
        }
    }
}

#[test]
fn the_log_tells_what_reached_the_server() {
    let server = GitServer::start().unwrap();
    let repo = server.create("team/app.git").unwrap();
    repo.seed(1).unwrap();
    assert_eq!(server.requests().unwrap(), []);
    Git::new().unwrap().bearer("abc").clone_to(repo.url(), "work").unwrap();
    let request =
        server.wait_for("the fetch", |request| request.path == "/team/app.git/git-upload-pack").unwrap();
    assert_eq!(
        (request.method.as_str(), request.status, request.protocol.as_str()),
        ("POST", 200, "HTTP/1.1")
    );
    assert_eq!(request.header("authorization"), Some("Bearer abc"));
    assert_eq!(request.header("git-protocol"), Some("version=2"));
    assert_eq!(request.header("cookie"), None);
    server.wait_idle().unwrap();
}

#[test]
fn the_server_asks_for_its_credential() {
    let basic = Auth::Basic { user: "gateway".into(), password: "secret".into() };
    let server =
        GitServer::start_with(&GitServerOptions { auth: basic, ..GitServerOptions::default() }).unwrap();
    let repo = server.create("app.git").unwrap();
    repo.seed(1).unwrap();
    let git = Git::new().unwrap();
    let refused = git.fails(git.home(), &["clone", repo.url(), "refused"]).unwrap();
    assert!(refused.stderr.contains("could not read"), "{}", refused.stderr);
    git.clone_to(&with_user(repo.url(), "gateway", "secret"), "by-url").unwrap();
    git.credentials("gateway", "secret").clone_to(repo.url(), "by-helper").unwrap();

    let bearer = GitServerOptions { auth: Auth::Bearer("token".into()), ..GitServerOptions::default() };
    let server = GitServer::start_with(&bearer).unwrap();
    let repo = server.create("app.git").unwrap();
    repo.seed(1).unwrap();
    let git = Git::new().unwrap();
    assert!(git.clone().bearer("other").clone_to(repo.url(), "other").is_err());
    git.bearer("token").clone_to(repo.url(), "right").unwrap();
}

#[test]
fn over_tls_git_speaks_h2_to_a_server_that_it_trusts() {
    let ca = Ca::new().unwrap();
    let tls = Some(ca.server().unwrap());
    let options = GitServerOptions { auth: Auth::Anyone, tls, ..GitServerOptions::default() };
    let server = GitServer::start_with(&options).unwrap();
    let repo = server.create("app.git").unwrap();
    repo.seed(1).unwrap();
    let git = Git::new().unwrap();
    assert!(git.clone().clone_to(repo.url(), "distrusting").is_err());
    let pem = ca.write(git.home()).unwrap();
    let work = git.clone().ca(&pem).clone_to(repo.url(), "trusting").unwrap();
    git.commit(&work, "a", "b").unwrap();
    git.ca(&pem).ok(&work, &["push", "origin", "main"]).unwrap();
    let request = server.wait_for("the push", |request| request.path == "/app.git/git-receive-pack").unwrap();
    assert_eq!(request.protocol, "HTTP/2.0");
}

#[test]
fn a_big_chunked_push_streams_and_a_hook_can_hold_it() {
    let server = GitServer::start().unwrap();
    let source = server.create("source.git").unwrap();
    generate::incompressible(source.path(), 8, 1 << 20).unwrap();
    let target = server.create("target.git").unwrap();
    target.hook("pre-receive", "echo held >&2; while ! test -e go; do sleep 0.01; done").unwrap();

    let git = Git::new().unwrap();
    let work = git.clone_to(source.url(), "work").unwrap();
    let push = git.spawn(&work, &["push", target.url(), "main"]).unwrap();
    assert_eq!(push.wait_for_stderr("held").unwrap(), "remote: held");
    assert_eq!(target.rev("refs/heads/main").unwrap(), None);
    std::fs::write(target.path().join("go"), "").unwrap();
    assert!(push.finish(lockgate_testkit::wait::PATIENCE).unwrap().status.success());
    assert_eq!(target.rev("main").unwrap(), source.rev("main").unwrap());
    let chunked = |value: Option<&str>| value == Some("chunked");
    server.wait_for("a chunked request", |request| chunked(request.header("transfer-encoding"))).unwrap();
}

#[test]
fn generated_histories_have_the_wanted_size_and_are_always_the_same() {
    let server = GitServer::start().unwrap();
    let [one, two] = ["one.git", "two.git"].map(|name| server.create(name).unwrap());
    for repo in [&one, &two] {
        generate::history(repo.path(), 2_002).unwrap();
        repo.fsck().unwrap();
    }
    let objects = one.git(&["rev-list", "--objects", "--all"]).unwrap();
    assert_eq!(objects.lines().count(), 2_000);
    assert_eq!(one.refs().unwrap(), two.refs().unwrap());
}
