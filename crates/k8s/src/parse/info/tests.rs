//! Addresses as the API server reads them, and those that are refused.

use super::*;

fn parse(method: &str, uri: &str) -> Result<Address, InfoError> {
    let uri: Uri = uri.parse().unwrap();
    let query = Query::parse(uri.query()).map_err(InfoError::Query)?;
    Address::parse(&method.parse().unwrap(), &uri, &query)
}

/// `verb group/version resource/subresource namespace name`, or what is wrong.
fn line(request: &str) -> String {
    let (method, uri) = request.split_once(' ').unwrap();
    match parse(method, uri) {
        Ok(Address { info: Info::Other { path, verb }, path: upstream }) => {
            format!("{verb} {path} -> {upstream}")
        }
        Ok(Address { info: Info::Resource(it), path }) => format!(
            "{} {}/{} {} ns={} name={} rest={} -> {path}",
            it.verb,
            it.group,
            it.version,
            it.full(),
            it.namespace,
            it.name,
            it.rest
        ),
        Err(error) => error.to_string(),
    }
}

#[test]
fn requests_are_understood_as_the_api_server_does() {
    let requests = [
        "GET /",
        "GET /version",
        "HEAD /version",
        "POST /version",
        "GET /api",
        "GET /api/",
        "GET /api/v1",
        "GET /apis/apps/v1",
        "GET /openapi/v3/apis/apps/v1?hash=1",
        "GET /api/v1/namespaces",
        "GET /api/v1/namespaces/prod",
        "PUT /api/v1/namespaces/prod/finalize",
        "PATCH /api/v1/namespaces/prod/status",
        "GET /api/v1/namespaces/prod/pods",
        "GET /api/v1/namespaces/prod/pods?watch",
        "GET /api/v1/namespaces/prod/pods?watch=0",
        "GET /api/v1/namespaces/prod/pods?watch=yes&watch=0",
        "GET /api/v1/namespaces/prod/secrets?fieldSelector=metadata.name%3Ddb",
        "GET /api/v1/namespaces/prod/secrets?watch=1&fieldSelector=metadata.name%3D%3Ddb,type=Opaque",
        "GET /api/v1/watch/namespaces/prod/secrets/db",
        "GET /api/v1/watch/pods",
        "HEAD /api/v1/nodes/n1",
        "DELETE /apis/apps/v1/namespaces/prod/deployments",
        "DELETE /apis/apps/v1/namespaces/prod/deployments/web",
        "PATCH /apis/apps/v1/namespaces/prod/deployments/web/scale",
        "POST /api/v1/namespaces/prod/pods/web/exec?command=ls",
        "GET /api/v1/namespaces/prod/pods/web/exec/",
        "GET /api/v1/namespaces/prod/services/https:web:443/proxy/a%2Fb//d?x=1",
        "GET /api/v1/nodes/n1/proxy/run/x",
        "GET /api/v1/proxy/namespaces/prod/pods/web/y",
        "GET /%61pi/v1/%73ecrets",
        "GET /api/v1/namespaces/prod/pods/w%20b",
    ];
    insta::assert_snapshot!(requests.map(|request| format!("{request}\n  {}", line(request))).join("\n"));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for request in [
        "GET /api/v1/namespaces/prod/secrets%2Fdb",
        "GET /api%2Fv1/secrets",
        "GET /api//v1/secrets",
        "GET //api/v1/secrets",
        "OPTIONS *",
        "GET /api/v1/../v1/secrets",
        "GET /api/v1/%2e%2e/secrets",
        "GET /api/v1/./secrets",
        "GET /api/v1/secrets//",
        // What is only called so is no proxy.
        "GET /api/v1/namespaces/proxy/secrets%2Fdb",
        "POST /api/v1/namespaces/proxy/serviceaccounts%2Fdefault%2Ftoken",
        "GET /api/v1/namespaces/proxy/services%2Fweb/proxy/x",
        "GET /api/v1/namespaces/prod/services/proxy/proxy%2Fx",
        "GET /api/v1/namespaces/prod/secrets/proxy/../db",
        "GET /a/b/c/proxy//d",
        // Nor does a proxy get what it may read in another way.
        "GET /api/v1/namespaces/prod/services/web/proxy/metrics/../admin",
        "GET /api/v1/namespaces/prod/services/web/proxy/metrics/%2e%2e/admin",
        "GET /api/v1/namespaces/prod/services/web/proxy/metrics%2F..%2Fadmin",
        "GET /api/v1/namespaces/prod/services/web/proxy/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/../a",
    ] {
        assert_eq!(line(request), InfoError::Ambiguous.to_string(), "{request}");
    }
    assert_eq!(line("GET /api/v1/se%00crets"), InfoError::NotText.to_string());
    assert_eq!(line("GET /api/v1/se%ffcrets"), InfoError::NotText.to_string());
    assert_eq!(line("OPTIONS /api/v1/pods"), InfoError::Method.to_string());
    assert_eq!(line("OPTIONS /version"), InfoError::Method.to_string());
    assert_eq!(line("GET /api/v1/watch"), InfoError::NoResource.to_string());
    let deep = format!("GET /api/v1{}", "/a".repeat(20));
    assert_eq!(line(&deep), InfoError::TooDeep.to_string());
    let deep = format!("GET /api/v1/namespaces/proxy{}", "/a".repeat(20));
    assert_eq!(line(&deep), InfoError::TooDeep.to_string());
}

proptest::proptest! {
    #[test]
    fn promises_hold_on_random_input(
        method in "GET|POST|PUT|DELETE|HEAD",
        path in "(/|api|apis|v1|watch|proxy|namespaces|pods|exec|%2[fF5]|%[0-9a-f]{2}|\\.|\\.\\.|a|é){0,12}",
        query in "(\\?(watch|=|&|fieldSelector|metadata\\.name|%3D|1){0,6})?",
    ) {
        fuzz_address(format!("{method} /{path}{query}").as_bytes());
    }
}

#[test]
fn what_goes_upstream_is_understood_as_the_same() {
    for request in [
        "GET /api/v1/namespaces/prod/pods/w%20b",
        "GET /%61pi/v1/%73ecrets",
        "GET /api/v1/namespaces/prod/pods/web/exec/",
        "GET /api/v1/namespaces/prod/services/web/proxy/a%2Fb//d",
        "GET /api/v1/namespaces/proxy/services/proxy/proxy/a%2Fb",
        "GET /api/",
        // Without any path.
        "GET example",
    ] {
        let (method, uri) = request.split_once(' ').unwrap();
        let address = parse(method, uri).unwrap();
        assert_eq!(parse(method, &address.path), Ok(address), "{request}");
    }
}
