//! What real programs say: git and git-lfs through a server that keeps every body, to a real server.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{Method, Request, Response, header, request::Parts};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use lockgate_testkit::{
    Auth, Git, GitServer, GitServerOptions, HttpServer, LfsStorage, ObjectFormat, body, with_user,
};
use tokio::net::TcpStream;

/// Bytes of an input that is kept, and of one of frames alone, of which every body has many.
const MAX: usize = 6 * 1024;
const FRAMES: usize = 512;

/// Writes the seeds, beside what is there under other names.
pub(crate) fn record(seeds: &Path) {
    let mut said = Said::default();
    for (format, word) in [(ObjectFormat::Sha1, "sha1"), (ObjectFormat::Sha256, "sha256")] {
        let recorder = Recorder::start(said);
        recorder.git(format, word);
        said = recorder.end();
    }
    let recorder = Recorder::start(said);
    recorder.lfs();
    said = recorder.end();
    transcripts(&mut said);
    deltas(&mut said);
    said.write(seeds);
}

/// Inputs by target.
#[derive(Default)]
struct Said {
    inputs: BTreeMap<&'static str, BTreeMap<String, Bytes>>,
    /// What is being done.
    step: String,
}

impl Said {
    fn add(&mut self, target: &'static str, what: &str, input: impl Into<Bytes>) {
        let (inputs, input) = (self.inputs.entry(target).or_default(), input.into());
        let max = if target == "pkt_lines" { FRAMES } else { MAX };
        if !input.is_empty() && input.len() <= max && inputs.values().all(|other| *other != input) {
            let name = format!("{}-{what}", self.step);
            let number = (1..).find(|number| !inputs.contains_key(&format!("{name}-{number}")));
            inputs.insert(format!("{name}-{}", number.expect("numbers do not end")), input);
        }
    }

    /// What of an exchange each target eats.
    fn exchange(&mut self, head: &Parts, request: Bytes, response: Bytes) {
        let path = head.uri.path();
        let lists = request.windows(15).any(|part| part == b"command=ls-refs");
        if path.contains("/info/lfs/") {
            self.add("lfs_json", "request", request);
            self.add("lfs_json", "answer", without_tokens(&response));
        } else if path.ends_with("/info/refs") {
            self.add("ref_listing", "advertisement", response);
        } else if path.ends_with("/git-upload-pack") {
            self.add("fetch_request", "request", request);
            if lists {
                self.add("ref_listing", "listing", response.clone());
            }
            self.add("pkt_lines", "answer", response);
        } else if path.ends_with("/git-receive-pack") && head.method == Method::POST {
            self.push(request);
            self.add("push_record", "answer", response);
        }
    }

    fn push(&mut self, request: Bytes) {
        self.add("push_request", "request", request.clone());
        self.add("push_record", "request", request.clone());
        self.add("pkt_lines", "request", request);
    }

    fn write(&self, seeds: &Path) {
        for (target, inputs) in &self.inputs {
            let seeds = seeds.join(target);
            fs::create_dir_all(&seeds).expect("a folder");
            for (name, input) in inputs {
                fs::write(seeds.join(name), input).expect("a file");
            }
        }
    }
}

struct Recorder {
    said: Arc<Mutex<Said>>,
    server: GitServer,
    /// Between the clients and the server.
    between: HttpServer,
}

const USER: (&str, &str) = ("ada", "lovelace");

impl Recorder {
    fn start(said: Said) -> Self {
        let auth = Auth::Basic { user: USER.0.into(), password: USER.1.into() };
        let options = GitServerOptions { auth, lfs: Some(LfsStorage::Here), ..GitServerOptions::default() };
        let server = GitServer::start_with(&options).expect("nginx, fcgiwrap and an LFS server");
        let said = Arc::new(Mutex::new(said));
        let (upstream, kept) = (server.url().trim_start_matches("http://").to_owned(), Arc::clone(&said));
        let between = HttpServer::start(None, move |request| {
            let (upstream, kept) = (upstream.clone(), Arc::clone(&kept));
            async move { Ok(forward(&upstream, &kept, request).await) }
        });
        Self { said, server, between: between.expect("a port") }
    }

