//! What is found out of images, what people see of it, and who is not told.

use super::*;

/// Who may not pass is told the same whether anything is there or not: nobody looks.
#[tokio::test]
async fn nothing_is_looked_at_for_who_can_not_pass() {
    let (registry, image) = (Registry::default(), image("root", "layer"));
    let there = Content { is_hopeless: true, ..Content::default() };
    let there = there.with("manifests/v1", image.manifest.clone()).blob(&image.config);
    let empty = Content { is_hopeless: true, ..Content::default() };
    let needs = ["root", "signed_by", "change", "finding", "built_on"];
    for request in [("GET", "manifests/v1", &b""[..]), ("PUT", "manifests/v1?tag=v2", &image.manifest)] {
        let (of_there, _) = ask(&registry, &there, &needs, request).await.unwrap();
        let (of_empty, _) = ask(&registry, &empty, &needs, request).await.unwrap();
        assert_eq!(of_there, of_empty, "{request:?}");
        assert!(needs.iter().all(|name| of_there[0].attributes.get(name).is_none()), "{of_there:?}");
        assert_eq!((there.asked(), empty.asked()), (Vec::new(), Vec::new()), "{request:?}");
    }
}

#[tokio::test]
async fn people_see_of_each_tag_what_becomes_of_it() {
    let (registry, old, new) = (Registry::default(), image("1", "old"), image("root", "new"));
    let sbom = |version: &str| {
        json!({ "bomFormat": "CycloneDX", "components": [{ "name": "zlib", "version": version }] })
            .to_string()
    };
    let attached = |document: &str| {
        let layer = json!({
            "mediaType": "application/vnd.cyclonedx+json",
            "digest": sha256(document.as_bytes()),
            "size": document.len(),
        });
        json!({ "layers": [layer] }).to_string()
    };
    let tag =
        |of: &Image, suffix: &str| format!("manifests/{}{suffix}", sha256(&of.manifest).replace(':', "-"));
    let (one, two) = (sbom("1"), sbom("2"));
    let referrer = attached(&two);
    let listed = json!({ "manifests": [{
        "mediaType": "m", "digest": sha256(referrer.as_bytes()), "size": 1,
        "artifactType": "application/vnd.cyclonedx+json",
    }] });
    let content = Content::default()
        .with("manifests/prod", old.manifest.clone())
        .manifest(&old.manifest)
        .manifest(referrer.as_bytes())
        .with(&tag(&old, ".sbom"), attached(&one))
        .with(&format!("referrers/{}", sha256(&new.manifest)), listed.to_string());
    let content = [&old.config, &new.config].into_iter().fold(content, |content, of| content.blob(of));
    let content = content.blob(one.as_bytes()).blob(two.as_bytes());
    let request = Request::put("/v2/team/app/manifests/prod?tag=latest");
    let request = request.body(bodies::full(new.manifest.clone())).unwrap();
    let setting = Setting::new(&[]);
    let Ok(Classified::Asks { dialect, .. }) = registry.classify(setting.context(&content), request).await
    else {
        panic!("it is not asked for");
    };
    let shown = dialect.show(setting.context(&content)).await.unwrap();
    let (latest, prod) = shown.split_once("tag prod\n").unwrap();
    let digest = sha256(&new.manifest);
    for part in [format!("tag latest\nnew {digest}\n"), "as the SBOM says\n+ zlib 2\n".into()] {
        assert!(latest.contains(&part), "{part} in {latest}");
    }
    for part in [
        format!("was {}\nnow {digest}\n", sha256(&old.manifest)),
        "- user: 1\n+ user: root\n".into(),
        "as the SBOMs say\n~ zlib 1 -> 2\n".into(),
    ] {
        assert!(prod.contains(&part), "{part} in {prod}");
    }
    // What people agreed to is what they saw: not another image in the place of the old one.
    content.put("manifests/latest", old.manifest.clone());
    let refusal = dialect.stands(&content).await.unwrap_err();
    assert!(refusal.reason.starts_with("latest was pushed"), "{}", refusal.reason);
}

