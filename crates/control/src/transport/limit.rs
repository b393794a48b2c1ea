//! A bound on how many connections there are at once.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt};
use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tonic::transport::server::Connected;

/// Accepts no more than `limit` connections at once: the others wait in the listener's queue.
pub(super) fn limited<IO>(
    incoming: impl Stream<Item = io::Result<IO>>,
    limit: usize,
) -> impl Stream<Item = io::Result<Limited<IO>>> {
    let places = Arc::new(Semaphore::new(limit));
    let places = futures::stream::repeat(places)
        .then(|places| async move { places.acquire_owned().await.map_err(io::Error::other) });
    // The place first: what is not accepted costs nothing.
    futures::stream::unfold((Box::pin(places), Box::pin(incoming)), |(mut places, mut incoming)| async {
        let place = places.next().await?;
        let io = incoming.next().await?;
        let io = place.and_then(|place| Ok(Limited { io: io?, _place: place }));
        Some((io, (places, incoming)))
    })
}

pin_project! {
    /// A connection that gives its place back when it ends.
    pub(super) struct Limited<IO> {
        #[pin]
        io: IO,
        _place: OwnedSemaphorePermit,
    }
}

impl<IO: Connected> Connected for Limited<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

impl<IO: AsyncRead> AsyncRead for Limited<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite> AsyncWrite for Limited<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.project().io.poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_more_is_accepted_when_one_ends() {
        let incoming = futures::stream::repeat_with(|| Ok(tokio::io::duplex(1).0));
        let mut accepted = Box::pin(limited(incoming, 2));
        let first = accepted.next().await.unwrap().unwrap();
        let _second = accepted.next().await.unwrap().unwrap();
        assert!(accepted.next().now_or_never().is_none());
        drop(first);
        assert!(accepted.next().await.unwrap().is_ok());
    }
}
