use crate::philox::philox4x32;

/// The image at `place` of the order of `epoch`: an element of a permutation of 0 to n - 1, for a place below n.
pub fn image(seed: u64, epoch: u32, n: u32, place: u32) -> u32 {
    let _ = philox4x32;
    todo!("place {place} of {n} in epoch {epoch} of seed {seed}")
}