    fn end(self) -> Said {
        std::mem::take(&mut *self.said.lock().expect("no test panicked"))
    }

    fn step(&self, step: &str) {
        self.said.lock().expect("no test panicked").step = step.to_owned();
    }

    /// Clones, fetches and pushes of all kinds.
    fn git(&self, format: ObjectFormat, word: &str) {
        let name = format!("{word}.git");
        let repo = self.server.create_with(&name, format).expect("a repository");
        let url = with_user(&format!("{}/{name}", self.between.url()), USER.0, USER.1);
        let git = Git::new().expect("git");
        let home = git.home().to_owned();
        let ok = |folder: &Path, arguments: &[&str]| git.ok(folder, arguments).expect("git succeeds");
        let commit =
            |work: &Path, file: &str, content: &str| git.commit(work, file, content).expect("a commit");
        ok(&home, &["init", "--quiet", "--object-format", word, "work"]);
        let work = home.join("work");
        let push = |step: &str, arguments: &[&str]| {
            self.step(&format!("{word}-{step}"));
            ok(&work, &[&["push", "--quiet", &url], arguments].concat());
        };
        let long: String = (0..120).map(|line| format!("line {line} of a long file\n")).collect();
        commit(&work, "README", "hello\n");
        commit(&work, "src/long.txt", &long);
        push("create", &["main"]);
        commit(&work, "src/long.txt", &long.replace("line 60 ", "line sixty "));
        push("options", &["main", "-o", "ci.skip", "-o", ""]);
        ok(&work, &["commit", "--quiet", "--amend", "--message", "again"]);
        push("force", &["--force", "main"]);
        ok(&work, &["tag", "light"]);
        ok(&work, &["tag", "--annotate", "--message", "heavy", "heavy"]);
        push("tags", &["--tags"]);
        ok(&work, &["switch", "--quiet", "--create", "side", "HEAD~1"]);
        commit(&work, ".github/workflows/ci.yml", "on: push\n");
        push("atomic", &["--atomic", "side", "main:copy", ":light"]);
        ok(&work, &["switch", "--quiet", "main"]);
        ok(&work, &["merge", "--quiet", "--no-edit", "side"]);
        push("merge", &["main"]);
        push("delete", &["--delete", "copy"]);

        for version in [0, 1, 2] {
            let git = git.clone().protocol(version);
            let run = |step: &str, folder: &Path, arguments: &[&str]| {
                self.step(&format!("{word}-v{version}-{step}"));
                git.ok(folder, arguments).expect("git succeeds");
            };
            let folder = |kind: &str| format!("{kind}-{version}");
            let clone = |kind: &str, options: &[&str]| {
                let to = folder(kind);
                run(kind, &home, &[&["clone", "--quiet"], options, &[&*url, &*to]].concat());
                home.join(to)
            };
            let whole = clone("clone", &[]);
            let shallow = clone("shallow", &["--depth", "1"]);
            clone("since", &["--shallow-since=2001-01-01"]);
            clone("without", &["--shallow-exclude=heavy", "--branch", "side"]);
            clone("partial", &["--filter=blob:none", "--no-checkout"]);
            clone("single", &["--single-branch", "--branch", "heavy", "--no-tags"]);
            commit(&work, "README", &format!("hello {version}\n"));
            ok(&work, &["push", "--quiet", &url, "main"]);
            run("fetch", &whole, &["fetch", "--quiet"]);
            run("deepen", &shallow, &["fetch", "--quiet", "--deepen", "1"]);
            run("unshallow", &shallow, &["fetch", "--quiet", "--unshallow"]);
            run("list", &home, &["ls-remote", "--quiet", &url, "refs/heads/*"]);
        }
        ok(&home, &["clone", "--quiet", "--depth", "1", &url, "shallow-push"]);
        let shallow_push = home.join("shallow-push");
        commit(&shallow_push, "shallow", "shallow\n");
        self.step(&format!("{word}-shallow"));
        ok(&shallow_push, &["push", "--quiet", "origin", "HEAD:refs/heads/shallow"]);

        let packs = Packs { git: &git, folder: repo.path().to_owned() };
        let mut said = self.said.lock().expect("no test panicked");
        said.step = word.to_owned();
        let width = if format == ObjectFormat::Sha1 { 20 } else { 32 };
        for (what, options) in [
            ("whole", &["--all"][..]),
            ("offset-deltas", &["--all", "--delta-base-offset"]),
            ("without-files", &["--all", "--filter=blob:none"]),
            ("commits", &["--all", "--filter=tree:0"]),
            ("thin", &["--thin", "--delta-base-offset"]),
        ] {
            let mut pack = packs.pack(options);
            // The target makes a checksum of its own.
            pack.truncate(pack.len() - width);
            said.add("pack", what, pack);
        }
        files(&mut said, &git, &work, repo.path());
        if format == ObjectFormat::Sha1 {
            said.add("objects", "all", packs.objects(&["--all"]));
            said.add("objects", "tag", packs.objects(&["heavy", "^heavy^{commit}~1"]));
            said.add("objects", "merge", packs.objects(&["side", "^side~1"]));
        }
    }

