use crate::small_run::{Part, State};

/// Which part of a checkpoint is wrong. The run has this seed. A part with the right bits is right.
pub fn wrong_part(seed: u64, checkpoint: &State) -> Part {
    let start = State::new(seed);
    todo!("from {start:?} to {checkpoint:?}")
}
