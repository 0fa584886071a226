use crate::answer::{leaky_relu, leaky_relu_gradient};
use crate::checks::*;

const POINTS: [f32; 6] = [-2.0, -0.5, 0.0, 0.5, 2.0, f32::INFINITY];

fn slope(x: f32) -> f32 {
    if x >= 0.0 { 1.0 } else { 0.1 }
}

pub fn grade(checks: &mut Checks) {
    checks.check("forward", || {
        for x in POINTS {
            let (got, want) = (leaky_relu(x), slope(x) * x);
            that((got - want).abs() < 1e-6 || got == want, || {
                format!("leaky_relu({x}) is {got} instead of {want}")
            })?;
        }
        Ok(())
    });
    checks.check("backward", || {
        for x in POINTS {
            for dy in [2.0f32, -0.75] {
                let y = slope(x) * x;
                let (got, want) = (leaky_relu_gradient(y, dy), slope(x) * dy);
                that(got != slope(x), || {
                    format!("at y = {y} with dy = {dy} you return {got}: that is the factor of dy, not the gradient dx")
                })?;
                that((got - want).abs() < 1e-6, || {
                    format!("the gradient at y = {y} with dy = {dy} is {got} instead of {want}")
                })?;
            }
        }
        Ok(())
    });
    checks.check("NaN stays NaN", || {
        let y = leaky_relu(f32::NAN);
        that(y.is_nan(), || format!("leaky_relu(NaN) is {y}: a network that diverged must show it"))?;
        let dx = leaky_relu_gradient(f32::NAN, 3.0);
        that(dx == 3.0, || {
            format!("an output NaN passes its gradient 3 on in the product, here dx is {dx}")
        })?;
        let dx = leaky_relu_gradient(1.0, f32::NAN);
        that(dx.is_nan(), || format!("a gradient NaN becomes {dx}"))
    });
}
