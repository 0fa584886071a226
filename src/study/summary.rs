//! Mean and standard deviation over the seeds of a recipe.

use crate::eval::Report;
use serde::Serialize;
use std::fmt;

/// Mean and deviation of a share in [0, 1] over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (with n - 1 in the denominator); `None` for one run.
    pub deviation: Option<f64>,
}

impl Figure {
    /// Computes mean and deviation of at least one value.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        Figure { mean, deviation: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()) }
    }
}

/// Writes mean and deviation in percent.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.deviation {
            Some(deviation) => format!("{:.2} ± {:.2}", 100.0 * self.mean, 100.0 * deviation),
            None => format!("{:.2}", 100.0 * self.mean),
        };
        f.pad(&text)
    }
}

/// Figures of a recipe over its runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// CMC at rank 1.
    pub rank1: Figure,
    /// CMC at rank 5.
    pub rank5: Figure,
    /// CMC at rank 10.
    pub rank10: Figure,
    /// Mean average precision by trapezoids.
    pub map_market: Figure,
    /// Mean average precision as a finite sum.
    pub map_sum: Figure,
    /// Mean inverse negative penalty.
    pub minp: Figure,
}

impl Summary {
    /// Summarises at least one run.
    pub fn of(reports: &[Report]) -> Self {
        let of = |value: fn(&Report) -> f64| Figure::of(&reports.iter().map(value).collect::<Vec<_>>());
        Summary {
            rank1: of(|r| r.rank1),
            rank5: of(|r| r.rank5),
            rank10: of(|r| r.rank10),
            map_market: of(|r| r.map_market),
            map_sum: of(|r| r.map_sum),
            minp: of(|r| r.minp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_sample_deviation() {
        let figure = Figure::of(&[0.5, 0.7, 0.9]);
        assert!((figure.mean - 0.7).abs() < 1e-15 && (figure.deviation.unwrap() - 0.2).abs() < 1e-15);
        assert_eq!(figure.to_string(), "70.00 ± 20.00");
        assert_eq!(Figure::of(&[0.5]).to_string(), "50.00");
    }
}
