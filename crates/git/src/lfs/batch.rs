//! A batch: asks the upstream where objects are, and tells the client that they are here.

use std::{collections::BTreeMap, collections::HashMap, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, Response, StatusCode, Uri, request, response};
use lockgate_core::{
    body::Body,
    client,
    origin::Origin,
    principal::Principal,
    protocol::{Called, Classified, Content, Context, Dialect, HoldStyle},
    refusal::{Refusal, RefusalKind},
    upstream::Upstream,
};

use super::{
    Lfs, access, body, json_request, malformed, now,
    parse::{
        Action, Actions, Answered, AnsweredAction, BatchAnswer, BatchRequest, BatchResponse, Object,
        ObjectError, Offered, Operation,
    },
    respond,
    route::{Endpoint, LfsRoute, Transfer},
    ticket::{Grant, Purpose},
};

impl Lfs {
    pub(super) async fn batch(
        self: &Arc<Self>,
        context: Context<'_>,
        route: LfsRoute,
        head: request::Parts,
        body: Body,
    ) -> Result<Classified, Refusal> {
        let text = self.json(&head, body).await?;
        let asked = BatchRequest::parse(&text, self.config.lfs.objects).map_err(malformed)?;
        let Some(Called(called)) = head.extensions.get::<Called>().cloned() else {
            return Err(Refusal::new(RefusalKind::Invalid, "the request does not say which host it is for"));
        };
        let accesses = match asked.operation {
            Operation::Download => vec![access::fetch(&route.repository)],
            Operation::Upload => {
                let wanted = self.wanted(context);
                let offer = |object| access::offer(&route.repository, wanted, object);
                asked.objects.iter().map(offer).collect()
            }
        };
        let request = json_request(&route.uri(), &head.headers, &asked)?;
        let dialect = BatchDialect {
            lfs: Arc::clone(self),
            principal: Arc::clone(context.principal),
            upstream: Arc::clone(context.upstream),
            max: context.spools.max,
            called,
            route,
            asked,
        };
        Ok(Classified::Asks { accesses, request, dialect: Arc::new(dialect) })
    }
}

struct BatchDialect {
    lfs: Arc<Lfs>,
    principal: Arc<Principal>,
    upstream: Arc<Upstream>,
    /// Bytes of the largest object that can be taken.
    max: u64,
    called: String,
    route: LfsRoute,
    asked: BatchRequest,
}

impl Dialect for BatchDialect {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        respond::refuse(refusal)
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(self.lfs.config.wait)
    }

    fn answer<'a>(&'a self, response: Response<Body>) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        self.rewrite(response).boxed()
    }

    fn content(&self, head: &response::Parts) -> Content {
        respond::content(&head.headers)
    }
}

