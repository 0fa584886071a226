// Expect: the weights of the checkpoint have other bits
use crate::run::Run;

/// The bytes of a checkpoint: with them the run can go on.
pub fn store(run: &Run) -> Vec<u8> {
    let line =
        |values: &[f32]| values.iter().map(|value| format!("{value:.6}")).collect::<Vec<_>>().join(" ");
    let lines = [line(&run.weights), line(&run.means), line(&run.squares)].join("\n");
    format!("{lines}\n{} {}\n", run.step, run.seed).into_bytes()
}

/// The run of a checkpoint. `None` if it is not a whole checkpoint: a part of one, or more than one.
pub fn resume(checkpoint: &[u8]) -> Option<Run> {
    let text = std::str::from_utf8(checkpoint).ok()?.strip_suffix('\n')?;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let [weights, means, squares, last] = &lines[..] else { return None };
    let values = |words: &[&str]| words.iter().map(|word| word.parse().ok()).collect::<Option<Vec<f32>>>();
    let [step, seed] = &last[..] else { return None };
    Some(Run {
        weights: values(weights)?,
        means: values(means)?,
        squares: values(squares)?,
        step: step.parse().ok()?,
        seed: seed.parse().ok()?,
    })
}
