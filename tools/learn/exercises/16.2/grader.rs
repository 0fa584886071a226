use crate::answer::largest_lost;
use crate::checks::*;

/// The number of bf16 nearest to a number far from both ends of the range; at a tie, the even one. A number of bf16
/// with the exponent e is a multiple of 2^(e - 7).
fn to_bf16(x: f64) -> f64 {
    let mut unit = 1.0;
    while x.abs() < 128.0 * unit {
        unit /= 2.0;
    }
    while x.abs() >= 256.0 * unit {
        unit *= 2.0;
    }
    // Exact: a power of two, and the digits of f64 suffice.
    (x / unit).round_ties_even() * unit
}

fn one(w: f32) -> Finding {
    let u = largest_lost(w);
    that(u > 0.0 && u.is_finite(), || format!("w = {w:?}: u is {u:?}, and must be above 0"))?;
    let (w, u) = (f64::from(w), f64::from(u));
    let is_power = w.abs().log2().fract() == 0.0;
    let told = short(w);
    let after = to_bf16(w - 0.999 * u);
    that(after == w, || {
        let dense =
            if w > 0.0 && is_power { "; below a power of two the numbers are twice as dense" } else { "" };
        format!(
            "w = {told}: w - 0.999 u is rounded to {}: u is more than half of the distance of these two{dense}",
            short(after)
        )
    })?;
    that(to_bf16(w - 1.001 * u) != w, || {
        let why = match w < 0.0 && is_power {
            true => ": w - u moves away from 0, where the numbers are less dense",
            false => ": the distance of two numbers is the same from one power of two to the next",
        };
        format!("w = {told}: u = {} is not the largest, w - 1.001 u is rounded to w too{why}", short(u))
    })
}

pub fn grade(checks: &mut Checks) {
    checks.check("w = 1", || one(1.0));
    checks.check("w = 1.5", || one(1.5));
    checks.check("1,000 weights from 2^-40 to 2^40", || {
        let mut numbers = Numbers::new(162);
        for i in 0..1000 {
            let mantissa = if i % 10 == 0 { 128 } else { 128 + numbers.below(128) };
            let exponent = numbers.below(81) as i32 - 47;
            let sign = if numbers.below(2) == 0 { 1.0 } else { -1.0 };
            one(sign * mantissa as f32 * 2f32.powi(exponent))?;
        }
        Ok(())
    });
    checks.check("negative weights", || [-1.0, -1.5, -1.9921875, -0.25, -3.0].into_iter().try_for_each(one));
}
