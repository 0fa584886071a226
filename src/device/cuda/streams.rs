//! The two streams of a device: which work waits for which.
//!
//! The main stream runs nearly everything, in the order in which it is enqueued. The side stream runs work whose result
//! nothing needs soon: the gradients of filters and the update of the weights, beside the rest of the backward pass.
//!
//! All work is enqueued through [`Streams::enqueue`] with the bytes that it reads and writes, so that no operation has
//! to know about the other stream:
//!
//! - Work of the side stream waits for everything that the main stream has got before it (a *fork*). Its operands are
//!   ready then, and memory that the main stream has used is free for it.
//! - Work of the main stream that writes what side work uses, or reads what side work writes, waits for that side work
//!   (a *join*). So does an end of a capture, a wait of the host, and the backward pass as a whole.
//! - Memory that side work uses and that is freed is reused by the main stream after a join only
//!   ([`super::memory`]).
//!
//! Forks and joins are events. In a captured step they are edges of the graph and add no nodes.
//!
//! Book: [chapter 15](../../../../../../docs/book/src/15-memory-streams.md).

use super::driver::{Api, EVENT_DISABLE_TIMING, Handle, RawEvent, Stream};
use crate::Result;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// The stream of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The stream of nearly all work.
    Main,
    /// The stream of work whose result nothing needs soon.
    Side,
}

/// Bytes of device memory that a piece of work uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    begin: u64,
    end: u64,
    is_written: bool,
}

impl Use {
    pub fn read(address: u64, bytes: usize) -> Self {
        Use { begin: address, end: address.saturating_add(bytes as u64), is_written: false }
    }

    pub fn write(address: u64, bytes: usize) -> Self {
        Use { is_written: true, ..Use::read(address, bytes) }
    }

    /// The number of bytes.
    pub fn bytes(&self) -> usize {
        (self.end - self.begin) as usize
    }

    fn overlaps(&self, other: &Use) -> bool {
        self.begin.max(other.begin) < self.end.min(other.end)
    }

    /// True if the order of two pieces of work with these uses matters.
    fn conflicts(&self, other: &Use) -> bool {
        (self.is_written || other.is_written) && self.overlaps(other)
    }
}

/// Side work that the main stream has not waited for.
struct SideWork {
    /// Its number, from 1 on.
    number: u64,
    uses: Vec<Use>,
    /// Recorded behind it in the side stream.
    end: RawEvent,
}

struct Pending {
    /// The number of the newest side work.
    newest: u64,
    /// In ascending order of their numbers.
    works: VecDeque<SideWork>,
    /// Events that nobody needs any more.
    spare: Vec<RawEvent>,
}

/// The streams of a device.
pub(super) struct Streams {
    driver: &'static Api,
    main: Stream,
    side: Stream,
    /// Recorded in the main stream before each piece of side work.
    fork: RawEvent,
    /// True if side work goes into the main stream.
    is_one: AtomicBool,
    /// The main stream has waited for side work up to this number.
    joined: AtomicU64,
    pending: Mutex<Pending>,
}

impl Streams {
    /// Two streams of the current context.
    pub fn new(driver: &'static Api) -> Result<Self> {
        // The main stream's blocks go first: the step waits for them, and a cooperative launch starts only when all of
        // its blocks find a place.
        let [greatest, least] = Stream::priorities(driver)?;
        let (main, side) = (Stream::new(driver, greatest)?, Stream::new(driver, least)?);
        let fork = RawEvent::new(driver, EVENT_DISABLE_TIMING)?;
        let pending = Pending { newest: 0, works: VecDeque::new(), spare: Vec::new() };
        Ok(Streams {
            driver,
            main,
            side,
            fork,
            is_one: AtomicBool::new(false),
            joined: AtomicU64::new(0),
            pending: Mutex::new(pending),
        })
    }

    /// The handles of the main and the side stream, for libraries. A library's calls are enqueued with
    /// [`Streams::enqueue`] as all others.
    pub fn handles(&self) -> [Handle; 2] {
        [self.main.handle, self.side.handle]
    }

    /// Puts side work into the main stream, if `is_one`, for comparison.
    pub fn set_one(&self, is_one: bool) {
        self.is_one.store(is_one, Ordering::Relaxed);
    }

    /// True if side work goes into the main stream.
    pub fn is_one(&self) -> bool {
        self.is_one.load(Ordering::Relaxed)
    }

    /// The stream that work for `lane` goes into.
    pub fn resolve(&self, lane: Lane) -> Lane {
        if self.is_one() { Lane::Main } else { lane }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("the lock is never held across a panic")
    }