#[tokio::test]
async fn signatures_count_for_what_they_sign_and_what_is_in_it() {
    let key = rcgen::KeyPair::generate().unwrap();
    let trust = crate::Trust::default().key("release", key.public_key_pem().as_bytes()).unwrap();
    let known = crate::RegistryConfig { trust, ..Default::default() };
    let registries = BTreeMap::from([("hub".to_owned(), known)]);
    let registry = Registry::new(Config { registries, ..Config::default() });
    let image = image("1", "layer");
    let index = json!({ "manifests": [{ "mediaType": "m", "digest": sha256(&image.manifest), "size": 1 }] });
    let index = index.to_string().into_bytes();
    let content = Content::default().manifest(&image.manifest).manifest(&index);
    let pull = async |content: &Content, of: &[u8]| {
        let path = format!("manifests/{}", sha256(of));
        let (accesses, _) = ask(&registry, content, &["signed_by"], ("GET", &path, b"")).await.unwrap();
        ["signed", "signed_by", "signer"].map(|name| attribute(&accesses[0], name))
    };
    assert_eq!(pull(&content, &image.manifest).await, ["false", "", ""]);
    let (payload, signature) = crate::signature::testing::signed(&key, &sha256(&index));
    let manifest = json!({
        "config": { "mediaType": "c", "digest": sha256(b"{}"), "size": 2 },
        "layers": [{
            "mediaType": crate::signature::SIMPLE, "digest": sha256(&payload), "size": payload.len(),
            "annotations": { "dev.cosignproject.cosign/signature": signature },
        }],
    });
    let tag = |of: &[u8]| format!("manifests/{}.sig", sha256(of).replace(':', "-"));
    let manifest = manifest.to_string().into_bytes();
    // The signature of the index, moved to the image.
    let moved = Content::default().manifest(&image.manifest).blob(&payload);
    let moved = moved.with(&tag(&image.manifest), manifest.clone());
    assert_eq!(pull(&moved, &image.manifest).await, ["true", "", ""]);
    let content = content.blob(&payload).with(&tag(&index), manifest);
    assert_eq!(
        pull(&content, &image.manifest).await,
        ["false", "", ""],
        "nobody has asked for the index yet"
    );
    content.asked();
    assert_eq!(pull(&content, &index).await, ["true", "release", ""]);
    let blob = format!("GET /v2/team/app/blobs/{}", sha256(&payload));
    assert!(content.asked().contains(&blob));
    assert_eq!(pull(&content, &index).await, ["true", "release", ""]);
    assert!(!content.asked().contains(&blob), "what was verified is known");
    assert_eq!(pull(&content, &image.manifest).await, ["true", "release", ""]);
}

#[tokio::test]
async fn an_image_is_known_by_the_layers_of_its_base() {
    let layer = |text: &str| json!({ "mediaType": "l", "digest": sha256(text.as_bytes()), "size": 1 });
    let manifest = |layers: &[&str]| {
        json!({ "layers": layers.iter().map(|text| layer(text)).collect::<Vec<_>>() })
            .to_string()
            .into_bytes()
    };
    let bases = ["good", "gone"].map(|tag| crate::Base::parse(tag, &format!("team/app:{tag}")).unwrap());
    let known = crate::RegistryConfig { bases: bases.into(), ..Default::default() };
    let registries = BTreeMap::from([("hub".to_owned(), known)]);
    let registry = Registry::new(Config { registries, ..Config::default() });
    let content = Content::default().with("manifests/good", manifest(&["a", "b"]));
    for (layers, expected) in [(&["a", "b", "c"][..], "good"), (&["b", "a"], ""), (&["a"], "")] {
        let push = ("PUT", "manifests/v1", &manifest(layers)[..]);
        let (accesses, _) = ask(&registry, &content, &["built_on"], push).await.unwrap();
        assert_eq!(attribute(&accesses[0], "built_on"), expected, "{layers:?}");
    }
    assert_eq!(content.asked().len(), 2, "each base is read once");
}

