// Expect: the answer is RoundedWeights instead of Step
use crate::small_run::{Part, State};

pub fn wrong_part(seed: u64, checkpoint: &State) -> Part {
    let mut run = State::new(seed);
    while run.step < checkpoint.step {
        run.advance(seed);
    }
    if run.weights != checkpoint.weights {
        Part::RoundedWeights
    } else if run.velocity != checkpoint.velocity {
        Part::Velocity
    } else if run.statistics != checkpoint.statistics {
        Part::Statistics
    } else {
        Part::Complete
    }
}
