//! What becomes of uploads whose end is refused.

use lockgate_core::{principal::Principal, upstream::Upstream};

use super::*;
use crate::parse::name::Algorithm;

/// What was asked of an upstream, which agrees.
#[derive(Default)]
struct Asked(std::sync::Mutex<Vec<String>>);

impl Probe for Asked {
    fn send(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Refusal>> {
        let direct = request.extensions().get::<Direct>().unwrap();
        self.0.lock().unwrap().push(format!("{} {}", request.method(), direct.url));
        Box::pin(async { Ok(Response::new(body::empty())) })
    }
}

#[tokio::test]
async fn an_upload_whose_commit_is_denied_is_over() {
    let uploads = Arc::new(Uploads::new(9, 9, Duration::from_secs(60)));
    let owner = Owner::new(&Principal::passthrough(Some("ada")), "hub", "app");
    for (kind, is_over) in [(RefusalKind::ApprovalNeeded, false), (RefusalKind::Denied, true)] {
        let id = uploads.begin(owner.clone(), "http://r/1".parse().unwrap(), None);
        let claim = Arc::new(uploads.claim(&id, &owner).unwrap());
        let answers = Answers {
            shape: Shape::Commit(claim, Digest::of(Algorithm::Sha256, b"")),
            endpoint: Endpoint::Upload("app".into(), id.clone()),
            method: Method::PUT,
            place: Place::of(&Upstream::new("hub", "oci", "http://r/".parse().unwrap()), None),
            code: None,
            status: None,
            wait: Duration::ZERO,
            limits: (1, 1),
            show: None,
            is_retried: false,
        };
        let asked = Asked::default();
        answers.withdraw(&asked, &Refusal::new(kind, "no")).await;
        assert_eq!(uploads.location(&id, &owner).is_none(), is_over, "{kind:?}");
        let expected = if is_over { vec!["DELETE http://r/1".to_owned()] } else { Vec::new() };
        assert_eq!(*asked.0.lock().unwrap(), expected);
    }
}
