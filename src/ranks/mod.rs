//! Ranks: processes that train one network together, each on its share of every batch (data-parallel training).
//!
//! A launcher (mpirun, srun) starts the processes and numbers them; [`Place`] reads its variables. A [`Group`] moves
//! data between the ranks. The engine beneath it (MPI) moves bytes only: this program sums in the order of the ranks, so
//! that the bits of a sum depend on the number of ranks and not on the engine.
//!
//! Each function of a group is a collective: all ranks call the same functions in the same order, with arguments of the
//! same size. A rank that waits longer than the time-out for the others returns an error.
//!
//! Book: [chapter 20](../../../../docs/book/src/20-many-ranks.md).

mod engine;
pub mod mpi;
mod place;
pub mod threads;

pub use place::{Launcher, Place, host_name};

use crate::element::Real;
use crate::{Error, Result};
use bytemuck::Pod;
use engine::Engine;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The share of a rank: its number, and the number of all ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The number of the rank, from 0.
    pub rank: usize,
    /// The number of ranks.
    pub ranks: usize,
}

impl Default for Share {
    /// The whole: rank 0 of 1.
    fn default() -> Self {
        Share { rank: 0, ranks: 1 }
    }
}

impl Share {
    /// The places of this rank in a batch of `batch` images: `[rank m, (rank + 1) m)` with m = batch / ranks.
    ///
    /// # Errors
    /// A batch that the ranks cannot share equally.
    pub fn places(self, batch: usize) -> Result<std::ops::Range<usize>> {
        let Share { rank, ranks } = self;
        if !batch.is_multiple_of(ranks) {
            return Err(Error::Config(format!(
                "solver.batch is {batch}, which {ranks} ranks cannot share equally; set solver.batch to a multiple of \
                 {ranks} (it is the batch of all ranks together), or start another number of ranks"
            )));
        }
        let m = batch / ranks;
        Ok(rank * m..(rank + 1) * m)
    }
}

/// The ranks that train together.
#[derive(Clone, Debug, Default)]
pub enum Group {
    /// One process alone.
    #[default]
    Alone,
    /// Ranks that exchange host memory: processes through MPI, or threads of one process.
    Host(Arc<dyn Engine>),
}

impl Group {
    /// The number of this rank, and of all ranks.
    pub fn share(&self) -> Share {
        match self {
            Group::Alone => Share::default(),
            Group::Host(engine) => engine.share(),
        }
    }

    /// The number of ranks.
    pub fn ranks(&self) -> usize {
        self.share().ranks
    }

    /// The library beneath, in words; empty for one process.
    pub fn library(&self) -> String {
        match self {
            Group::Alone => String::new(),
            Group::Host(engine) => engine.library(),
        }
    }

    /// Whether this is rank 0, which writes the files of the run.
    pub fn is_first(&self) -> bool {
        self.share().rank == 0
    }

    /// Gathers the `own` values of each rank, in rank order, in `all`.
    ///
    /// # Errors
    /// Another rank that failed or does not answer.
    ///
    /// # Panics
    /// If `all` does not have as many values as `own` for each rank.
    pub fn gather<T: Pod>(&self, what: &'static str, own: &[T], all: &mut [T]) -> Result<()> {
        assert_eq!(all.len(), own.len() * self.ranks(), "values of all ranks");
        match self {
            Group::Alone => all.copy_from_slice(own),
            Group::Host(engine) => {
                engine.all_gather(what, bytemuck::cast_slice(own), bytemuck::cast_slice_mut(all))?;
            }
        }
        Ok(())
    }

    /// Replaces `values` of each rank by their sum over the ranks: added in f32 in rank order, and rounded once. All
    /// ranks get the same bits.
    ///
    /// Each rank sums one part of the values: the parts are exchanged, added, and the sums gathered. So a rank sends
    /// 2 (N - 1) / N of its values, as few as any algorithm. `scratch` has room for [`Group::sum_scratch`] values.
    ///
    /// # Errors
    /// As [`Group::gather`].
    ///
    /// # Panics
    /// If `scratch` is too small.
    pub fn sum<E: Real>(&self, what: &'static str, values: &mut [E], scratch: &mut [E]) -> Result<()> {
        let Group::Host(engine) = self else { return Ok(()) };
        let Share { rank, ranks } = engine.share();
        // ANCHOR: sum
        let part = values.len().div_ceil(ranks).max(1);
        let (sent, received) = scratch[..2 * ranks * part].split_at_mut(ranks * part);
        sent[..values.len()].copy_from_slice(values);
        sent[values.len()..].fill(E::zeroed());
        engine.all_to_all(what, bytemuck::cast_slice(sent), bytemuck::cast_slice_mut(received))?;
        let own = &mut sent[rank * part..][..part];
        sum_parts(received, own);
        engine.all_gather(what, bytemuck::cast_slice(own), bytemuck::cast_slice_mut(received))?;
        values.copy_from_slice(&received[..values.len()]);
        // ANCHOR_END: sum
        Ok(())
    }

    /// The number of values that [`Group::sum`] of `values` values needs as scratch memory.
    pub fn sum_scratch(&self, values: usize) -> usize {
        2 * self.ranks() * values.div_ceil(self.ranks()).max(1)
    }

