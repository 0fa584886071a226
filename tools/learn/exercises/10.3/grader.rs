//! Adam, computed in f64 as the formulas of the chapter are written.

use crate::answer::{Solver, adam};
use crate::checks::*;

/// Errors that are recognised by their results.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Right,
    NoCorrection,
    MeanAlone,
    SquareAlone,
    NextStep,
    CorrectionInF32,
    ShareInF32,
    BothInF32,
    EpsilonInRoot,
    EpsilonUncorrected,
    PenaltyInBoth,
    DecayOfGradient,
    DecayBeside,
    DecayWithoutRate,
    DecayBehindStep,
}

const LOST_DIGITS: &str = "1 - beta2 or 1 - beta2^t has lost its digits: subtract in f64";

const FORMS: [(Form, &str); 14] = [
    (
        Form::NoCorrection,
        "that is Adam without the bias correction: divide m by 1 - beta1^t, v by 1 - beta2^t",
    ),
    (Form::MeanAlone, "m is corrected and v is not: divide v by 1 - beta2^t"),
    (Form::SquareAlone, "v is corrected and m is not: divide m by 1 - beta1^t"),
    (Form::NextStep, "the correction takes t + 1: t is 1 in the first step"),
    (Form::CorrectionInF32, LOST_DIGITS),
    (Form::ShareInF32, LOST_DIGITS),
    (Form::BothInF32, LOST_DIGITS),
    (Form::EpsilonInRoot, "epsilon is under the root; it is added to the root of v^"),
    (
        Form::EpsilonUncorrected,
        "epsilon is added to the root of v, before the correction (Caffe's place); it is added to the root of v^",
    ),
    (Form::PenaltyInBoth, "the decay is a part of the gradient and beside the step; it is one of both"),
    (
        Form::DecayOfGradient,
        "that is the L2 penalty, through m and v; the decoupled decay is w = (1 - r d) w",
    ),
    (Form::DecayBeside, "that is the decoupled decay; the L2 penalty is g' = g + d w, and enters m and v"),
    (Form::DecayWithoutRate, "the decoupled decay lacks the learning rate: w = (1 - r d) w"),
    (Form::DecayBehindStep, "the step is decayed too; the decay multiplies the weight from before the step"),
];

struct Case {
    solver: Solver,
    /// The learning rate, and that of the second half of the steps.
    rates: [f32; 2],
    steps: usize,
    /// The size of the gradients.
    size: f32,
    /// Whether the gradient is the same in all steps.
    constant: bool,
}

struct State {
    w: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
}

impl State {
    fn new(w: &[f32]) -> Self {
        let zeros = vec![0.0; w.len()];
        State { w: w.iter().map(|w| f64::from(*w)).collect(), m: zeros.clone(), v: zeros }
    }

    fn step(&mut self, g: &[f32], rate: f64, t: i32, solver: &Solver, form: Form) {
        let (d, epsilon) = (f64::from(solver.weight_decay), f64::from(solver.epsilon));
        let (beta1, beta2) = (solver.beta1, solver.beta2);
        let is_penalty = match form {
            Form::PenaltyInBoth | Form::DecayOfGradient => true,
            Form::DecayBeside => false,
            _ => !solver.decoupled,
        };
        let is_beside = match form {
            Form::PenaltyInBoth | Form::DecayBeside => true,
            Form::DecayOfGradient => false,
            _ => solver.decoupled,
        };
        for (i, g) in g.iter().enumerate() {
            let own = f64::from(*g) + if is_penalty { d * self.w[i] } else { 0.0 };
            let share = |beta: f64| match form {
                Form::ShareInF32 | Form::BothInF32 => f64::from(1.0 - beta as f32),
                _ => 1.0 - beta,
            };
            let (m, v) =
                (beta1 * self.m[i] + share(beta1) * own, beta2 * self.v[i] + share(beta2) * own * own);
            (self.m[i], self.v[i]) = (m, v);
            let [c1, c2] = [beta1, beta2].map(|beta| match form {
                Form::NoCorrection => 1.0,
                Form::CorrectionInF32 | Form::BothInF32 => f64::from(1.0 - (beta as f32).powi(t)),
                _ => 1.0 - beta.powi(t),
            });
            let [c1, c2] = match form {
                Form::MeanAlone => [c1, 1.0],
                Form::SquareAlone => [1.0, c2],
                Form::NextStep => [beta1, beta2].map(|beta| 1.0 - beta.powi(t + 1)),
                _ => [c1, c2],
            };
            let root = match form {
                Form::EpsilonInRoot => (v / c2 + epsilon).sqrt(),
                Form::EpsilonUncorrected => (v.sqrt() + epsilon) / c2.sqrt(),
                _ => (v / c2).sqrt() + epsilon,
            };
            let step = rate * (m / c1) / root;
            let factor = if form == Form::DecayWithoutRate { 1.0 - d } else { 1.0 - rate * d };
            self.w[i] = match form {
                _ if !is_beside => self.w[i] - step,
                Form::DecayBehindStep => factor * (self.w[i] - step),
                _ => factor * self.w[i] - step,
            };
        }
    }
}

const N: usize = 9;

impl Case {
    fn gradients(&self) -> Vec<Vec<f32>> {
        let mut numbers = Numbers::new(103);
        let first = numbers.many_f32(N);
        (0..self.steps)
            .map(|_| if self.constant { first.clone() } else { numbers.many_f32(N) })
            .map(|g| g.iter().map(|g| self.size * g).collect())
            .collect()
    }