    /// Enqueues work in a stream, of which `work` gets the handle. It uses no other device memory than `uses`, except
    /// memory that no side work uses: workspaces that the main stream has just allocated, and memory of a library.
    ///
    /// # Errors
    /// The error of `work`; a CUDA driver error.
    pub fn enqueue<T>(&self, lane: Lane, uses: &[Use], work: impl FnOnce(Handle) -> Result<T>) -> Result<T> {
        let mut pending = self.lock();
        match self.resolve(lane) {
            Lane::Main => {
                // ANCHOR: main
                let in_conflict = |side: &&SideWork| {
                    side.uses.iter().any(|side| uses.iter().any(|own| own.conflicts(side)))
                };
                if let Some(last) = pending.works.iter().rev().find(in_conflict) {
                    let number = last.number;
                    self.join_locked(&mut pending, number)?;
                }
                drop(pending);
                work(self.main.handle)
                // ANCHOR_END: main
            }
            Lane::Side => {
                let end = match pending.spare.pop() {
                    Some(event) => event,
                    None => RawEvent::new(self.driver, EVENT_DISABLE_TIMING)?,
                };
                // ANCHOR: side
                let doing = "starting work beside the main stream";
                self.fork.record(&self.main, doing)?;
                self.fork.order_before(&self.side, doing)?;
                let done = work(self.side.handle);
                // ANCHOR_END: side
                // After an error too: a library may have enqueued a part of its work.
                if let Err(error) = end.record(&self.side, doing) {
                    // No event tells the end of the work. An error of the wait has the same cause.
                    let _ = self.side.wait();
                    return done.and(Err(error));
                }
                pending.newest += 1;
                let number = pending.newest;
                pending.works.push_back(SideWork { number, uses: uses.to_vec(), end });
                done
            }
        }
    }

    fn join_locked(&self, pending: &mut Pending, number: u64) -> Result<()> {
        let count = pending.works.partition_point(|work| work.number <= number);
        if let Some(last) = count.checked_sub(1) {
            // The side stream runs its work in order, so the last one's end is the end of all.
            pending.works[last].end.order_before(&self.main, "waiting for work beside the main stream")?;
            let (joined, Pending { works, spare, .. }) = (pending.works[last].number, pending);
            spare.extend(works.drain(..count).map(|work| work.end));
            self.joined.store(joined, Ordering::Release);
        }
        Ok(())
    }

    /// Makes all later work of the main stream wait for the side work up to `number`.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub fn join_until(&self, number: u64) -> Result<()> {
        self.join_locked(&mut self.lock(), number)
    }

    /// Makes all later work of the main stream wait for all side work; returns the main stream's handle, for work that
    /// uses any memory.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub fn join(&self) -> Result<Handle> {
        self.join_until(u64::MAX)?;
        Ok(self.main.handle)
    }

    /// The main stream has waited for the side work up to this number.
    pub fn joined(&self) -> u64 {
        self.joined.load(Ordering::Acquire)
    }

    /// The number of the newest side work that uses a part of this memory and that the main stream has not waited for;
    /// 0 for none.
    pub fn last_use(&self, address: u64, bytes: usize) -> u64 {
        let memory = Use::write(address, bytes);
        let pending = self.lock();
        let uses = |work: &&SideWork| work.uses.iter().any(|own| own.overlaps(&memory));
        pending.works.iter().rev().find(uses).map_or(0, |work| work.number)
    }

    /// Records an event in the main stream behind the work enqueued so far, without that of the side stream.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub fn record(&self, event: &RawEvent, doing: &str) -> Result<()> {
        event.record(&self.main, doing)
    }

    /// Records an event in the main stream, which is captured, as a node of the graph.
    ///
    /// # Errors
    /// A CUDA driver error; the stream is not captured.
    pub fn record_as_node(&self, event: &RawEvent, doing: &str) -> Result<()> {
        event.record_as_node(&self.main, doing)
    }

    /// Waits until the work of both streams is done.
    ///
    /// # Errors
    /// A CUDA driver error of this or of earlier work.
    pub fn wait(&self) -> Result<()> {
        let joined = self.join();
        // Each stream has its own errors, and the host must not rely on the join alone.
        let waited = self.main.wait().and(self.side.wait());
        joined.and(waited)
    }

    /// Ends the record of side work behind the end of a capture: it is joined in the graph, or never runs.
    pub fn end_capture(&self) {
        let Pending { newest, works, spare } = &mut *self.lock();
        spare.extend(works.drain(..).map(|work| work.end));
        self.joined.store(*newest, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_write_conflicts_and_only_with_bytes_that_it_shares() {
        let (read, write) = (Use::read(100, 10), Use::write(100, 10));
        assert!(!read.conflicts(&read) && read.conflicts(&write) && write.conflicts(&read));
        for (address, bytes, conflicts) in [
            (90, 10, false),
            (110, 5, false),
            (90, 11, true),
            (109, 1, true),
            (104, 0, false),
            (0, 1000, true),
        ] {
            assert_eq!(write.conflicts(&Use::read(address, bytes)), conflicts, "{bytes} bytes at {address}");
        }
    }
}