impl BatchDialect {
    async fn rewrite(&self, response: Response<Body>) -> Result<Response<Body>, Refusal> {
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            return respond::failed(&head, body).await;
        }
        let text = body::whole(body, self.lfs.config.lfs.answer).await.map_err(upstreams)?;
        let invalid = |error| {
            let reason = "the upstream's answer to an LFS batch makes no sense";
            Refusal::new(RefusalKind::UpstreamInvalid, reason).because(&error)
        };
        let answer = BatchResponse::parse(&text).map_err(invalid)?;
        let mut offered: HashMap<_, _> =
            answer.objects.into_iter().map(|offered| (offered.oid, offered)).collect();
        let now = now();
        let objects = self.asked.objects.iter();
        let objects = objects.map(|object| self.answered(object, offered.remove(&object.oid), now));
        Ok(respond::json(StatusCode::OK, &BatchAnswer::new(objects.collect())))
    }

    /// What the client is told of one object.
    fn answered(&self, object: &Object, offered: Option<Offered>, now: i64) -> Answered {
        let (actions, error) = match self.actions(object, offered, now) {
            Ok(actions) => (actions, None),
            Err(error) => (BTreeMap::new(), Some(error)),
        };
        Answered { object: object.clone(), actions, error }
    }

    fn actions(
        &self,
        object: &Object,
        offered: Option<Offered>,
        now: i64,
    ) -> Result<BTreeMap<&'static str, AnsweredAction>, ObjectError> {
        let Some(offered) = offered else {
            return Err(ObjectError::new(502, "the upstream says nothing of this object"));
        };
        if let Some(error) = offered.error {
            return Err(ObjectError::new(error.code, &error.message));
        }
        if offered.size.is_some_and(|size| size != object.size) {
            return Err(ObjectError::new(422, "the upstream has this object with another size"));
        }
        let Actions { upload, verify, download } = offered.actions.unwrap_or_default();
        let actions = match self.asked.operation {
            Operation::Upload if upload.is_some() && object.size > self.max => {
                let message =
                    format!("the object is larger than the {} bytes that this gateway takes", self.max);
                return Err(ObjectError::new(413, &message));
            }
            Operation::Upload => [(Transfer::Upload, upload), (Transfer::Verify, verify)],
            Operation::Download if download.is_none() => {
                return Err(ObjectError::new(404, "the upstream does not offer this object"));
            }
            Operation::Download => [(Transfer::Download, download), (Transfer::Verify, None)],
        };
        let authenticated = offered.authenticated == Some(true);
        let actions = actions.into_iter().filter_map(|(transfer, action)| Some((transfer, action?)));
        let actions = actions.map(|(transfer, action)| {
            let action = self.action(object, transfer, &action, authenticated, now)?;
            Ok((transfer.word(), action))
        });
        actions.collect()
    }

    /// An action here in the place of the upstream's.
    fn action(
        &self,
        object: &Object,
        transfer: Transfer,
        action: &Action,
        authenticated: bool,
        now: i64,
    ) -> Result<AnsweredAction, ObjectError> {
        let fault = |message: &str| ObjectError::new(502, message);
        let url: Uri = action.href.parse().map_err(|_| fault("the upstream's address for it is no URL"))?;
        let origin = Origin::of(&url);
        let plain = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        let Some(origin) = origin.filter(|_| plain) else {
            return Err(fault("the upstream's address for it is no plain http or https URL"));
        };
        if !self.upstream.reaches(&origin) {
            return Err(fault(&client::elsewhere(Some(&origin)).reason));
        }
        let unclear = |_| fault("the upstream's headers or times for it make no sense");
        let headers: HeaderMap = action.headers().map_err(unclear)?;
        let longest = now.saturating_add_unsigned(self.lfs.config.lfs.ticket_life.as_secs());
        let expires = action.expires(now).map_err(unclear)?.map_or(longest, |expires| expires.min(longest));
        if expires <= now {
            return Err(fault("the time that the upstream gives for it is over already"));
        }
        let purpose = Purpose {
            principal: &self.principal,
            upstream: &self.upstream.name,
            repository: &self.route.repository,
            transfer,
            oid: object.oid,
        };
        let grant = Grant { url, headers, size: object.size, expires, authenticated };
        let ticket = self.lfs.tickets.seal(&purpose, &grant);
        let ticket = ticket.ok_or_else(|| fault("the upstream's address and headers for it are too long"))?;
        let here = self.route.at(Endpoint::Transfer(transfer, object.oid)).uri();
        Ok(AnsweredAction {
            href: format!("{}{here}", self.called),
            header: BTreeMap::from([(HEADER, ticket)]),
            expires_in: expires - now,
        })
    }
}

/// How the header of a ticket is written in JSON.
const HEADER: &str = "Lockgate-Lfs-Ticket";

/// What can't be read is the upstream's fault here.
fn upstreams(refusal: Refusal) -> Refusal {
    if refusal.kind == RefusalKind::TooLarge {
        return Refusal { kind: RefusalKind::UpstreamInvalid, ..refusal };
    }
    refusal
}
