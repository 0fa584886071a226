//! Ranks as threads of one process, for tests and to learn: they exchange data through shared memory.
//!
//! Book: [chapter 20](../../../../../docs/book/src/20-many-ranks.md).

use super::engine::Engine;
use super::{Group, Share};
use crate::{Error, Result};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Groups of `ranks` ranks, one for each thread, in rank order. A rank that waits for `timeout` gives up.
///
/// ```
/// use bcreid::ranks::threads;
/// use std::time::Duration;
///
/// let groups = threads::groups(2, Duration::from_secs(10));
/// let of_each: Vec<Vec<u32>> = std::thread::scope(|scope| {
///     let threads = groups.into_iter().map(|group| {
///         scope.spawn(move || {
///             let mut all = vec![0; 2];
///             group.gather("a number", &[10 + group.share().rank as u32], &mut all).map(|()| all)
///         })
///     });
///     let threads: Vec<_> = threads.collect();
///     threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
/// });
/// assert_eq!(of_each, [[10, 11], [10, 11]]);
/// ```
pub fn groups(ranks: usize, timeout: Duration) -> Vec<Group> {
    let board = Arc::new(Board {
        state: Mutex::new(State { round: 0, posted: vec![None; ranks], read: 0, aborted: None }),
        changed: Condvar::new(),
        timeout,
    });
    let of_rank = |rank| Group::Host(Arc::new(Rank { share: Share { rank, ranks }, board: board.clone() }));
    (0..ranks).map(of_rank).collect()
}

/// One rank.
#[derive(Debug)]
struct Rank {
    share: Share,
    board: Arc<Board>,
}

/// The memory that the ranks share.
#[derive(Debug)]
struct Board {
    state: Mutex<State>,
    changed: Condvar,
    timeout: Duration,
}

#[derive(Debug)]
struct State {
    /// The number of finished collectives.
    round: u64,
    /// The bytes of each rank in this collective.
    posted: Vec<Option<Arc<Vec<u8>>>>,
    /// The ranks that have read all of them.
    read: usize,
    /// The rank that aborted.
    aborted: Option<usize>,
}

impl Rank {
    /// Posts `own`, waits for the bytes of all ranks, and returns them in rank order.
    fn exchange(&self, what: &'static str, own: &[u8]) -> Result<Vec<Arc<Vec<u8>>>> {
        let Board { state, changed, timeout } = &*self.board;
        let end = Instant::now() + *timeout;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let round = state.round;
        state.posted[self.share.rank] = Some(Arc::new(own.to_vec()));
        changed.notify_all();
        loop {
            if let Some(rank) = state.aborted {
                return Err(Error::Run(format!("{what}: rank {rank} failed")));
            }
            if state.posted.iter().all(Option::is_some) {
                break;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let missing: Vec<String> = (0..self.share.ranks)
                    .filter(|&rank| state.posted[rank].is_none())
                    .map(|r| r.to_string())
                    .collect();
                // A rank that comes late finds no half of a collective.
                state.posted[self.share.rank] = None;
                let (missing, seconds) = (missing.join(", "), timeout.as_secs_f32());
                return Err(Error::Run(format!("{what}: no answer of rank {missing} in {seconds} seconds")));
            }
            state = changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let all: Vec<Arc<Vec<u8>>> = state.posted.iter().flatten().cloned().collect();
        // The next collective begins when every rank has read this one.
        state.read += 1;
        if state.read == self.share.ranks {
            state.read = 0;
            state.posted.fill(None);
            state.round += 1;
            changed.notify_all();
        }
        // All have posted, so that all read soon.
        while state.round == round {
            if let Some(rank) = state.aborted {
                return Err(Error::Run(format!("{what}: rank {rank} failed")));
            }
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(all)
    }

    /// As [`Rank::exchange`], where all ranks post the same number of bytes.
    fn exchange_equal(&self, what: &'static str, own: &[u8]) -> Result<Vec<Arc<Vec<u8>>>> {
        let all = self.exchange(what, own)?;
        match all.iter().position(|bytes| bytes.len() != own.len()) {
            None => Ok(all),
            Some(rank) => Err(Error::Run(format!(
                "{what}: rank {rank} has {} bytes and rank {} has {}",
                all[rank].len(),
                self.share.rank,
                own.len()
            ))),
        }
    }
}

impl Engine for Rank {
    fn share(&self) -> Share {
        self.share
    }

    fn library(&self) -> String {
        "threads of one process".into()
    }

    fn all_gather(&self, what: &'static str, own: &[u8], all: &mut [u8]) -> Result<()> {
        let posted = self.exchange_equal(what, own)?;
        all.chunks_exact_mut(own.len().max(1)).zip(posted).for_each(|(to, from)| to.copy_from_slice(&from));
        Ok(())
    }

    fn all_to_all(&self, what: &'static str, from: &[u8], to: &mut [u8]) -> Result<()> {
        let posted = self.exchange_equal(what, from)?;
        let part = from.len() / self.share.ranks;
        let at = self.share.rank * part;
        to.chunks_exact_mut(part.max(1))
            .zip(posted)
            .for_each(|(to, from)| to.copy_from_slice(&from[at..at + part]));
        Ok(())
    }

    fn broadcast(&self, what: &'static str, values: &mut [u8]) -> Result<()> {
        let posted = self.exchange_equal(what, values)?;
        values.copy_from_slice(&posted[0]);
        Ok(())
    }

    fn abort(&self) {
        let mut state = self.board.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.aborted = state.aborted.or(Some(self.share.rank));
        self.board.changed.notify_all();
    }
}