    /// Replaces `values` of each rank by those of rank 0.
    ///
    /// # Errors
    /// As [`Group::gather`].
    pub fn broadcast<T: Pod>(&self, what: &'static str, values: &mut [T]) -> Result<()> {
        match self {
            Group::Alone => Ok(()),
            Group::Host(engine) => engine.broadcast(what, bytemuck::cast_slice_mut(values)),
        }
    }

    /// The text of rank 0, on each rank.
    ///
    /// # Errors
    /// As [`Group::gather`]; a text of rank 0 that is no UTF-8.
    pub fn broadcast_text(&self, what: &'static str, own: &str) -> Result<String> {
        let mut length = [own.len() as u64];
        self.broadcast(what, &mut length)?;
        /// The longest text, far above that of any settings.
        const LONGEST: u64 = 1 << 24;
        if length[0] > LONGEST {
            return Err(self.fault(format!("{what}: rank 0 announces a text of {} bytes", length[0])));
        }
        let mut bytes = own.as_bytes().to_vec();
        bytes.resize(length[0] as usize, 0);
        self.broadcast(what, &mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.fault(format!("{what}: the text of rank 0 is no UTF-8")))
    }

    /// The texts of all ranks, in rank order.
    ///
    /// # Errors
    /// As [`Group::gather`]; a text that is no UTF-8.
    pub fn gather_texts(&self, what: &'static str, own: &str) -> Result<Vec<String>> {
        let mut lengths = vec![0; self.ranks()];
        self.gather(what, &[own.len() as u64], &mut lengths)?;
        let longest = lengths.iter().copied().max().unwrap_or(0) as usize;
        let mut padded = own.as_bytes().to_vec();
        padded.resize(longest, 0);
        let mut all = vec![0; self.ranks() * longest];
        self.gather(what, &padded, &mut all)?;
        let texts = lengths.iter().enumerate().map(|(rank, &length)| {
            let bytes = all[rank * longest..][..length as usize].to_vec();
            String::from_utf8(bytes)
                .map_err(|_| self.fault(format!("{what}: the text of rank {rank} is no UTF-8")))
        });
        texts.collect()
    }

    /// The largest of the numbers of all ranks.
    ///
    /// # Errors
    /// As [`Group::gather`].
    pub fn largest(&self, what: &'static str, own: u64) -> Result<u64> {
        let mut all = vec![0; self.ranks()];
        self.gather(what, &[own], &mut all)?;
        Ok(all.into_iter().max().unwrap_or(own))
    }

    /// Checks that `own` is the same on all ranks. `what` names it in the error (`the settings`), and `fix` says what
    /// helps.
    ///
    /// # Errors
    /// A rank with another value: each rank returns the error, which names the rank and its host. As [`Group::gather`].
    pub fn require_equal(&self, what: &'static str, own: &str, fix: &str) -> Result<()> {
        const DIGEST: usize = 32;
        const HOST: usize = 64;
        let mut record = [0; DIGEST + HOST];
        record[..DIGEST].copy_from_slice(&Sha256::digest(own));
        let host = host_name();
        let host = &host.as_bytes()[..host.len().min(HOST)];
        record[DIGEST..][..host.len()].copy_from_slice(host);
        let mut all = vec![0; record.len() * self.ranks()];
        self.gather(what, &record, &mut all)?;
        let (first, _) = all.split_at(record.len());
        let other = |record: &&[u8]| record[..DIGEST] != first[..DIGEST];
        let others: Vec<(usize, &[u8])> =
            all.chunks_exact(record.len()).enumerate().filter(|(_, record)| other(record)).collect();
        let Some((rank, record)) = others.first() else { return Ok(()) };
        let host = String::from_utf8_lossy(&record[DIGEST..]);
        let more = match others.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        Err(Error::Run(format!(
            "{what} of rank {rank} on {}{more}: other than on rank 0; {fix}",
            host.trim_end_matches('\0')
        )))
    }

    /// Tells the other ranks that this one failed and ends, so that they end too. A launcher kills them.
    pub fn abort(&self) {
        if let Group::Host(engine) = self {
            engine.abort();
        }
    }

    fn fault(&self, detail: String) -> Error {
        let Share { rank, ranks } = self.share();
        Error::Run(format!("rank {rank} of {ranks} on {}: {detail}", host_name()))
    }
}

/// Adds the parts of all ranks, concatenated in `parts`, in rank order.
fn sum_parts<E: Real>(parts: &[E], sums: &mut [E]) {
    /// Elements of a task: their addends of a few ranks fit in a second-level cache.
    const CHUNK: usize = 16 * 1024;
    let part = sums.len();
    // ANCHOR: parts
    sums.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, sums)| {
        let at = chunk * CHUNK;
        let mut total = vec![0.0; sums.len()];
        for addends in parts.chunks_exact(part) {
            total.iter_mut().zip(&addends[at..]).for_each(|(total, addend)| *total += addend.widen());
        }
        sums.iter_mut().zip(&total).for_each(|(sum, &total)| *sum = E::narrow(total));
    });
    // ANCHOR_END: parts
}