    /// A push and a clone with objects of LFS, and locks.
    fn lfs(&self) {
        self.server.create("team/app.git").expect("a repository");
        let url = with_user(&format!("{}/team/app.git", self.between.url()), USER.0, USER.1);
        let git = Git::new().expect("git");
        let ok = |folder: &Path, arguments: &[&str]| git.ok(folder, arguments).expect("git succeeds");
        ok(git.home(), &["lfs", "install", "--skip-repo"]);
        self.step("clone");
        let work = git.clone_to(&url, "work").expect("a clone");
        ok(&work, &["lfs", "install", "--local"]);
        ok(&work, &["lfs", "track", "*.bin"]);
        ok(&work, &["add", ".gitattributes"]);
        for n in 0..3 {
            git.commit(&work, &format!("{n}.bin"), &format!("content {n}\n")).expect("a commit");
        }
        self.step("push");
        ok(&work, &["push", "--quiet", "origin", "main"]);
        self.step("clone");
        git.clone_to(&url, "other").expect("a clone");
        self.step("lock");
        ok(&work, &["lfs", "lock", "0.bin"]);
        git.fails(&work, &["lfs", "lock", "0.bin"]).expect("it is locked");
        self.step("locks");
        ok(&work, &["lfs", "locks", "--verify"]);
        self.step("unlock");
        ok(&work, &["lfs", "unlock", "0.bin"]);
    }
}

/// What two repositories keep of refs and objects.
fn files(said: &mut Said, git: &Git, here: &Path, there: &Path) {
    let run = |folder: &Path, arguments: &[&str]| git.ok(folder, arguments).expect("git succeeds").stdout;
    let read = |file: PathBuf| fs::read(file).expect("a file can be read");
    let lists = [here.join(".git"), there.to_owned()].map(|folder| {
        run(&folder, &["update-server-info"]);
        read(folder.join("info/refs"))
    });
    said.add("dav_refs", "lists", lists.join(&0));
    run(here, &["pack-refs", "--all"]);
    said.add("dav_refs", "packed", read(here.join(".git/packed-refs")));
    said.add("dav_refs", "file", read(there.join("refs/heads/main")));
    let objects = [("commit", "main"), ("tree", "main:"), ("blob", "main:README"), ("tag", "heavy")];
    for (what, revision) in objects {
        let name = run(here, &["rev-parse", revision]);
        let (folder, file) = name.trim_end().split_at(2);
        let object = read(here.join(".git/objects").join(folder).join(file));
        said.add("loose_object", what, [&[7], &*object].concat());
    }
}

/// What a server gave its clients to authenticate with is of no use to anybody, but looks as if it were.
fn without_tokens(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut parts = text.split("eyJ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("token");
        let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        out.push_str(part.trim_start_matches(is_token));
    }
    // A token has three parts, each of which may begin like that.
    while out.contains("tokentoken") {
        out = out.replace("tokentoken", "token");
    }
    out.into_bytes()
}

