//! Runs whose distances are made up, and a watch that keeps the last 50 values.

use crate::answer::collapsed_at;
use crate::checks::*;
use std::collections::VecDeque;

fn want(inter: &[Option<f64>], tau: f64) -> Option<usize> {
    let mut last = VecDeque::new();
    for (step, value) in inter.iter().enumerate() {
        let Some(value) = value else { continue };
        last.push_back(*value);
        if last.len() > 50 {
            last.pop_front();
        }
        if last.len() == 50 && last.iter().sum::<f64>() < 50.0 * 0.2 * tau.sqrt() {
            return Some(step);
        }
    }
    None
}

/// The distances of a run: `shape` of the step, times sqrt(tau), with noise; some steps have no negative pair.
fn run(steps: usize, tau: f64, gaps: bool, shape: impl Fn(f64) -> f64) -> Vec<Option<f64>> {
    let mut numbers = Numbers::new(steps as u64);
    (0..steps)
        .map(|step| {
            let value = shape(step as f64) * tau.sqrt() * (1.0 + 0.1 * numbers.uniform());
            let is_gap = gaps && numbers.below(4) == 0;
            (!is_gap).then_some(value)
        })
        .collect()
}

fn one(inter: &[Option<f64>], tau: f64, collapses: bool) -> Finding {
    let (got, want) = (collapsed_at(inter, tau), want(inter, tau));
    assert_eq!(want.is_some(), collapses, "the grader's run is another one than its name says");
    let told = |at: Option<usize>| at.map_or("healthy".into(), |step| format!("collapsed at step {step}"));
    that(got == want, || {
        let seen = got.map(|got| inter.iter().take(got.saturating_add(1)).flatten().count());
        let why = match (seen, want) {
            (Some(seen), _) if seen < 50 => format!("; values until then: {seen}, and 50 are needed"),
            (Some(_), Some(want)) if got > Some(want) => "; it is below the limit earlier".into(),
            (Some(_), _) => {
                "; the mean of the last 50 values is not below 0.2 sqrt(tau) there, and steps without a \
                             negative pair have no value"
                    .into()
            }
            (None, _) => "; the limit is 0.2 sqrt(tau), a distance".into(),
        };
        format!("tau {tau}, {} steps: {} instead of {}{why}", inter.len(), told(got), told(want))
    })
}

pub fn grade(checks: &mut Checks) {
    type Shape = fn(f64) -> f64;
    let runs: [(&str, usize, bool, Shape, bool); 8] = [
        ("a run that collapses", 200, false, |step| 0.05 + 1.5 * (-step / 30.0).exp(), true),
        ("a run that collapses late", 400, false, |step| if step < 250.0 { 1.4 } else { 0.1 }, true),
        (
            "a run that collapses and recovers",
            300,
            false,
            |step| if (100.0..180.0).contains(&step) { 0.02 } else { 1.0 },
            true,
        ),
        ("a healthy run", 300, false, |step| 0.4 + (-step / 100.0).exp(), false),
        (
            "a healthy run with short falls",
            300,
            false,
            |step| if step % 60.0 < 12.0 { 0.01 } else { 0.5 },
            false,
        ),
        ("a healthy run with steps without a negative pair", 300, true, |_| 0.24, false),
        (
            "a run that collapses, with steps without a negative pair",
            300,
            true,
            |step| 1.6 - step / 150.0,
            true,
        ),
        ("30 steps", 30, false, |_| 0.01, false),
    ];
    for (name, steps, gaps, shape, collapses) in runs {
        checks.check(name, || {
            [0.09, 0.3, 1.0, 1.4]
                .into_iter()
                .try_for_each(|tau| one(&run(steps, tau, gaps, shape), tau, collapses))
        });
    }
    checks.check("49 and 50 values", || {
        for tau in [0.3, 1.0] {
            one(&[Some(0.01); 49], tau, false)?;
            one(&[Some(0.01); 50], tau, true)?;
            // One value every second step.
            let every_second: Vec<Option<f64>> =
                (0..110).map(|step| (step % 2 == 1).then_some(0.01)).collect();
            one(&every_second, tau, true)?;
            one(&every_second[..98], tau, false)?;
        }
        one(&[None; 200], 0.3, false)?;
        one(&[], 0.3, false)
    });
}
