//! The work of a step on a GPU, by part and by kind, with the time that a model gives it.

use crate::device::Precision;
use crate::device::cuda::{ByKind, Work, modelled_seconds};
use serde::Serialize;

/// Work with its name and its modelled time.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The name of a part of the step, or of a kind of launches.
    pub name: String,
    /// Launches, bytes and operations.
    #[serde(flatten)]
    pub work: Work,
    /// The time that a model of an H100 gives, in microseconds ([`modelled_seconds`]).
    pub model_us: f64,
}

/// The work of a plain step.
#[derive(Clone, Debug, Serialize)]
pub struct StepWork {
    /// By part of the step, in its order.
    pub parts: Vec<Row>,
    /// By kind, the longest modelled time first.
    pub kinds: Vec<Row>,
    /// Of the whole step.
    pub total: Row,
}

impl StepWork {
    /// Sums up the launches of each part.
    pub(super) fn new(parts: Vec<(&'static str, ByKind)>, precision: Precision) -> Self {
        let row = |name: &str, kinds: &ByKind| {
            let mut work = Work::default();
            kinds.values().for_each(|of_kind| work += *of_kind);
            let seconds: f64 = kinds.values().map(|work| modelled_seconds(work, precision)).sum();
            Row { name: name.into(), work, model_us: 1e6 * seconds }
        };
        let mut all = ByKind::new();
        for (_, kinds) in &parts {
            kinds.iter().for_each(|(kind, work)| *all.entry(kind.clone()).or_default() += *work);
        }
        let one = |(kind, work): (&String, &Work)| row(kind, &ByKind::from([(kind.clone(), *work)]));
        let mut kinds: Vec<Row> = all.iter().map(one).collect();
        kinds.sort_by(|a, b| b.model_us.total_cmp(&a.model_us));
        let parts: Vec<Row> = parts.iter().map(|(name, kinds)| row(name, kinds)).collect();
        let total = row("all", &all);
        StepWork { parts, kinds, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_summed_by_part_and_by_kind() {
        let work = |launches, bytes| Work { launches, bytes, large_bytes: 0, flops: 0 };
        let kinds =
            |list: &[(&str, Work)]| list.iter().map(|(kind, work)| (kind.to_string(), *work)).collect();
        let parts = vec![
            ("forward", kinds(&[("a", work(1, 100)), ("b", work(5, 20))])),
            ("backward", kinds(&[("a", work(2, 7))])),
        ];
        let step = StepWork::new(parts, Precision::Bf16);
        let named = |rows: &[Row]| rows.iter().map(|row| (row.name.clone(), row.work)).collect::<Vec<_>>();
        assert_eq!(named(&step.parts), [("forward".into(), work(6, 120)), ("backward".into(), work(2, 7))]);
        assert_eq!(named(&step.kinds), [("b".into(), work(5, 20)), ("a".into(), work(3, 107))]);
        assert_eq!(step.total.work, work(8, 127));
        assert!((step.total.model_us - 8.0 * 2.3).abs() < 0.01);
    }
}
