use crate::small_run::{Part, State};

/// Which part of a checkpoint is wrong. The run has this seed. A part with the right bits is right.
pub fn wrong_part(seed: u64, checkpoint: &State) -> Part {
    // The uninterrupted run has the bits that the checkpoint should have.
    let mut run = State::new(seed);
    while run.step < checkpoint.step {
        run.advance(seed);
    }
    let are_equal = [
        run.weights == checkpoint.weights,
        run.velocity == checkpoint.velocity,
        run.statistics == checkpoint.statistics,
    ];
    match are_equal {
        [true, true, true] => Part::Complete,
        [false, true, true] => Part::RoundedWeights,
        [true, false, true] => Part::Velocity,
        [true, true, false] => Part::Statistics,
        // All parts are of another step: the number is wrong.
        _ => Part::Step,
    }
}
