//! The schedule: learning rates and the weight of the batch-contrastive loss in each step.
//!
//! Book: [chapter 1](../../../../../docs/book/src/01-one-step.md).

use super::rounds;
use crate::config::{CenterRate, Config, Schedule, Solver};

/// The names of the solver's scalars in [`crate::autograd::StepValues`].
pub const SCALARS: [&str; 3] = [LR, LAMBDA, CENTER_RATE];
/// Learning rate of the weights.
pub const LR: &str = "lr";
/// Lambda of equation (9), the weight of the batch-contrastive loss.
pub const LAMBDA: &str = "lambda";
/// Learning rate of the class centers.
pub const CENTER_RATE: &str = "center_rate";

/// The scheduled values of a step, on the host; [`crate::autograd::StepValues`] holds them on the device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheduled {
    /// Learning rate of the weights.
    pub lr: f32,
    /// Weight of the batch-contrastive loss.
    pub lambda: f32,
    /// Learning rate of the centers.
    pub center_rate: f32,
}

impl Scheduled {
    /// The values with their names, in the order of [`SCALARS`].
    pub fn scalars(&self) -> [(&'static str, f32); 3] {
        [(LR, self.lr), (LAMBDA, self.lambda), (CENTER_RATE, self.center_rate)]
    }
}

/// The values of step `step`, counted from 0. A ramp of n iterations takes the values 1/n, 2/n, ..., 1; that of the
/// learning rate may have a start s instead: s, s + (1 - s) / n, s + 2 (1 - s) / n, ..., and 1 from iteration n on.
pub fn at(config: &Config, step: u64) -> Scheduled {
    let ramp = |length: u64| if step < length { (step + 1) as f32 / length as f32 } else { 1.0 };
    let solver = &config.solver;
    let warm = match solver.lr_warmup_start {
        Some(start) if step < solver.lr_warmup => {
            start + (1.0 - start) * (step as f32 / solver.lr_warmup as f32)
        }
        _ => ramp(solver.lr_warmup),
    };
    let lr = rounds::lr(solver, step).unwrap_or_else(|| solver.lr * decay(solver, step) * warm);
    let lambda = config.loss.batch_contrastive.weight * ramp(config.loss.batch_contrastive.warmup);
    let center_rate = match config.loss.batch_contrastive.center_rate {
        CenterRate::Tied => lr,
        CenterRate::Fixed(rate) => rate,
    };
    Scheduled { lr, lambda, center_rate }
}

/// The factor of the learning rate at step `step`, without the warm-up. The schedules that end are computed in f64.
fn decay(solver: &Solver, step: u64) -> f32 {
    // The share of the way from the flat start to the end: step `iterations`, the one behind the last.
    let length = solver.iterations.saturating_sub(solver.lr_flat).max(1);
    let way = step.saturating_sub(solver.lr_flat) as f64 / length as f64;
    let end = |default: f64| solver.lr_end.map_or(default, |end| f64::from(end) / f64::from(solver.lr));
    match solver.schedule {
        Schedule::Steps => {
            let drops = solver.lr_milestones.iter().filter(|&&drop| step >= drop).count();
            solver.lr_gamma.powi(drops as i32)
        }
        Schedule::Cosine => {
            let end = end(0.0);
            (end + (1.0 - end) * 0.5 * (1.0 + (std::f64::consts::PI * way).cos())) as f32
        }
        Schedule::Exponential => end(1e-3).powf(way) as f32,
    }
}

/// Warnings about settings of the schedule that take effect only after the last iteration.
pub fn ineffective(config: &Config) -> Vec<String> {
    let (solver, loss) = (&config.solver, &config.loss);
    let iterations = solver.iterations;
    let mut warnings = Vec::new();
    let late: Vec<u64> = solver.lr_milestones.iter().copied().filter(|drop| *drop >= iterations).collect();
    let has_rounds = !solver.svd_lr.is_empty();
    if solver.schedule == Schedule::Steps && !late.is_empty() && !has_rounds {
        let kept = solver.lr_milestones.len() - late.len();
        let numbers = |list: &[u64]| list.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        warnings.push(format!(
            "solver.lr_milestones: {} {} beyond the last of {iterations} iterations, so the learning rate {}; give \
             earlier milestones (or [] for a constant rate), or more solver.iterations",
            numbers(&late),
            if late.len() == 1 { "lies" } else { "lie" },
            match kept {
                0 => "never falls".to_string(),
                kept => format!("falls only at {}", numbers(&solver.lr_milestones[..kept])),
            }
        ));
    }
    let last = at(config, iterations.saturating_sub(1));
    // Rounds have rates of their own.
    let end = if has_rounds { solver.svd_start.min(iterations) } else { iterations };
    let ramps = [
        (
            "loss.batch_contrastive.warmup",
            loss.batch_contrastive.warmup,
            "loss.batch_contrastive.weight",
            loss.batch_contrastive.weight,
            (iterations, last.lambda),
        ),
        (
            "solver.lr_warmup",
            solver.lr_warmup,
            "solver.lr",
            solver.lr,
            (end, at(config, end.saturating_sub(1)).lr),
        ),
    ];
    for (key, length, of, full, (end, reached)) in ramps {
        if length <= end || full <= 0.0 || end == 0 {
            continue;
        }
        let (run, more) = match end < iterations {
            true => ("the iterations before the first round", "solver.svd_start"),
            false => ("the run", "solver.iterations"),
        };
        warnings.push(format!(
            "{key}: the ramp of {length} is longer than {run}, {end}, so {of} ends at {reached} instead of {full}; give a \
             shorter ramp or more {more}"
        ));
    }
    let solver = &config.solver;
    if !solver.freeze.is_empty() && solver.freeze_iterations >= iterations {
        warnings.push(format!(
            "solver.freeze_iterations: {} is not below the {iterations} iterations of the run, so the parameters of \
             solver.freeze are never trained; 0 says so",
            solver.freeze_iterations
        ));
    }
    warnings.extend(ineffective_in_rounds(solver));
    let (every, patience) = (config.run.eval_every, config.run.patience);
    if every > iterations {
        warnings.push(format!(
            "run.eval_every: {every} is more than the {iterations} iterations of the run, so the network is never \
             evaluated; give a smaller number"
        ));
    } else if every > 0 && !iterations.is_multiple_of(every) {
        warnings.push(format!(
            "run.eval_every: {iterations} iterations are no multiple of {every}, so the last evaluation is after {}, and \
             the result is not evaluated",
            iterations - iterations % every
        ));
    }
    if every > 0 && patience > iterations / every {
        warnings.push(format!(
            "run.patience: the run has {} evaluations, fewer than {patience}, and so never ends early",
            iterations / every
        ));
    }
    warnings
}

/// Warnings about the rounds of `solver.svd_lr`, and about rates that they replace.
fn ineffective_in_rounds(solver: &Solver) -> Vec<String> {
    let Some(last) = rounds::last_decomposition(solver) else { return Vec::new() };
    let (start, iterations) = (solver.svd_start, solver.iterations);
    let length = solver.svd_restraint + solver.svd_relaxation;
    let mut warnings = Vec::new();
    if last >= iterations {
        let done = iterations.saturating_sub(start).div_ceil(length);
        warnings.push(format!(
            "solver.svd_lr: the run of {iterations} iterations does {done} of {} rounds, which begin at {start} and every \
             {length} iterations; give fewer rates, or more solver.iterations",
            solver.svd_lr.len()
        ));
    }
    if let Some(late) = solver.lr_milestones.iter().find(|&&drop| drop >= start) {
        warnings.push(format!(
            "solver.lr_milestones: {late} lies after the first {start} iterations, and the rounds of solver.svd_lr have \
             rates of their own; give solver.svd_lr_milestones"
        ));
    }
    let longest = solver.svd_restraint.max(match last < iterations {
        true => solver.svd_relaxation.max(iterations.saturating_sub(last + solver.svd_restraint)),
        false => solver.svd_relaxation,
    });
    if let Some(late) = solver.svd_lr_milestones.iter().find(|&&drop| drop >= longest) {
        warnings.push(format!(
            "solver.svd_lr_milestones: {late} lies beyond the end of every restraint and relaxation; they count from the \
             first iteration of each"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_effect_after_the_end_is_told() {
        let mut config = Config::default();
        assert!(ineffective(&config).is_empty());
        config.solver.iterations = 40_000;
        let told = ineffective(&config);
        assert!(
            told.len() == 1 && told[0].contains("40000 lies beyond") && told[0].contains("only at 20000"),
            "{told:?}"
        );
        config.solver.iterations = 200;
        config.loss.batch_contrastive.warmup = 400;
        config.solver.lr_warmup = 201;
        let told = ineffective(&config).join("\n");
        for words in [
            "20000, 40000 lie beyond",
            "never falls",
            "loss.batch_contrastive.weight ends at 0.5 instead of 1",
            "solver.lr_warmup: ",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        // The last step of a ramp as long as the run has the full value, and a weight of 0 needs none.
        config.solver.lr_milestones = vec![199];
        config.solver.lr_warmup = 200;
        config.loss.batch_contrastive.weight = 0.0;
        assert!(ineffective(&config).is_empty());
    }

    #[test]
    fn rounds_have_their_own_rates_and_late_ones_are_told() {
        let mut config = Config::default();
        let solver = &mut config.solver;
        (solver.svd_lr, solver.lr_milestones) = (vec![2e-3, 3e-4], vec![10_000]);
        (solver.svd_lr_milestones, solver.iterations) = (vec![5_000], 57_000);
        assert!(ineffective(&config).is_empty(), "{:?}", ineffective(&config));
        for (step, lr) in [
            (9_999, 1e-2),
            (24_999, 1e-3),
            (25_000, 2e-3),
            (30_000, 2e-4),
            (33_000, 2e-3),
            (41_000, 3e-4),
            (56_999, 3e-5),
        ] {
            assert!((at(&config, step).lr / lr - 1.0).abs() < 1e-6, "{step}: {}", at(&config, step).lr);
        }
        config.solver.iterations = 41_000;
        config.solver.lr_milestones = vec![10_000, 30_000];
        config.solver.svd_lr_milestones = vec![5_000, 9_000];
        let told = ineffective(&config);
        for (told, words) in
            told.iter().zip(["does 1 of 2 rounds", "30000 lies after the first", "9000 lies"])
        {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_eq!(told.len(), 3, "{told:?}");
        // A warm-up that the first round cuts off.
        let solver = &mut config.solver;
        (solver.lr_milestones, solver.svd_lr_milestones, solver.iterations) = (vec![], vec![], 57_000);
        (solver.svd_start, solver.lr_warmup) = (25_000, 30_000);
        let told = ineffective(&config);
        assert!(
            told.len() == 1 && told[0].contains("the iterations before the first round, 25000"),
            "{told:?}"
        );
        assert!(
            told[0].contains("more solver.svd_start") && !told[0].contains("instead of 0.002"),
            "{told:?}"
        );
    }

    #[test]
    fn the_papers_learning_rate_drops_every_20k() {
        let config = Config::default();
        for (step, lr) in [(0, 1e-2), (19_999, 1e-2), (20_000, 1e-3), (39_999, 1e-3), (40_000, 1e-4)] {
            assert!((at(&config, step).lr / lr - 1.0).abs() < 1e-6, "step {step}");
        }
        assert_eq!(at(&config, 0).lambda, 1.0);
        assert_eq!(at(&config, 0).center_rate, 0.5);
    }

    #[test]
    fn cosine_and_exponential_fall_behind_a_flat_start() {
        let mut config = Config::default();
        let solver = &mut config.solver;
        (solver.lr, solver.iterations, solver.lr_flat) = (0.1, 100, 20);
        solver.schedule = Schedule::Cosine;
        let lr = |config: &Config, step| f64::from(at(config, step).lr);
        let close = |ours: f64, right: f64| assert!((ours - right).abs() <= 1e-6 * right, "{ours}, {right}");
        for (end, middle) in [(None, 0.05), (Some(0.02), 0.06)] {
            config.solver.lr_end = end;
            (0..=20).for_each(|step| close(lr(&config, step), 0.1));
            close(lr(&config, 60), middle);
            assert!((21..100).all(|step| lr(&config, step) < lr(&config, step - 1)));
            assert!(lr(&config, 99) > f64::from(end.unwrap_or(0.0)));
        }
        config.solver.schedule = Schedule::Exponential;
        close(lr(&config, 60), (0.1f64 * 0.02).sqrt());
        // TriNet: a thousandth at the end of the run, a tenth after a third of the way.
        config.solver.lr_end = None;
        config.solver.lr_flat = 10;
        close(lr(&config, 40), 0.01);
        close(lr(&config, 99), 0.1 * 1e-3f64.powf(89.0 / 90.0));
    }

    #[test]
    fn a_warm_up_may_start_above_0() {
        let mut config = Config::default();
        (config.solver.lr_warmup, config.solver.lr_warmup_start) = (4, Some(0.2));
        let close = |step, right: f32| assert!((at(&config, step).lr / right - 1.0).abs() < 1e-6, "{step}");
        for (step, right) in [(0, 0.002), (1, 0.004), (3, 0.008), (4, 0.01), (5, 0.01)] {
            close(step, right);
        }
    }

    #[test]
    fn ramps_reach_their_end_and_tied_centers_follow_the_rate() {
        let mut config = Config::default();
        config.solver.lr_warmup = 4;
        config.loss.batch_contrastive.warmup = 2;
        config.loss.batch_contrastive.center_rate = CenterRate::Tied;
        let values: Vec<_> = (0..5).map(|s| at(&config, s)).collect();
        assert_eq!(values[0].lr, 0.0025);
        assert_eq!(values[3].lr, 0.01);
        assert_eq!(values[4].lr, 0.01);
        assert_eq!([values[0].lambda, values[1].lambda, values[2].lambda], [0.5, 1.0, 1.0]);
        assert_eq!(values[0].center_rate, 0.0025);
    }
}
