//! A simulation of Adam for a constant gradient, with and without the correction.

use crate::answer::{first_length, settled};
use crate::checks::*;

const BETAS: [[f64; 2]; 6] = [[0.9, 0.999], [0.9, 0.99], [0.5, 0.9], [0.95, 0.9], [0.0, 0.99], [0.9, 0.81]];

/// Long enough for all of them.
const STEPS: u32 = 20_000;

/// The lengths of all steps without and with the correction.
fn lengths([beta1, beta2]: [f64; 2]) -> Vec<[f64; 2]> {
    let (mut m, mut v, g) = (0.0, 0.0, 0.25);
    let (mut left1, mut left2) = (1.0, 1.0);
    (0..STEPS)
        .map(|_| {
            m = beta1 * m + (1.0 - beta1) * g;
            v = beta2 * v + (1.0 - beta2) * g * g;
            left1 *= beta1;
            left2 *= beta2;
            [m / v.sqrt(), m / (1.0 - left1) / (v / (1.0 - left2)).sqrt()]
        })
        .collect()
}

pub fn grade(checks: &mut Checks) {
    checks.check("the length of the first step", || {
        for betas in BETAS {
            let [length, corrected] = lengths(betas)[0];
            let got = first_length(betas[0], betas[1]);
            let named = |found: String| format!("betas {} and {}: {found}", betas[0], betas[1]);
            let is_corrected = (got - corrected).abs() < 1e-9 && (corrected - length).abs() > 1e-9;
            that(!is_corrected, || named(format!("{} is the length with the correction", short(got))))?;
            close("length", &[got], &[length], 1e-9).map_err(named)?;
        }
        Ok(())
    });
    checks.check("the step from which on 1 % is kept", || {
        for betas in BETAS {
            let differs = |[plain, corrected]: &[f64; 2]| (plain / corrected - 1.0).abs() >= 0.01;
            let lengths = lengths(betas);
            let want = lengths.iter().rposition(differs).map_or(1, |last| last as u32 + 2);
            let got = settled(betas[0], betas[1]);
            that(got == want, || {
                let at = |t: u32| lengths.get((t as usize).wrapping_sub(1));
                let there = at(got).map_or(String::new(), |[plain, corrected]| {
                    let by = 100.0 * (plain / corrected - 1.0).abs();
                    let later = if got < want && by < 1.0 { "; a later step differs by more" } else { "" };
                    format!("; in step {got} they differ by {by:.3} %{later}")
                });
                format!("betas {} and {}: step {got} instead of {want}{there}", betas[0], betas[1])
            })?;
        }
        Ok(())
    });
}
