use crate::answer::{resume, store};
use crate::checks::*;
use crate::run::Run;

const STEPS: u64 = 20;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn after(weights: usize, seed: u64, steps: u64) -> Run {
    let mut run = Run::new(weights, seed);
    (0..steps).for_each(|_| run.step());
    run
}

/// Says what the resumed run lost, if the reason is one of the fields.
fn lost(stopped: &Run, resumed: &Run) -> &'static str {
    if bits(&resumed.weights) != bits(&stopped.weights) {
        "the weights of the checkpoint have other bits than those of the run"
    } else if bits(&resumed.means) != bits(&stopped.means) || bits(&resumed.squares) != bits(&stopped.squares)
    {
        "the moments of the checkpoint have other bits than those of the run"
    } else if resumed.step != stopped.step {
        "the number of the step is another one: the bias correction, the learning rate and the batches depend on it"
    } else if resumed.seed != stopped.seed {
        "the seed is another one: the batches are not those of the run"
    } else {
        "all fields are those of the run: was another run changed on the way?"
    }
}

fn one(weights: usize, seed: u64, stop: u64) -> Finding {
    let stopped = after(weights, seed, stop);
    let checkpoint = store(&stopped);
    // Another checkpoint in between: all of the run is in its bytes.
    store(&after(weights + 1, !seed, 1));
    let mut run = resume(&checkpoint).ok_or_else(|| format!("n = {weights}, step {stop}: no run"))?;
    let why = lost(&stopped, &run);
    that([&run.weights, &run.means, &run.squares].iter().all(|values| values.len() == weights), || {
        format!(
            "{} weights, {} means and {} mean squares instead of {weights} of each",
            run.weights.len(),
            run.means.len(),
            run.squares.len()
        )
    })?;
    (stop..STEPS).for_each(|_| run.step());
    let whole = after(weights, seed, STEPS);
    that(bits(&run.weights) == bits(&whole.weights), || {
        let largest = run.weights.iter().zip(&whole.weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        format!("stopped after step {stop} of {STEPS}, the weights differ by up to {largest:e}: {why}")
    })?;
    // Behind the last step nothing but the fields shows what is lost.
    that(stop < STEPS || why.starts_with("all fields"), || format!("stopped after step {stop}: {why}"))
}

pub fn grade(checks: &mut Checks) {
    for (weights, seed) in [(1, 1), (5, u64::MAX), (40, 7)] {
        checks.check(&format!("n = {weights}, stopped after each step"), || {
            (0..=STEPS).try_for_each(|stop| one(weights, seed, stop))
        });
    }
    checks.check("numbers that a text may lose", || {
        let mut run = Run::new(6, 3);
        run.weights = vec![-0.0, f32::MIN_POSITIVE / 4.0, f32::NAN, f32::NEG_INFINITY, 0.1, f32::MAX];
        run.step = (1 << 60) + 1;
        let resumed = resume(&store(&run)).ok_or("no run")?;
        that(bits(&resumed.weights) == bits(&run.weights) && resumed.step == run.step, || {
            format!(
                "weights {:?}, step {} became {:?}, step {}",
                run.weights, run.step, resumed.weights, resumed.step
            )
        })
    });
    checks.check("parts of a checkpoint", || {
        let checkpoint = store(&after(3, 5, 4));
        for len in 0..checkpoint.len() {
            that(resume(&checkpoint[..len]).is_none(), || {
                format!("{len} of {} bytes are taken for a whole checkpoint", checkpoint.len())
            })?;
        }
        let more = [&checkpoint[..], &checkpoint[..]].concat();
        that(resume(&more).is_none(), || "two checkpoints in a row are taken for one".into())
    });
}
