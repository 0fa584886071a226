//! Ordered prefetching on dedicated threads (the rayon pool is busy with the step that runs at the same time).
//!
//! Thread t of n produces items t, t + n, t + 2n, ... into its own bounded queue, and the consumer reads the queues
//! in turn, so that the order does not depend on the threads' speed.
//!
//! Book: [chapter 17](../../../../../docs/book/src/17-data.md).

use crate::{Error, Result};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

/// A sequence of prefetched items; dropping it stops the threads.
pub(super) struct Prefetch<T> {
    queues: Vec<Receiver<T>>,
    threads: Vec<JoinHandle<()>>,
    next: usize,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts `threads` threads that keep about `prefetch` finished items in their queues, and each one item in
    /// progress. `maker` is called once for each thread and returns the function that produces item i, or `None`
    /// after the last.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start<M>(threads: usize, prefetch: usize, maker: impl Fn() -> M) -> Result<Self>
    where
        M: FnMut(u64) -> Option<T> + Send + 'static,
    {
        let threads = threads.max(1);
        let depth = prefetch.div_ceil(threads).max(1);
        let mut started = Prefetch { queues: Vec::new(), threads: Vec::new(), next: 0 };
        for thread in 0..threads {
            let (sender, queue) = sync_channel(depth);
            let mut make = maker();
            // ANCHOR: work
            let work = move || {
                for i in (thread as u64..).step_by(threads) {
                    let Some(item) = make(i) else { return };
                    if sender.send(item).is_err() {
                        return;
                    }
                }
            };
            // ANCHOR_END: work
            started.queues.push(queue);
            let spawned = Builder::new().name(format!("loader {thread}")).spawn(work);
            started
                .threads
                .push(spawned.map_err(|e| Error::Data(format!("cannot start a loader thread: {e}")))?);
        }
        Ok(started)
    }

    // ANCHOR: take
    /// The next item, after waiting for it if necessary; `None` after the last.
    ///
    /// # Errors
    /// If the item's thread panicked.
    pub fn take(&mut self) -> Result<Option<T>> {
        let queue = self.next % self.queues.len();
        match self.queues[queue].recv() {
            Ok(item) => {
                self.next += 1;
                Ok(Some(item))
            }
            // The thread has ended: it finished its items, or it panicked.
            Err(_) => self.stop().map(|()| None),
        }
    }
    // ANCHOR_END: take
}

impl<T> Prefetch<T> {
    /// Ends all threads by closing their queues.
    fn stop(&mut self) -> Result<()> {
        // Closed queues replace the old ones, so that a later `take` returns `None`.
        for queue in &mut self.queues {
            *queue = sync_channel(0).1;
        }
        let panicked = self.threads.drain(..).map(JoinHandle::join).filter(|end| end.is_err()).count();
        if panicked > 0 {
            return Err(Error::Data("a loader thread panicked; please report its message above".into()));
        }
        Ok(())
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        // A panic's message has already been printed, and `drop` cannot return an error.
        let _ = self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_order_at_any_speed_of_the_threads() {
        for threads in [1, 2, 3, 7] {
            let maker = || {
                |i: u64| {
                    if i.is_multiple_of(3) {
                        std::thread::yield_now();
                    }
                    (i < 50).then_some(i)
                }
            };
            let mut prefetch = Prefetch::start(threads, 4, maker).unwrap();
            for i in 0..50 {
                assert_eq!(prefetch.take().unwrap(), Some(i));
            }
            assert_eq!(prefetch.take().unwrap(), None);
            assert_eq!(prefetch.take().unwrap(), None);
        }
    }

    #[test]
    fn dropping_an_endless_sequence_stops_it() {
        let mut prefetch = Prefetch::start(3, 2, || |i: u64| Some(vec![i; 1000])).unwrap();
        assert_eq!(prefetch.take().unwrap().unwrap()[0], 0);
        drop(prefetch);
    }

    #[test]
    fn a_panic_in_a_thread_is_an_error_here() {
        let maker = || |i: u64| if i == 3 { panic!("on purpose") } else { Some(i) };
        let mut prefetch = Prefetch::start(2, 2, maker).unwrap();
        for i in 0..3 {
            assert_eq!(prefetch.take().unwrap(), Some(i));
        }
        assert!(prefetch.take().is_err());
    }
}
