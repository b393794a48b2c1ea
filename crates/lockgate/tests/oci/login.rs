//! Who calls: tokens of issuers, and those that the gateway gives for them.

use anyhow::Result;
use lockgate_testkit::{ImageTool, Registry, RegistryOptions, wait};
use serde_json::{Value, json};

use crate::world::{POLICY, World, image, succeeded};

#[test]
fn a_token_is_given_for_a_token() -> Result<()> {
    let world = World::start()?;
    let unknown = world.curl_plainly(&[], "/v2/")?;
    assert_eq!(unknown.status, 401);
    let challenge = unknown.header("www-authenticate").unwrap_or_default();
    let host = world.gate.port().addr();
    assert_eq!(challenge, format!("Bearer realm=\"http://{host}/token\",service=\"{host}\""));
    let scoped = world.curl_plainly(&[], "/v2/hub/team/app/manifests/v1")?;
    let challenge = scoped.header("www-authenticate").unwrap_or_default();
    assert!(challenge.ends_with("scope=\"repository:hub/team/app:pull\""), "{challenge}");

    let user = format!("oidc:{}", world.token("ada")?);
    let basic = world.curl_plainly(&["--user", &user], "/token?service=x&scope=repository:a:pull")?;
    let form = format!("grant_type=password&username=oidc&client_id=x&password={}", world.token("ada")?);
    let posted = world.curl_plainly(&["--data", &form], "/token")?;
    for answer in [basic, posted] {
        let answer: Value = serde_json::from_str(&answer.body)?;
        let token = answer["token"].as_str().unwrap_or_default();
        assert!(answer["access_token"] == token && answer["expires_in"] == 3600, "{answer}");
        let bearer = format!("authorization: Bearer {token}");
        let known = world.curl_plainly(&["--header", &bearer], "/v2/")?;
        assert_eq!(
            (known.status, known.header("docker-distribution-api-version")),
            (200, Some("registry/2.0"))
        );
        let list = world.curl_plainly(&["--header", &bearer], "/v2/hub/_catalog")?;
        assert_eq!((list.status, list.body.trim()), (200, "{\"repositories\":[]}"));
    }
    Ok(())
}

#[test]
fn a_token_is_good_in_every_gateway_with_the_key_until_the_policy_denies_its_caller() -> Result<()> {
    let mut world = World::start()?;
    let user = format!("oidc:{}", world.token("ada")?);
    let answer = world.curl_plainly(&["--user", &user], "/token?service=x")?;
    let answer: Value = serde_json::from_str(&answer.body)?;
    let bearer = format!("authorization: Bearer {}", answer["token"].as_str().unwrap_or_default());
    let ask = |world: &World| world.curl_plainly(&["--header", &bearer], "/v2/hub/_catalog");
    assert_eq!(ask(&world)?.status, 200);
    succeeded(&world.gate.stop()?)?;
    world.gate.start()?;
    assert_eq!(ask(&world)?.status, 200, "it is another process");
    // What revokes the session is the policy, which every proxy has at once.
    let revoked = "
  - id: revoked
    match: { who: \"idp:ada\" }
    decide: deny
    reason: \"this session is over\"
";
    std::fs::write(world.gate.folder().join("policy.yaml"), format!("{POLICY}{revoked}"))?;
    let refused = wait::until("the new policy", || ask(&world).ok().filter(|answer| answer.status != 200))?;
    assert!(refused.status == 403 && refused.body.contains("this session is over"), "{refused:?}");
    std::fs::write(world.gate.folder().join("data/registry.key"), [7; 32])?;
    succeeded(&world.gate.stop()?)?;
    world.gate.start()?;
    assert_eq!(ask(&world)?.status, 401, "of another key");
    Ok(())
}

#[test]
fn who_is_not_known_is_told_so() -> Result<()> {
    let world = World::start()?;
    let refused = world.curl_plainly(&["--user", "oidc:nonsense"], "/token")?;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, None));
    let body: Value = serde_json::from_str(&refused.body)?;
    assert_eq!(body["errors"][0]["code"], "UNAUTHORIZED");
    assert_eq!(world.curl_plainly(&["--data", "grant_type=password&password=x"], "/token")?.status, 401);
    assert_eq!(world.curl_plainly(&["--header", "authorization: Bearer x"], "/v2/")?.status, 401);
    let nothing = world.curl(&[], "/v2/other/app/manifests/v1")?;
    assert_eq!(nothing.status, 404);
    let common = world.curl(&["--request", "DELETE"], "/v2/")?;
    assert_eq!(common.status, 404);
    Ok(())
}

#[test]
fn the_password_of_the_registry_stays_here() -> Result<()> {
    let credential = json!({ "basic": { "user": Registry::USER, "password_file": "password" } });
    let options = RegistryOptions { with_password: true };
    let world = World::start_before(options, &json!({ "credential": credential }))?;
    let layout = tempfile::tempdir()?;
    image(layout.path(), "hello")?;
    let client = world.client(ImageTool::Skopeo, "ada")?;
    succeeded(&client.push(layout.path(), &world.name("team/app:v1"))?)?;
    succeeded(&client.pull(&world.name("team/app:v1"))?)?;
    let direct = world.curl_plainly(&["--user", "gate:registry-s3cret"], "/v2/hub/team/app/manifests/v1")?;
    assert_eq!(direct.status, 401);
    Ok(())
}

#[test]
fn a_part_of_a_registry_may_be_an_upstream() -> Result<()> {
    let world = World::start()?;
    let url = format!("{}/v2/team/", world.registry.url());
    let part = World::start_before(RegistryOptions::default(), &json!({ "url": url }))?;
    let layout = tempfile::tempdir()?;
    let digest = image(layout.path(), "hello")?;
    let client = part.client(ImageTool::Skopeo, "ada")?;
    succeeded(&client.push(layout.path(), &part.name("app:v1"))?)?;
    assert_eq!(world.registry.tag("team/app", "v1").as_deref(), Some(digest.as_str()));
    succeeded(&client.pull(&part.name("app:v1"))?)?;
    let list = part.curl(&[], "/v2/hub/_catalog")?;
    assert_eq!(serde_json::from_str::<Value>(&list.body)?, json!({ "repositories": ["hub/app"] }));
    let tags = part.curl(&[], "/v2/hub/app/tags/list")?;
    assert_eq!(serde_json::from_str::<Value>(&tags.body)?, json!({ "name": "hub/app", "tags": ["v1"] }));
    Ok(())
}
