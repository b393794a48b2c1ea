//! The way to a token, with a registry and a token server that say what they are told to.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Response, header::AUTHORIZATION};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use lockgate_core::client::Timeouts;
use tokio::net::TcpListener;

use super::*;

/// Answers `/v2/` with a challenge and everything else with this; `{url}` is its own address.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(challenge: Option<&str>, status: u16, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let challenge = challenge.map(|challenge| challenge.replace("{url}", &url));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (seen, challenge) = (Arc::clone(&seen), challenge.clone());
                let answers = service_fn(move |request: Request<Incoming>| {
                    let path = request.uri().path_and_query().unwrap().as_str().to_owned();
                    let credential =
                        request.headers().get(AUTHORIZATION).map_or("-", |value| value.to_str().unwrap());
                    seen.lock().unwrap().push(format!("{path} {credential}"));
                    let is_ping = path.ends_with("/v2/");
                    let response = match &challenge {
                        Some(challenge) if is_ping => {
                            Response::builder().status(401).header("www-authenticate", challenge)
                        }
                        _ => Response::builder().status(if is_ping { 200 } else { status }),
                    };
                    let response = response.body(bodies::full(if is_ping { "{}" } else { answer })).unwrap();
                    async { Ok::<_, Infallible>(response) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(tcp), answers));
            }
        });
        Self { url, asked }
    }

    fn tokens(&self, credential: Credential, servers: &[&str]) -> RegistryTokens {
        let url = format!("{}/v2/org/", self.url).parse().unwrap();
        let servers: Vec<Uri> = servers.iter().map(|url| url.parse().unwrap()).collect();
        let upstream = Upstream { storage: servers.clone(), ..Upstream::new("hub", "oci", url) };
        let client = Client::new(&upstream, Timeouts::default()).unwrap();
        RegistryTokens::new(&upstream, Credentials::fixed(credential).unwrap(), &servers, client)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn basic() -> Credential {
    Credential::Basic { user: "gate".into(), password: Secret::new("s3cret") }
}

const BEARER: &str = "Bearer realm=\"{url}/token?a=b\",service=\"the registry\"";

async fn fetched(tokens: &RegistryTokens, wanted: &str) -> Result<(Credential, u64), String> {
    let fetched = tokens.fetch(wanted).await;
    fetched.map(|of| (of.credential, of.valid.as_secs())).map_err(|error| {
        let source = std::error::Error::source(&error).expect("a cause");
        source.to_string()
    })
}

#[tokio::test]
async fn a_token_is_for_one_repository_and_use() {
    let server = Server::start(Some(BEARER), 200, r#"{"token":"t0ken","expires_in":300}"#).await;
    let tokens = server.tokens(basic(), &[]);
    let expected = Ok((Credential::Bearer(Secret::new("t0ken")), 300));
    assert_eq!(fetched(&tokens, "pull,push team/app").await, expected);
    let asked = "/token?a=b&service=the+registry&scope=repository%3Aorg%2Fteam%2Fapp%3Apull%2Cpush Basic Z2F0ZTpzM2NyZXQ=";
    assert_eq!(server.asked(), ["/v2/ -", asked], "the registry itself is not shown the password");
    fetched(&tokens, "pull,push a;pull b/c").await.unwrap();
    let both = "scope=repository%3Aorg%2Fa%3Apull%2Cpush&scope=repository%3Aorg%2Fb%2Fc%3Apull ";
    assert!(server.asked()[1].contains(both), "a mount reads in one and writes in the other");
    fetched(&tokens, "* ").await.unwrap();
    assert!(server.asked()[1].contains("scope=registry%3Acatalog%3A*"));
    fetched(&server.tokens(Credential::None, &[]), "pull a").await.unwrap();
    assert!(server.asked()[1].ends_with("scope=repository%3Aorg%2Fa%3Apull -"), "anybody may ask");
}

#[tokio::test]
async fn answers_of_token_servers_are_read() {
    let check = async |status, answer, expected: Result<(&str, u64), &str>| {
        let server = Server::start(Some(BEARER), status, answer).await;
        let found = fetched(&server.tokens(basic(), &[]), "pull a").await;
        let expected = expected.map(|(token, valid)| (Credential::Bearer(Secret::new(token)), valid));
        assert_eq!(found, expected.map_err(str::to_owned), "{answer}");
    };
    check(200, r#"{"access_token":"t"}"#, Ok(("t", 60))).await;
    check(200, r#"{"token":"","access_token":"t","expires_in":1e99}"#, Ok(("t", 3600))).await;
    check(200, r#"{"token":"t","expires_in":-1}"#, Ok(("t", 60))).await;
    let nonsense = Err("the token server's answer makes no sense");
    check(200, "<html>", nonsense).await;
    check(200, "{}", nonsense).await;
    check(401, "{}", Err("the token server answers 401 Unauthorized")).await;
}

#[tokio::test]
async fn registries_may_want_something_else() {
    let open = Server::start(None, 200, "").await;
    assert_eq!(fetched(&open.tokens(basic(), &[]), "pull a").await, Ok((basic(), 600)));
    let simple = Server::start(Some("Basic realm=x"), 200, "").await;
    assert_eq!(fetched(&simple.tokens(basic(), &[]), "pull a").await, Ok((basic(), 600)));
    let error = fetched(&simple.tokens(Credential::None, &[]), "pull a").await.unwrap_err();
    assert!(error.contains("none is configured"), "{error}");
    let strange = Server::start(Some("Negotiate"), 200, "").await;
    assert!(fetched(&strange.tokens(basic(), &[]), "pull a").await.is_err());
    let bearer = Credential::Bearer(Secret::new("own"));
    assert_eq!(fetched(&open.tokens(bearer.clone(), &[]), "pull a").await, Ok((bearer, 60)));
}

#[tokio::test]
async fn nobody_else_is_told_the_password() {
    let token_server = Server::start(None, 200, r#"{"token":"t"}"#).await;
    let challenge = format!("Bearer realm=\"{}/token\"", token_server.url);
    let registry = Server::start(Some(&challenge), 200, "").await;
    let error = fetched(&registry.tokens(basic(), &[]), "pull a").await.unwrap_err();
    assert!(error.contains(&token_server.url) && error.contains("`token_servers`"), "{error}");
    assert_eq!(token_server.asked(), [""; 0]);
    assert!(fetched(&registry.tokens(basic(), &[&token_server.url]), "pull a").await.is_ok());
    let metadata = Server::start(Some("Bearer realm=\"http://169.254.169.254/token\""), 200, "").await;
    assert!(fetched(&metadata.tokens(basic(), &[]), "pull a").await.is_err());
}

#[test]
fn what_is_done_is_what_is_asked_for() {
    let of = |method: Method, path: &str, from| wanted(&method, &Endpoint::parse(path).unwrap(), from);
    let check = |method: Method, path: &str, expected: &str| assert_eq!(of(method, path, None), expected);
    check(Method::GET, "/v2/a/manifests/b", "pull a");
    check(Method::HEAD, "/v2/a/tags/list", "pull a");
    check(Method::PUT, "/v2/a/manifests/b", "pull,push a");
    check(Method::GET, "/v2/a/blobs/uploads/b", "pull,push a");
    check(Method::DELETE, "/v2/a/blobs/uploads/b", "pull,push a");
    check(Method::DELETE, "/v2/a/manifests/b", "delete,pull a");
    check(Method::GET, "/v2/_catalog", "* ");
    assert_eq!(of(Method::POST, "/v2/a/blobs/uploads/", Some("b/c")), "pull,push a;pull b/c");
    assert_eq!(of(Method::GET, "/v2/a/tags/list", Some("b/c")), "pull a");
}
