use crate::answer::{has_same_bits, lambda_of_sum};
use crate::checks::*;

/// Gradients of the loss by features, rounded as the product rounds them (src/ops/batch_contrastive/cpu.rs).
fn gradients(totals: &[f64], factor: f64, lambda: f32) -> Vec<u32> {
    let dy = factor * f64::from(lambda);
    totals.iter().map(|total| ((dy * total) as f32).to_bits()).collect()
}

pub fn grade(checks: &mut Checks) {
    checks.check("lambda", || {
        for mean in [0.25, 1.0, 3.0, 10.0] {
            for m in 1..=128 {
                let (got, want) = (lambda_of_sum(mean, m), f64::from(mean) / m as f64);
                that(m == 1 || f64::from(got) != f64::from(mean) * m as f64, || {
                    format!(
                        "{m} images: {got} is m lambda; the sum is m times the mean, so its lambda is smaller"
                    )
                })?;
                close("lambda", &[f64::from(got) / want], &[1.0], 2e-7)
                    .map_err(|_| format!("lambda {mean} of the mean, {m} images: {got} instead of {want}"))?;
            }
        }
        Ok(())
    });
    checks.check("bits", || {
        let totals = Numbers::new(11).many(20_000);
        for m in 1..=128 {
            let of_sum = gradients(&totals, 1.0, 1.0 / m as f32);
            let of_mean = gradients(&totals, 1.0 / m as f64, 1.0);
            let others = of_sum.iter().zip(&of_mean).filter(|(a, b)| a != b).count();
            that(has_same_bits(m) == (others == 0), || match others {
                0 => format!("{m} images: all gradients have the same bits; is 1 / {m} exact in f32?"),
                _ => format!(
                    "{m} images: {others} of {} gradients have other bits; is 1 / {m} exact in f32?",
                    totals.len()
                ),
            })?;
        }
        Ok(())
    });
}
