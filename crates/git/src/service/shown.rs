//! A push that can show to people what it changes, should they be asked.

use futures::{FutureExt as _, future::BoxFuture};
use http::{Response, response};
use lockgate_core::{
    body::Body,
    protocol::{Content, Context, Dialect, HoldStyle},
    refusal::Refusal,
    spool::Spool,
};

use crate::{
    ancestry::Pushed, inspect::Inspector, oid::ObjectFormat, parse::Command, respond::PushDialect,
    route::Route,
};

/// How a push is answered, and what it is.
pub(super) struct ShownPush {
    pub(super) dialect: PushDialect,
    pub(super) inspector: Inspector,
    pub(super) route: Route,
    pub(super) format: ObjectFormat,
    pub(super) commands: Vec<Command>,
    pub(super) spool: Spool,
    /// Where in the spool the pack begins; `None` where there is none.
    pub(super) pack: Option<u64>,
}

impl ShownPush {
    async fn text(&self, context: Context<'_>) -> Option<String> {
        let pushed = Pushed {
            route: &self.route,
            format: self.format,
            commands: &self.commands,
            spool: &self.spool,
            pack: self.pack?,
            known: None,
        };
        Some(self.inspector.show(context, &pushed).await.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "what a push changes can't be shown");
            format!("what the push changes can't be shown: {error}\n")
        }))
    }
}

impl Dialect for ShownPush {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        self.dialect.refuse(refusal)
    }

    fn hold(&self) -> HoldStyle {
        self.dialect.hold()
    }

    fn show<'a>(&'a self, context: Context<'a>) -> BoxFuture<'a, Option<String>> {
        self.text(context).boxed()
    }

    fn content(&self, head: &response::Parts) -> Content {
        self.dialect.content(head)
    }
}
