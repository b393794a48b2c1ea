//! Blobs that are in another repository already.

use super::*;

#[tokio::test]
async fn a_blob_is_mounted_from_where_it_may_be_read() {
    let (registry, digest) = (Registry::default(), sha256(b"x"));
    let content = Content { readable: Some("other/app"), ..Content::default() };
    let mount = async |registry: &Registry, needs: &[&'static str], query: &str| {
        let path = format!("blobs/uploads/?{query}");
        let (accesses, url) = ask(registry, &content, needs, ("POST", &path, b"")).await.unwrap();
        let accesses: Vec<_> =
            accesses.iter().map(|access| format!("{} {}", access.resource, access.binding)).collect();
        (accesses, url.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default())
    };
    let encoded = digest.replace(':', "%3A");
    let mounted = (
        vec![format!("team/app push-blob {digest}"), format!("other/app pull-blob {digest}")],
        format!("mount={encoded}&from=other%2Fapp"),
    );
    let uploaded = (vec!["team/app push-blob blob".to_owned()], String::new());
    assert_eq!(mount(&registry, &[], &format!("mount={digest}&from=other/app")).await, mounted);
    for query in [
        format!("mount={digest}&from=secret/app"),
        format!("mount={digest}&from=../other/app"),
        format!("mount={digest}"),
        "mount=sha256:x&from=other/app".to_owned(),
    ] {
        assert_eq!(mount(&registry, &[], &query).await, uploaded, "{query}");
    }
    // By what an upload is named goes on in either case.
    let named = |query: &str| format!("mount={digest}&from={query}&digest-algorithm=sha512");
    let (accesses, query) = mount(&registry, &[], &named("secret/app")).await;
    assert_eq!((&accesses, &*query), (&uploaded.0, "digest-algorithm=sha512"));
    let (accesses, query) = mount(&registry, &[], &named("other/app")).await;
    let both = format!("mount={encoded}&digest-algorithm=sha512&from=other%2Fapp");
    assert_eq!((accesses, query), (mounted.0.clone(), both));
    // What is to be looked through, and was not, has to come by here.
    let query = format!("mount={digest}&from=other/app");
    assert_eq!(mount(&registry, &["finding"], &query).await, uploaded);
    registry.scans.remember(Digest::parse(&digest).unwrap(), crate::scan::Verdict::default());
    assert_eq!(mount(&registry, &["finding"], &query).await, mounted);
    let twice = format!("blobs/uploads/?mount={digest}&from=a&from=b");
    let refused = ask(&registry, &content, &[], ("POST", &twice, b"")).await.unwrap_err();
    assert_eq!(refused, (400, "UNSUPPORTED".to_owned()));
}

#[tokio::test]
async fn who_mounts_is_presented_as_who_reads_there() {
    let (registry, digest) = (Registry::default(), sha256(b"x"));
    let content = Content { readable: Some("other/app"), ..Content::default() };
    let request = Request::post(format!("/v2/team/app/blobs/uploads/?mount={digest}&from=other/app"));
    let request = request.body(bodies::empty()).unwrap();
    let Classified::Asks { request, .. } = classified(&registry, &content, &[], request).await else {
        panic!("it is asked for")
    };
    let wanted = registry.wants(request.method(), request.uri());
    assert_eq!(wanted.as_deref(), Some("pull,push team/app;pull other/app"));
}