/// Sends a request on as it came, and keeps both bodies.
async fn forward(
    upstream: &str,
    said: &Mutex<Said>,
    request: Request<Incoming>,
) -> Response<lockgate_testkit::Body> {
    let (head, request) = request.into_parts();
    let request = whole(request).await;
    let stream = TcpStream::connect(upstream).await.expect("the server listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let forwarded = Request::from_parts(head.clone(), Full::new(request.clone()));
    let response = sender.send_request(forwarded).await.expect("the server answers");
    let (answer, response) = response.into_parts();
    let response = whole(response).await;
    if answer.status.is_success() {
        let plain = match head.headers.get(header::CONTENT_ENCODING) {
            Some(_) => {
                let mut plain = Vec::new();
                let gzip = MultiGzDecoder::new(&*request);
                #[expect(clippy::disallowed_methods, reason = "limited")]
                gzip.take(1 << 20).read_to_end(&mut plain).expect("git sends valid gzip");
                plain.into()
            }
            None => request,
        };
        said.lock().expect("no test panicked").exchange(&head, plain, response.clone());
    }
    Response::from_parts(answer, body(response))
}

async fn whole(body: Incoming) -> Bytes {
    #[expect(clippy::disallowed_methods, reason = "limited")]
    let whole = Limited::new(body, 1 << 20).collect().await;
    whole.expect("a small body").to_bytes()
}

struct Packs<'a> {
    git: &'a Git,
    folder: PathBuf,
}

impl Packs<'_> {
    fn pack(&self, options: &[&str]) -> Vec<u8> {
        let arguments = [&["pack-objects", "--revs", "--stdout", "-q"], options].concat();
        // All that is there, or what a push of some commits would bring.
        self.run(&arguments, if options.contains(&"--all") { b"" } else { b"main\n^main~2\n" })
    }

    /// Objects as `fuzz_objects` takes them.
    fn objects(&self, revisions: &[&str]) -> Vec<u8> {
        let listed = self.run(&[&["rev-list", "--objects", "--in-commit-order"], revisions].concat(), b"");
        let listed = String::from_utf8(listed).expect("names of objects");
        let mut objects = Vec::new();
        for name in listed.lines().filter_map(|line| line.split(' ').next()) {
            let kind = self.run(&["cat-file", "-t", name], b"");
            let kinds: [&[u8]; 4] = [b"commit", b"tree", b"blob", b"tag"];
            let number = kinds.iter().position(|word| *word == kind.trim_ascii()).expect("a type");
            let word = std::str::from_utf8(kinds[number]).expect("a word");
            add_object(&mut objects, number as u8 + 1, &self.run(&["cat-file", word, name], b""));
        }
        objects
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = self.git.command();
        command.current_dir(&self.folder).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("git");
        child.stdin.take().expect("it was asked for").write_all(input).expect("git reads");
        let output = child.wait_with_output().expect("git ends");
        assert!(output.status.success(), "git {arguments:?}");
        output.stdout
    }
}

fn add_object(objects: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let length = u16::try_from(content.len()).expect("a small object").to_be_bytes();
    objects.push(kind);
    objects.extend(length);
    objects.extend_from_slice(content);
}

/// What is kept of another version of git, with a certificate among it.
fn transcripts(said: &mut Said) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    for file in fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a folder can be read").path();
        let content = fs::read(&path).expect("a file");
        said.step = format!("older-{}", path.file_stem().and_then(|name| name.to_str()).expect("a name"));
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("request") => said.push(content.into()),
            Some("response") => said.add("push_record", "answer", content),
            Some("advertisement") => said.add("ref_listing", "advertisement", content),
            _ => {}
        }
    }
}

/// Deltas upon deltas, by place and by name: git makes none of objects so small.
fn deltas(said: &mut Said) {
    let mut objects = Vec::new();
    add_object(&mut objects, 3, b"what is the base");
    // From 16 bytes make 14: copy 8 from the beginning, insert 6.
    add_object(&mut objects, 6, b"\x01\x10\x0e\x90\x08\x06delta\n");
    add_object(&mut objects, 6, b"\x01\x0e\x06\x91\x08\x06");
    add_object(&mut objects, 7, b"\x03\x10\x04\x91\x0c\x04");
    said.step = "by-hand".to_owned();
    said.add("objects", "deltas", objects);
}
