//! Callers who go away in the middle of what they asked for.

use futures::FutureExt as _;
use lockgate_control::{
    CallError,
    model::{Answer, State},
    people::Publish,
};
use lockgate_core::{approval::Approvals, policy::PolicyHandle};
use lockgate_testkit::wait;

use crate::support::{GIT, Plane, ask, policy};

/// Polls a call a few times, as far as it gets, and drops it.
async fn leave<T>(call: impl Future<Output = T>, polls: usize) {
    let mut call = std::pin::pin!(call);
    for _ in 0..polls {
        if call.as_mut().now_or_never().is_some() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_became_durable_is_told_though_nobody_hears_the_answer() {
    let plane = Plane::start().await;
    let (proxy, operator) = (plane.proxy().await, plane.operator());
    let handle = PolicyHandle::new();
    let _watch = proxy.watch_policy(handle.clone(), &[&GIT], None);
    // What is published meanwhile is in force soon, and nothing need be.
    let in_force = async || match operator.policy(None).await {
        Ok(published) => handle.current().filter(|policy| policy.version() == published.version).map(drop),
        Err(CallError::NotFound(_)) => Some(()),
        Err(_) => None,
    };
    // A slow machine needs more turns until something is published at all.
    let mut polls = 0;
    while polls < 40 || handle.current().is_none() {
        let text = policy(&polls.to_string());
        leave(operator.publish_policy(Publish { text, ..Publish::default() }), polls).await;
        let ticket = proxy.ask(ask(&polls.to_string())).await.unwrap();
        let bo = plane.person("bo", &["release"]);
        leave(bo.decide(&ticket.id, Answer::Approve, ""), polls).await;
        // Whether it got through or not, everyone is told the same.
        let reached = async || {
            let kept = operator.approval(&ticket.id).await.unwrap();
            if kept.state() == State::Approved {
                return Some(());
            }
            bo.decide(&ticket.id, Answer::Approve, "").await.ok().map(drop)
        };
        wait::until_async("the approval", reached).await.unwrap();
        proxy.decided(&ticket.id).await.unwrap();
        wait::until_async("the proxy to have what is published", in_force).await.unwrap();
        polls += 1;
    }
}
