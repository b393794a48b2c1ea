//! Maskers around what a service streams: `body` for HTTP bodies, `stream` for streams of `Bytes`. Both
//! write what is safe as soon as the source pauses, and on a longer pause let go of what is not confirmed.

mod body;
mod stream;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Sleep;

pub use self::body::MaskBody;
pub use self::stream::MaskStream;
use crate::mask::Masker;

/// A masker, what it has written, and the clock of its pauses.
struct Queue {
    masker: Masker,
    ready: VecDeque<Bytes>,
    pause: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    /// A pause has passed since the last bytes: another one would release nothing more.
    rested: bool,
}

impl Queue {
    fn new(masker: Masker) -> Self {
        Self { masker, ready: VecDeque::new(), pause: None, timer: None, rested: false }
    }

    fn push(&mut self, bytes: &Bytes) {
        self.timer = None;
        self.rested = false;
        self.masker.push(bytes, &mut self.ready);
    }

    fn finish(&mut self) {
        self.masker.finish(&mut self.ready);
    }

    /// The source has nothing now: what is safe goes out; after the pause, what is not confirmed too.
    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        self.masker.flush(&mut self.ready);
        if self.ready.is_empty()
            && !self.rested
            && self.masker.is_holding()
            && let Some(pause) = self.pause
        {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if timer.as_mut().poll(context).is_ready() {
                self.timer = None;
                self.rested = true;
                self.masker.idle(&mut self.ready);
            }
        }
        self.ready.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
