use crate::answer::wrong_part;
use crate::checks::*;
use crate::small_run::{Part, State};

/// The state of a run after so many steps.
fn after(seed: u64, steps: u64) -> State {
    let mut state = State::new(seed);
    (0..steps).for_each(|_| drop(state.advance(seed)));
    state
}

/// The number of bf16 nearest to a finite weight; here none is near a tie.
fn narrow(w: f32) -> f32 {
    f32::from_bits((w.to_bits() + 0x8000) & 0xffff_0000)
}

/// Checkpoints after so many steps, with what was done to them and the part that was meant.
fn checkpoints(seed: u64, steps: u64) -> Vec<(&'static str, Part, State)> {
    let (now, first) = (after(seed, steps), State::new(seed));
    let before = after(seed, steps.saturating_sub(1));
    vec![
        ("complete", Part::Complete, now.clone()),
        ("velocity of 0", Part::Velocity, State { velocity: [0.0; 4], ..now.clone() }),
        ("velocity of the step before", Part::Velocity, State { velocity: before.velocity, ..now.clone() }),
        ("statistics of 0", Part::Statistics, State { statistics: first.statistics, ..now.clone() }),
        (
            "statistics of the step before",
            Part::Statistics,
            State { statistics: before.statistics, ..now.clone() },
        ),
        ("a step number of 0", Part::Step, State { step: 0, ..now.clone() }),
        ("the step number of the step before", Part::Step, State { step: before.step, ..now.clone() }),
        (
            "weights of 16 bits",
            Part::RoundedWeights,
            State { weights: now.weights.map(narrow), ..now.clone() },
        ),
    ]
}

fn hint(part: Part) -> &'static str {
    match part {
        Part::Complete => "each part has the bits of the uninterrupted run",
        Part::Velocity => "the velocity is not that of the uninterrupted run, and the next step reads it",
        Part::Statistics => "the losses of the next steps do not read the running means, the evaluation does",
        Part::Step => "all other parts are those of one later step",
        Part::RoundedWeights => "the lower halves of the weights are lost; compare bits, without a tolerance",
    }
}

pub fn grade(checks: &mut Checks) {
    for steps in [0, 1, 2, 7, 40] {
        checks.check(&format!("checkpoints after {steps} steps"), || {
            for seed in 1..=8 {
                let right = after(seed, steps);
                for (what, meant, checkpoint) in checkpoints(seed, steps) {
                    // Before the first step a velocity of 0 is right.
                    let want = if checkpoint == right { Part::Complete } else { meant };
                    let got = wrong_part(seed, &checkpoint);
                    that(got == want, || {
                        format!(
                            "seed {seed}, after {steps} steps, {what}: the answer is {got:?} instead of {want:?}; {}",
                            hint(want)
                        )
                    })?;
                }
            }
            Ok(())
        });
    }
}
