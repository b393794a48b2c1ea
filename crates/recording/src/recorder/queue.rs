//! The queue to the writer thread, which is woken for what somebody waits for, and not for each event.
//!
//! Waking a thread costs more than writing down an event. What nobody waits for lies here until the writer is woken
//! for something else, or until enough lies here, and never longer than a [`NAP`].

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long the writer sleeps at most when something may come for which it is not woken.
pub(crate) const NAP: Duration = Duration::from_millis(50);
/// The writer is woken when this much lies here, in the units of the sender.
const ENOUGH: usize = 32 << 10;

/// A queue: where things are put in, and where they are taken out.
pub(crate) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { items: VecDeque::new(), weight: 0, sleep: Sleep::Awake, senders: 1, is_read: true };
    let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
    (Sender(shared.clone()), Receiver { shared, batch: VecDeque::new(), was_busy: false })
}

/// Puts things in. Clones put into the same queue.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// Takes things out, in the order in which they came.
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// Taken out of the shared queue and not yet asked for.
    batch: VecDeque<T>,
    /// Something came since the last sleep that was as long as it could be.
    was_busy: bool,
}

/// Why nothing was received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// It is late.
    Timeout,
    /// Nobody can put in anything any more.
    Disconnected,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    /// Of `items`.
    weight: usize,
    sleep: Sleep,
    senders: usize,
    is_read: bool,
}

/// How the receiver sleeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Awake,
    /// It will look by itself, soon.
    Nap,
    Deep,
}

impl<T> Sender<T> {
    /// Puts in something that is to be taken out now.
    ///
    /// # Errors
    /// The thing, when nobody takes anything out any more.
    pub(crate) fn send(&self, item: T) -> Result<(), T> {
        self.put(item, ENOUGH)
    }

    /// Puts in something that can wait for a [`NAP`], of this weight.
    ///
    /// # Errors
    /// The thing, when nobody takes anything out any more.
    pub(crate) fn send_lazily(&self, item: T, weight: usize) -> Result<(), T> {
        self.put(item, weight)
    }

    fn put(&self, item: T, weight: usize) -> Result<(), T> {
        let mut state = self.0.lock();
        if !state.is_read {
            return Err(item);
        }
        state.items.push_back(item);
        state.weight = state.weight.saturating_add(weight);
        let wakes = match state.sleep {
            Sleep::Awake => false,
            Sleep::Nap => state.weight >= ENOUGH,
            Sleep::Deep => true,
        };
        if wakes {
            state.sleep = Sleep::Awake;
            drop(state);
            self.0.wake.notify_one();
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        if state.senders == 0 {
            drop(state);
            self.0.wake.notify_one();
        }
    }
}

impl<T> Receiver<T> {
    /// What is there.
    pub(crate) fn try_recv(&mut self) -> Option<T> {
        if self.batch.is_empty() {
            self.take(&mut self.shared.clone().lock());
        }
        self.batch.pop_front()
    }

    /// What is there, or comes until then.
    pub(crate) fn recv_until(&mut self, due: Option<Instant>) -> Result<T, Nothing> {
        if let Some(item) = self.batch.pop_front() {
            return Ok(item);
        }
        let shared = self.shared.clone();
        let mut state = shared.lock();
        loop {
            self.take(&mut state);
            if let Some(item) = self.batch.pop_front() {
                self.was_busy = true;
                return Ok(item);
            }
            if state.senders == 0 {
                return Err(Nothing::Disconnected);
            }
            let now = Instant::now();
            if due.is_some_and(|due| due <= now) {
                return Err(Nothing::Timeout);
            }
            // Where there was something there will be more: then nobody needs to wake us for each of it.
            let due = if self.was_busy { Some(due.map_or(now + NAP, |due| due.min(now + NAP))) } else { due };
            state.sleep = if due.is_some_and(|due| due <= now + NAP) { Sleep::Nap } else { Sleep::Deep };
            let is_late;
            (state, is_late) = shared.sleep(state, due.map(|due| due.saturating_duration_since(now)));
            state.sleep = Sleep::Awake;
            if is_late {
                self.was_busy = false;
            }
        }
    }

    fn take(&mut self, state: &mut State<T>) {
        std::mem::swap(&mut self.batch, &mut state.items);
        state.weight = 0;
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_read = false;
        // Who waits for an answer to what lies here is not to wait for ever.
        let left = std::mem::take(&mut state.items);
        drop(state);
        drop(left);
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every critical section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until woken, or for so long; says whether it was that long.
    fn sleep<'a>(
        &self,
        state: MutexGuard<'a, State<T>>,
        limit: Option<Duration>,
    ) -> (MutexGuard<'a, State<T>>, bool) {
        match limit {
            None => (self.wake.wait(state).unwrap_or_else(PoisonError::into_inner), false),
            Some(limit) => {
                let (state, timeout) =
                    self.wake.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
                (state, timeout.timed_out())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(receiver: &mut Receiver<u32>) -> Vec<u32> {
        std::iter::from_fn(|| receiver.try_recv()).collect()
    }

    #[test]
    fn things_come_out_in_their_order_however_they_were_put_in() {
        let (sender, mut receiver) = queue();
        sender.send_lazily(1, 10).unwrap();
        sender.clone().send(2).unwrap();
        assert_eq!(receiver.recv_until(None), Ok(1));
        sender.send_lazily(3, usize::MAX).unwrap();
        assert_eq!(all(&mut receiver), [2, 3]);
        assert_eq!(receiver.recv_until(Some(Instant::now())), Err(Nothing::Timeout));
    }

    #[test]
    fn who_sleeps_is_woken_by_what_is_urgent_by_what_is_much_and_by_the_first() {
        let (sender, mut receiver) = queue();
        let (taken, took) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            while let Ok(item) = receiver.recv_until(None) {
                taken.send(item).unwrap();
            }
        });
        sender.send_lazily(1, 1).unwrap();
        assert_eq!(took.recv(), Ok(1));
        sender.send_lazily(2, 1).unwrap();
        sender.send(3).unwrap();
        assert_eq!((took.recv(), took.recv()), (Ok(2), Ok(3)));
        (4..=5).for_each(|item| sender.send_lazily(item, ENOUGH / 2).unwrap());
        assert_eq!((took.recv(), took.recv()), (Ok(4), Ok(5)));
        // And after a nap by nobody.
        sender.send_lazily(6, 1).unwrap();
        assert_eq!(took.recv(), Ok(6));
        drop(sender);
        reader.join().unwrap();
    }

    #[test]
    fn each_end_learns_that_the_other_is_gone() {
        let (sender, mut receiver) = queue();
        sender.send(1).unwrap();
        drop(sender.clone());
        drop(sender);
        assert_eq!(receiver.recv_until(None), Ok(1));
        assert_eq!(receiver.recv_until(None), Err(Nothing::Disconnected));
        let (sender, receiver) = queue();
        let (waits, told) = std::sync::mpsc::channel::<()>();
        sender.send_lazily(waits.clone(), 1).unwrap();
        drop(receiver);
        assert!(sender.send(waits).is_err());
        told.recv().unwrap_err();
    }
}
