//! Something asked of the upstream while something else is waited for.

use futures::future::BoxFuture;

/// A question under way, and its answer once it is there.
pub(super) struct Aside<'a, T> {
    asking: Option<BoxFuture<'a, T>>,
    answer: Option<T>,
}

impl<'a, T> Aside<'a, T> {
    /// Nothing is asked.
    pub(super) const NOTHING: Self = Self { asking: None, answer: None };

    /// Asks it, from when something else is waited for.
    pub(super) fn ask(&mut self, asking: BoxFuture<'a, T>) {
        self.asking = Some(asking);
    }

    /// Waits for something else.
    pub(super) async fn beside<O>(&mut self, other: impl Future<Output = O>) -> O {
        tokio::pin!(other);
        while let Some(asking) = &mut self.asking {
            tokio::select! {
                biased;
                done = &mut other => return done,
                answer = asking => (self.asking, self.answer) = (None, Some(answer)),
            }
        }
        other.await
    }

    /// Waits for the answer, where something was asked.
    pub(super) async fn answer(self) -> Option<T> {
        match self.asking {
            Some(asking) => Some(asking.await),
            None => self.answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn goes_on_while_something_else_is_waited_for() {
        let (asked, was_asked) = tokio::sync::oneshot::channel();
        let mut aside = Aside::NOTHING;
        assert_eq!(aside.beside(async { 1 }).await, 1);
        aside.ask(async { asked.send(()).map_or(0, |()| 7) }.boxed());
        aside.beside(was_asked).await.expect("it is asked meanwhile");
        assert_eq!(aside.answer().await, Some(7));
        assert_eq!(Aside::<u8>::NOTHING.answer().await, None);
        let mut aside = Aside::NOTHING;
        aside.ask(async { 7 }.boxed());
        assert_eq!(aside.answer().await, Some(7), "if nothing was waited for");
    }
}
