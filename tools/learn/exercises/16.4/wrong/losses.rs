// Expect: the answer is Complete instead of Statistics
use crate::small_run::{Part, State};

pub fn wrong_part(seed: u64, checkpoint: &State) -> Part {
    let mut run = State::new(seed);
    while run.step < checkpoint.step {
        run.advance(seed);
    }
    // Resumed, and compared by the losses.
    let mut losses = |weights, velocity| {
        let mut state = State { weights, velocity, ..run.clone() };
        [(); 3].map(|()| state.advance(seed))
    };
    let right = losses(run.weights, run.velocity);
    let [new_weights, new_velocity, both] = [
        losses(checkpoint.weights, run.velocity),
        losses(run.weights, checkpoint.velocity),
        losses(checkpoint.weights, checkpoint.velocity),
    ]
    .map(|found| found != right);
    match [new_weights, new_velocity] {
        [false, false] if !both => Part::Complete,
        [true, false] => Part::RoundedWeights,
        [false, true] => Part::Velocity,
        _ => Part::Step,
    }
}