    fn rate(&self, step: usize) -> f32 {
        self.rates[usize::from(2 * step >= self.steps)]
    }

    /// The states after all steps.
    fn want(&self, w: &[f32], form: Form) -> Vec<State> {
        let mut state = State::new(w);
        let mut all = Vec::new();
        for (step, g) in self.gradients().iter().enumerate() {
            state.step(g, f64::from(self.rate(step)), step as i32 + 1, &self.solver, form);
            all.push(State { w: state.w.clone(), m: state.m.clone(), v: state.v.clone() });
        }
        all
    }

    fn grade(&self) -> Finding {
        let start: Vec<f32> = (0..N).map(|i| 0.25 * i as f32 - 1.0).collect();
        let (mut w, mut m, mut v) = (start.clone(), vec![0.0; N], vec![0.0; N]);
        let mut got = Vec::new();
        for (step, g) in self.gradients().iter().enumerate() {
            adam(&mut w, &mut m, &mut v, g, self.rate(step), step as u32 + 1, &self.solver);
            got.push([w.clone(), m.clone(), v.clone()]);
        }
        let right = self.want(&start, Form::Right);
        // The sizes of m and v are those of the gradients (with the penalty in them), and of their squares.
        let decay = if self.solver.decoupled { 0.0 } else { self.solver.weight_decay };
        let size = f64::from(self.size + decay).max(f64::MIN_POSITIVE);
        let found = got.iter().zip(&right).enumerate().try_for_each(|(step, (got, want))| {
            let scaled = |values: &[f32], size: f64| -> Vec<f64> {
                values.iter().map(|value| f64::from(*value) / size).collect()
            };
            let scaled_want = |values: &[f64], size: f64| values.iter().map(|v| v / size).collect::<Vec<_>>();
            close("w", &got[0], &want.w, TOLERANCE)
                .and_then(|()| {
                    close("m / its size", &scaled(&got[1], size), &scaled_want(&want.m, size), TOLERANCE)
                })
                .and_then(|()| {
                    let size = size * size;
                    close("v / its size", &scaled(&got[2], size), &scaled_want(&want.v, size), TOLERANCE)
                })
                .map_err(|found| format!("step {}: {found}", step + 1))
        });
        found.map_err(|found| {
            let is = |form: Form| {
                self.want(&start, form)
                    .iter()
                    .zip(&got)
                    .all(|(want, got)| close("", &got[0], &want.w, TOLERANCE).is_ok())
            };
            let why = FORMS.into_iter().find(|(form, _)| is(*form)).map(|(_, why)| why);
            let Solver { beta1, beta2, epsilon, weight_decay, .. } = self.solver;
            format!(
                "betas {beta1} and {beta2}, epsilon {epsilon:e}, weight decay {weight_decay}, gradients of size \
                 {:e}: {}",
                self.size,
                why.unwrap_or(&found)
            )
        })
    }
}

/// For weights of size 1, after hundreds of steps in f32.
const TOLERANCE: f64 = 5e-5;

pub fn grade(checks: &mut Checks) {
    let solver = |beta1, beta2, epsilon, weight_decay, decoupled| Solver {
        beta1,
        beta2,
        epsilon,
        weight_decay,
        decoupled,
    };
    let plain = |beta1, beta2, epsilon| solver(beta1, beta2, epsilon, 0.0, false);
    let case = |solver, rates, size, constant| Case { solver, rates, steps: 300, size, constant };
    checks.check("the moments and their correction", || {
        case(plain(0.9, 0.999, 1e-8), [0.01, 0.001], 1.0, false).grade()?;
        case(plain(0.9, 0.999, 1e-8), [0.01, 0.01], 1e-3, true).grade()?;
        case(plain(0.5, 0.9, 1e-8), [0.02, 0.002], 100.0, false).grade()?;
        case(plain(0.0, 0.99, 1e-8), [0.01, 0.01], 1.0, false).grade()?;
        // A weight without a gradient stays: 0 is divided by epsilon.
        case(plain(0.9, 0.999, 1e-8), [0.01, 0.01], 0.0, true).grade()
    });
    checks.check("1 - beta is small", || {
        case(plain(0.9, 0.999999, 1e-8), [0.1, 0.1], 1.0, false).grade()?;
        case(plain(0.99, 0.9999, 1e-8), [0.1, 0.01], 1.0, true).grade()
    });
    checks.check("the place of epsilon", || {
        case(plain(0.9, 0.999, 1e-3), [0.02, 0.02], 1e-3, true).grade()?;
        case(plain(0.9, 0.99, 0.1), [0.1, 0.01], 1.0, false).grade()
    });
    checks.check("the decay as an L2 penalty", || {
        case(solver(0.9, 0.999, 1e-8, 0.1, false), [0.01, 0.01], 1.0, false).grade()?;
        case(solver(0.9, 0.99, 1e-3, 0.5, false), [0.01, 0.001], 1e-2, true).grade()
    });
    checks.check("the decay beside the step", || {
        case(solver(0.9, 0.999, 1e-8, 0.1, true), [0.01, 0.001], 1.0, false).grade()?;
        case(solver(0.9, 0.99, 1e-8, 0.5, true), [0.1, 0.1], 1.0, true).grade()
    });
}
