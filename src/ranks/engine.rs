//! The engine of a group: it moves bytes between ranks.

use super::Share;
use crate::Result;
use std::fmt::Debug;

/// Data movement between ranks in host memory. Every function is a collective. `what` names it in errors.
pub trait Engine: Debug + Send + Sync {
    /// The number of this rank, and of all ranks.
    fn share(&self) -> Share;

    /// The library beneath, in words, which is the same on all ranks.
    fn library(&self) -> String;

    /// Gathers `own` of each rank, in rank order, in `all`.
    ///
    /// # Errors
    /// A rank that failed or does not answer.
    fn all_gather(&self, what: &'static str, own: &[u8], all: &mut [u8]) -> Result<()>;

    /// Sends part r of `from` to rank r; part r of `to` comes from rank r. All parts have the same size.
    ///
    /// # Errors
    /// As [`Engine::all_gather`].
    fn all_to_all(&self, what: &'static str, from: &[u8], to: &mut [u8]) -> Result<()>;

    /// Copies `values` of rank 0 to all ranks.
    ///
    /// # Errors
    /// As [`Engine::all_gather`].
    fn broadcast(&self, what: &'static str, values: &mut [u8]) -> Result<()>;

    /// Ends all ranks.
    fn abort(&self);
}