#[tokio::test]
async fn an_image_that_does_not_say_as_whom_it_runs_is_root() {
    let registry = Registry::default();
    let (oci, empty) = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.empty.v1+json");
    for (media_type, config, expected) in [
        (oci, "{}", "true"),
        (oci, r#"{"config":{"User":"1"}}"#, "false"),
        (empty, "{}", "-"),
        (empty, r#"{"os":"linux"}"#, "true"),
        ("application/vnd.docker.container.image.v1+json", "{}", "true"),
    ] {
        let descriptor = json!({ "mediaType": media_type, "digest": sha256(config.as_bytes()), "size": 1 });
        let manifest = json!({ "config": descriptor, "layers": [] }).to_string().into_bytes();
        let content = Content::default().blob(config.as_bytes());
        let push = ("PUT", "manifests/v1", &manifest[..]);
        let (accesses, _) = ask(&registry, &content, &["root"], push).await.unwrap();
        assert_eq!(attribute(&accesses[0], "root"), expected, "{media_type} {config}");
    }
}

/// Both were judged when there was no such tag: the second of them would move what nobody may move.
#[tokio::test]
async fn a_tag_is_moved_by_one_at_a_time() {
    let registry = Registry::default();
    let content = Content::default();
    let push = async |layer: &str, change: &str| {
        let request = Request::put("/v2/team/app/manifests/v1?tag=v2");
        let request = request.body(bodies::full(image("1", layer).manifest)).unwrap();
        match classified(&registry, &content, &["change"], request).await {
            Classified::Asks { accesses, dialect, .. } => {
                assert_eq!(attribute(&accesses[0], "change"), change);
                dialect
            }
            Classified::Refused { .. } | Classified::Answer(_) => panic!("it is not asked for"),
        }
    };
    let (first, second) = (push("one", "create").await, push("two", "create").await);
    first.stands(&content).await.unwrap();
    let mut waiting = second.stands(&content);
    assert!(futures::poll!(&mut waiting).is_pending(), "the first has its turn");
    content.put("manifests/v1", image("1", "one").manifest);
    let created = Response::builder().status(201).body(bodies::empty()).unwrap();
    first.answer(created).await.unwrap();
    let refusal = waiting.await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Denied);
    assert!(refusal.reason.starts_with("v1 was pushed by somebody else"), "{}", refusal.reason);
    drop(second);
    // Who pushes again is judged anew, and has its turn.
    push("two", "update").await.stands(&content).await.unwrap();
}

#[tokio::test]
async fn no_manifest_passes_whose_blobs_nobody_has_looked_through() {
    let secret = lockgate_detect::expand_sample("token ghp_<A-Za-z0-9*36>\n", 1).unwrap();
    let (registry, image) = (Registry::default(), image("1", &secret));
    let push = ("PUT", "manifests/v1", image.manifest.as_slice());
    let empty = Content::default();
    let missing = ask(&registry, &empty, &["finding"], push).await.unwrap_err();
    assert_eq!(missing, (404, "MANIFEST_BLOB_UNKNOWN".into()));
    let content = Content::default().blob(&image.config).blob(&image.layer);
    for asked in [2, 0] {
        let (accesses, _) = ask(&registry, &content, &["finding"], push).await.unwrap();
        assert_eq!(attribute(&accesses[0], "finding"), "github-pat in layer 1");
        assert_eq!(content.asked().len(), asked, "each is read once");
    }
    let index = json!({ "manifests": [{ "mediaType": "m", "digest": sha256(&image.manifest), "size": 1 }] });
    let index = index.to_string();
    let content = content.manifest(&image.manifest);
    let (accesses, _) =
        ask(&registry, &content, &["finding"], ("PUT", "manifests/all", index.as_bytes())).await.unwrap();
    assert_eq!(attribute(&accesses[0], "finding"), "github-pat in layer 1");
}

#[tokio::test]
async fn what_an_upstream_gives_must_be_what_it_is_called() {
    let (registry, image) = (Registry::default(), image("1", "layer"));
    let forged = Content::default()
        .with(&format!("blobs/{}", sha256(&image.config)), "{}")
        .with(&format!("blobs/{}", sha256(&image.layer)), "other");
    for needs in [["root"], ["finding"]] {
        let refused = ask(&registry, &forged, &needs, ("PUT", "manifests/v1", &image.manifest)).await;
        assert_eq!(refused.unwrap_err(), (502, "UNAVAILABLE".into()), "{needs:?}");
    }
}

#[tokio::test]
async fn an_index_is_all_that_is_below_it() {
    let registry = Registry::default();
    let secret = lockgate_detect::expand_sample("token ghp_<A-Za-z0-9*36>", 1).unwrap();
    let image = json!({
        "layers": [{ "digest": sha256(b"x"), "size": 7, "urls": ["https://elsewhere.example/"] }],
        "annotations": { "note": secret },
    });
    let image = image.to_string().into_bytes();
    let index = json!({ "manifests": [{ "mediaType": "m", "digest": sha256(&image), "size": 1 }] });
    let index = index.to_string().into_bytes();
    let content = Content::default().manifest(&image).manifest(&index);
    let path = format!("manifests/{}", sha256(&index));
    for request in [("GET", path.as_str(), &b""[..]), ("PUT", "manifests/v1", &index)] {
        let (accesses, _) = ask(&registry, &content, &["foreign"], request).await.unwrap();
        let said = ["foreign", "layers", "size", "layer_size"].map(|name| attribute(&accesses[0], name));
        assert_eq!(said, ["true", "1", "7", "7"], "{request:?}");
    }
    let (accesses, _) =
        ask(&registry, &content, &["finding"], ("PUT", "manifests/v1", &index)).await.unwrap();
    let found = attribute(&accesses[0], "finding");
    assert!(found.starts_with("github-pat in a manifest of the index"), "{found}");
    content.asked();
    ask(&registry, &content, &["foreign", "finding"], ("PUT", "manifests/v1", &index)).await.unwrap();
    let read = content.asked().into_iter().filter(|asked| asked.contains(&sha256(&image))).count();
    assert_eq!(read, 1, "for both");
}

#[tokio::test]
async fn indexes_end_somewhere() {
    let registry = Registry::default();
    let over = |digest: &str| {
        json!({ "manifests": [{ "mediaType": "m", "digest": digest, "size": 1 }] }).to_string().into_bytes()
    };
    let image = image("root", "layer");
    let mut content = Content::default().manifest(&image.manifest).blob(&image.config);
    let mut top = image.manifest.clone();
    for depth in 0..4 {
        top = over(&sha256(&top));
        let pushed = ask(&registry, &content, &["root"], ("PUT", "manifests/v1", &top)).await;
        match pushed {
            Ok((accesses, _)) => {
                assert_eq!((depth < 3, attribute(&accesses[0], "root")), (true, "true".into()))
            }
            Err(refused) => assert_eq!((depth, refused), (3, (400, "MANIFEST_INVALID".into()))),
        }
        content = content.manifest(&top);
    }
}

#[tokio::test]
async fn a_blob_has_the_size_that_its_manifest_says() {
    let (registry, image) = (Registry::default(), image("1", "layer"));
    let content = Content::default().blob(&image.config).blob(&image.layer);
    let text = String::from_utf8(image.manifest.clone()).unwrap();
    let small = text.replace("\"size\":5", "\"size\":4");
    assert_ne!(text, small);
    let push = |manifest: &str| manifest.as_bytes().to_vec();
    let (honest, lying) = (push(&text), push(&small));
    for needs in ["size", "layer_size"] {
        let refused = ask(&registry, &content, &[needs], ("PUT", "manifests/v1", &lying)).await;
        assert_eq!(refused.unwrap_err(), (400, "MANIFEST_INVALID".into()));
        ask(&registry, &content, &[needs], ("PUT", "manifests/v1", &honest)).await.unwrap();
    }
    content.asked();
    ask(&registry, &content, &[], ("PUT", "manifests/v1", &lying)).await.unwrap();
    assert_eq!(content.asked(), Vec::<String>::new(), "nobody asks for it");
    // What passed here is known without being asked for.
    registry.sizes.remember(&Digest::of(Algorithm::Sha256, &image.layer), 5);
    let refused = ask(&registry, &content, &[], ("PUT", "manifests/v1", &lying)).await;
    assert_eq!(refused.unwrap_err(), (400, "MANIFEST_INVALID".into()));
    assert_eq!(content.asked(), Vec::<String>::new());
}
