//! The tower plumbing of a layer, written once: a layer is a [`Step`], an async function from what the
//! layer above hands it, and the service below, to a response.

use std::{
    convert::Infallible,
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::Response;
use tower::{Layer, Service, ServiceExt as _};

use crate::body::Body;

/// One layer of the pipeline.
pub trait Step<In>: Send + Sync + 'static {
    /// What it hands to the service below.
    type Out: Send;
    /// How it fails: [`Infallible`] for a layer that renders refusals, else [`crate::refusal::Refusal`].
    type Error: Send;
    /// How the service below may fail.
    type Below: Send;

    /// Handles one request.
    fn run(
        self: Arc<Self>,
        input: In,
        next: Next<Self::Out, Self::Below>,
    ) -> impl Future<Output = Result<Response<Body>, Self::Error>> + Send;
}

/// The service below, for one request.
pub struct Next<In, E>(Box<dyn FnOnce(In) -> Answer<E> + Send>);

type Answer<E> = BoxFuture<'static, Result<Response<Body>, E>>;

impl<In: Send + 'static, E: Send + 'static> Next<In, E> {
    fn new<S>(below: S) -> Self
    where
        S: Service<In, Response = Response<Body>, Error = E> + Send + 'static,
        S::Future: Send,
    {
        Self(Box::new(move |input| Box::pin(below.oneshot(input))))
    }

    /// Sends the request down when the service is ready.
    ///
    /// # Errors
    /// Those of the service below.
    pub fn run(self, input: In) -> impl Future<Output = Result<Response<Body>, E>> + Send + use<In, E> {
        (self.0)(input)
    }
}

/// Puts a [`Step`] on top of a service.
#[derive(Debug)]
pub struct StepLayer<T>(Arc<T>);

impl<T> StepLayer<T> {
    /// A layer of that step.
    pub fn new(step: T) -> Self {
        Self(Arc::new(step))
    }
}

impl<T, S> Layer<S> for StepLayer<T> {
    type Service = StepService<T, S>;

    fn layer(&self, next: S) -> Self::Service {
        StepService { step: Arc::clone(&self.0), next }
    }
}

/// A [`Step`] on top of a service.
#[derive(Debug)]
pub struct StepService<T, S> {
    step: Arc<T>,
    next: S,
}

impl<T, S: Clone> Clone for StepService<T, S> {
    fn clone(&self) -> Self {
        Self { step: Arc::clone(&self.step), next: self.next.clone() }
    }
}

impl<In, T, S> Service<In> for StepService<T, S>
where
    In: Send + 'static,
    T: Step<In>,
    T::Out: 'static,
    T::Below: 'static,
    S: Service<T::Out, Response = Response<Body>, Error = T::Below> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = T::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, T::Error>>;

    /// Always: a service below that can't be had is for the step to answer, in the client's dialect.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, input: In) -> Self::Future {
        Box::pin(Arc::clone(&self.step).run(input, Next::new(self.next.clone())))
    }
}

/// The result of a step that cannot fail.
pub type Rendered = Result<Response<Body>, Infallible>;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tower_test::mock;

    use super::*;
    use crate::body;

    struct Double;

    impl Step<u32> for Double {
        type Out = u32;
        type Error = tower::BoxError;
        type Below = tower::BoxError;

        async fn run(
            self: Arc<Self>,
            input: u32,
            next: Next<u32, tower::BoxError>,
        ) -> Result<Response<Body>, tower::BoxError> {
            next.run(2 * input).await
        }
    }

    #[tokio::test]
    async fn waits_until_the_service_below_is_ready() {
        let (service, mut handle) = mock::pair::<u32, Response<Body>>();
        handle.allow(0);
        let call = StepLayer::new(Double).layer(service).oneshot(3);
        tokio::pin!(call);
        assert!((&mut call).now_or_never().is_none());
        handle.allow(1);
        assert!((&mut call).now_or_never().is_none(), "called, and waits for the answer");
        let (request, answer) = handle.next_request().await.expect("called");
        assert_eq!(request, 6);
        answer.send_response(Response::new(body::empty()));
        call.await.unwrap();
    }

    #[tokio::test]
    async fn clones_share_the_step() {
        let (service, mut handle) = mock::pair::<u32, Response<Body>>();
        let mut service = StepLayer::new(Double).layer(service);
        let answers = async {
            for expected in [6, 8] {
                let (request, answer) = handle.next_request().await.expect("called");
                assert_eq!(request, expected);
                answer.send_response(Response::new(body::empty()));
            }
        };
        let calls = async {
            service.clone().oneshot(3).await.unwrap();
            service.ready().await.unwrap().call(4).await.unwrap();
        };
        tokio::join!(calls, answers);
    }

    #[tokio::test]
    async fn fails_as_the_service_below_does() {
        let (service, mut handle) = mock::pair::<u32, Response<Body>>();
        let service = StepLayer::new(Double).layer(service);
        let fail = async {
            handle.next_request().await.expect("called").1.send_error("no");
        };
        let (result, ()) = tokio::join!(service.oneshot(1), fail);
        assert_eq!(result.unwrap_err().to_string(), "no");
    }
}
