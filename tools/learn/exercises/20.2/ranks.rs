//! Ranks as threads of one process, with two collectives. Your answer uses it.
//!
//! All ranks call the same collectives, in the same order and with the same number of values. If a rank calls another one
//! or ends, the others panic.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A rank among the others.
pub struct Group {
    rank: usize,
    ranks: usize,
    board: Arc<Board>,
}

/// The memory that the ranks share.
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The number of finished collectives.
    round: usize,
    /// The collective that each rank has called, and its values.
    posted: Vec<Option<(&'static str, Arc<Vec<f32>>)>>,
    /// The ranks that have read the values of all.
    read: usize,
    /// Whether a rank has ended.
    ended: Vec<bool>,
    /// The number of values that each rank has sent to others.
    sent: Vec<usize>,
}

/// So many ranks, in their order.
pub fn groups(ranks: usize) -> Vec<Group> {
    let state = State {
        round: 0,
        posted: vec![None; ranks],
        read: 0,
        ended: vec![false; ranks],
        sent: vec![0; ranks],
    };
    let board = Arc::new(Board { state: Mutex::new(state), changed: Condvar::new() });
    (0..ranks).map(|rank| Group { rank, ranks, board: board.clone() }).collect()
}

impl Group {
    /// The number of this rank, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of ranks.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Sends part r of `from` to rank r; part r of `to` comes from rank r. All parts have one size.
    ///
    /// # Panics
    /// If the ranks cannot share `from` equally, or if `to` has another size.
    pub fn all_to_all(&self, from: &[f32], to: &mut [f32]) {
        let (part, ranks) = (from.len() / self.ranks, self.ranks);
        assert!(
            from.len() == part * ranks,
            "all_to_all: {} values are no {ranks} parts of one size",
            from.len()
        );
        assert!(
            to.len() == from.len(),
            "all_to_all: {} values come, and there is room for {}",
            from.len(),
            to.len()
        );
        let posted = self.exchange("all_to_all", from, from.len() - part);
        for (to, from) in to.chunks_exact_mut(part.max(1)).zip(posted) {
            to.copy_from_slice(&from[self.rank * part..][..part]);
        }
    }

    /// Sends `own` to all other ranks; `all` has the values of all ranks, in rank order.
    ///
    /// # Panics
    /// If `all` has another size.
    pub fn all_gather(&self, own: &[f32], all: &mut [f32]) {
        let come = own.len() * self.ranks;
        assert!(all.len() == come, "all_gather: {come} values come, and there is room for {}", all.len());
        let posted = self.exchange("all_gather", own, own.len() * (self.ranks - 1));
        for (to, from) in all.chunks_exact_mut(own.len().max(1)).zip(posted) {
            to.copy_from_slice(&from);
        }
    }

    /// The number of values that this rank has sent to other ranks.
    pub fn sent(&self) -> usize {
        self.state().sent[self.rank]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.board.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts `own`, waits for the values of all ranks, and returns them in rank order.
    fn exchange(&self, what: &'static str, own: &[f32], sent: usize) -> Vec<Arc<Vec<f32>>> {
        let wait = |state| self.board.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        let round = state.round;
        state.sent[self.rank] += sent;
        state.posted[self.rank] = Some((what, Arc::new(own.to_vec())));
        self.board.changed.notify_all();
        while state.posted.iter().any(Option::is_none) {
            let gone = (0..self.ranks).find(|&rank| state.ended[rank] && state.posted[rank].is_none());
            if let Some(gone) = gone {
                drop(state);
                panic!("rank {gone} has ended, and rank {} waits for it in {what}", self.rank);
            }
            state = wait(state);
        }
        let posted: Vec<(&'static str, Arc<Vec<f32>>)> = state.posted.iter().flatten().cloned().collect();
        let differs = |(other, values): &(&str, Arc<Vec<f32>>)| *other != what || values.len() != own.len();
        if let Some(rank) = posted.iter().position(differs) {
            let (other, values) = (posted[rank].0, posted[rank].1.len());
            drop(state);
            panic!(
                "rank {} calls {what} of {} values, and rank {rank} {other} of {values}",
                self.rank,
                own.len()
            );
        }
        // The next collective begins when every rank has read this one.
        state.read += 1;
        if state.read == self.ranks {
            state.read = 0;
            state.posted.fill(None);
            state.round += 1;
            self.board.changed.notify_all();
        }
        while state.round == round {
            state = wait(state);
        }
        posted.into_iter().map(|(_, values)| values).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.state().ended[self.rank] = true;
        self.board.changed.notify_all();
    }
}
