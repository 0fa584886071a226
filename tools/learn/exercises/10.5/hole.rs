use crate::run::Run;

/// The bytes of a checkpoint: with them the run can go on.
pub fn store(run: &Run) -> Vec<u8> {
    todo!("store what the next step of the run needs, {} weights and more", run.weights.len())
}

/// The run of a checkpoint. `None` if it is not a whole checkpoint: a part of one, or more than one.
pub fn resume(checkpoint: &[u8]) -> Option<Run> {
    todo!("read {} bytes", checkpoint.len())
}
