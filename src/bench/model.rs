//! The work of a step on a GPU, by part and by kind: counted, with the time that a model gives it, and measured.

use super::parts::{Part, Parts};
use crate::device::Precision;
use crate::device::cuda::{AskedByKernel, ByKind, TimeByKind, Work, modelled_seconds};
use crate::{Error, Result};
use serde::Serialize;

/// Work with its name and its times.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The name of a part of the step, or of a kind of launches.
    pub name: String,
    /// Launches, bytes and operations.
    #[serde(flatten)]
    pub work: Work,
    /// The bytes that the kernels of a kind read and wrote, as the stand-ins for CUDA count them, before any cache;
    /// `None` with NVIDIA's driver, and for functions of a library, whose kernels are not those of a GPU there.
    pub asked_bytes: Option<u64>,
    /// The time that a model of an H100 gives, in microseconds ([`modelled_seconds`]).
    pub model_us: f64,
    /// Microseconds on the device of the report: of a part the graph of its own, of a kind the sum over its launches in
    /// a graph of one stream, each from the end of the work before it to its own end, without the time of events; in
    /// the total, a step in one stream. `None` without captured steps.
    pub measured_us: Option<f64>,
}

/// The cost of timing the kinds of work.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EventCost {
    /// Microseconds of the captured step in one stream.
    pub one_stream_us: f64,
    /// Microseconds of the same with an event behind each launch.
    pub with_events_us: f64,
    /// Microseconds of an event, which are taken off the time of each launch.
    pub event_us: f64,
}

/// The work of a plain step.
#[derive(Clone, Debug, Serialize)]
pub struct StepWork {
    /// By part of the step, in its order.
    pub parts: Vec<Row>,
    /// The nodes of each part's graph: at least its launches, as a library's function may be several kernels. `None`
    /// without captured steps.
    pub part_nodes: Option<Vec<u64>>,
    /// By kind, the longest modelled time first.
    pub kinds: Vec<Row>,
    /// Of the whole step.
    pub total: Row,
    /// How the kinds were measured; `None` if they were not.
    pub events: Option<EventCost>,
}

impl StepWork {
    /// Sums up the launches of each part. A part may have several entries.
    pub(super) fn new(counts: Vec<(Part, ByKind)>, asked: &AskedByKernel, precision: Precision) -> Self {
        let row = |name: &str, kinds: &ByKind| {
            let mut work = Work::default();
            kinds.values().for_each(|of_kind| work += *of_kind);
            let seconds: f64 = kinds.values().map(|work| modelled_seconds(work, precision)).sum();
            Row { name: name.into(), work, asked_bytes: None, model_us: 1e6 * seconds, measured_us: None }
        };
        let sum = |of: &dyn Fn(Part) -> bool| {
            let mut all = ByKind::new();
            for (_, kinds) in counts.iter().filter(|(part, _)| of(*part)) {
                kinds.iter().for_each(|(kind, work)| *all.entry(kind.clone()).or_default() += *work);
            }
            all
        };
        let all = sum(&|_| true);
        let one = |(kind, work): (&String, &Work)| {
            let counted = asked.get(kind).filter(|asked| asked.launches == work.launches);
            let asked_bytes = counted.map(|asked| asked.read + asked.written);
            Row { asked_bytes, ..row(kind, &ByKind::from([(kind.clone(), *work)])) }
        };
        let mut kinds: Vec<Row> = all.iter().map(one).collect();
        kinds.sort_by(|a, b| b.model_us.total_cmp(&a.model_us));
        let parts = Part::ALL.map(|part| row(part.name(), &sum(&|other| other == part))).to_vec();
        StepWork { parts, part_nodes: None, kinds, total: row("all", &all), events: None }
    }

    /// Takes over the times of the parts' graphs and the numbers of their nodes.
    pub(super) fn measure_parts(&mut self, times: &Parts, nodes: &[u64; Part::COUNT]) {
        for (row, (_, ms)) in self.parts.iter_mut().zip(times.named()) {
            row.measured_us = Some(1e3 * ms);
        }
        self.part_nodes = Some(nodes.to_vec());
    }

    /// Takes over the seconds of each kind in a step with events, which takes `one_stream` seconds without them. What
    /// the events add is taken off in equal shares.
    ///
    /// # Errors
    /// The timed step has other launches than the counted one.
    pub(super) fn measure_kinds(&mut self, times: &TimeByKind, one_stream: f64) -> Result<()> {
        let counted: Vec<_> = self.kinds.iter().map(|row| (row.name.as_str(), row.work.launches)).collect();
        let mut timed: Vec<_> = times.iter().map(|(kind, (_, count))| (kind.as_str(), *count)).collect();
        timed.sort_by_key(|(kind, _)| counted.iter().position(|(other, _)| other == kind));
        if counted != timed {
            return Err(Error::Device(format!(
                "a captured step has other launches than a plain one, {timed:?} and {counted:?}; this is a bug of \
                 bcreid, please report it"
            )));
        }
        let with_events: f64 = times.values().map(|(seconds, _)| seconds).sum();
        let event = ((with_events - one_stream) / self.total.work.launches as f64).max(0.0);
        for row in &mut self.kinds {
            let (seconds, count) = times[&row.name];
            row.measured_us = Some(1e6 * (seconds - count as f64 * event).max(0.0));
        }
        self.total.measured_us = Some(1e6 * one_stream);
        self.events = Some(EventCost {
            one_stream_us: 1e6 * one_stream,
            with_events_us: 1e6 * with_events,
            event_us: 1e6 * event,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cuda::Asked;

    fn work(launches: u64, bytes: u64) -> Work {
        Work { launches, bytes, large_bytes: 0, flops: 0 }
    }

    fn step() -> StepWork {
        let kinds =
            |list: &[(&str, Work)]| list.iter().map(|(kind, work)| (kind.to_string(), *work)).collect();
        let counts = vec![
            (Part::Forward, kinds(&[("a", work(1, 100)), ("b", work(5, 20))])),
            (Part::Backward, kinds(&[("a", work(1, 4))])),
            (Part::Backward, kinds(&[("a", work(1, 3))])),
        ];
        let asked = |launches| Asked { launches, read: 30, written: 12 };
        let asked = AskedByKernel::from([("a".into(), asked(3)), ("b".into(), asked(4))]);
        StepWork::new(counts, &asked, Precision::Bf16)
    }

    #[test]
    fn work_is_summed_by_part_and_by_kind() {
        let step = step();
        let named = |rows: &[Row]| rows.iter().map(|row| (row.name.clone(), row.work)).collect::<Vec<_>>();
        assert_eq!(
            named(&step.parts)[1..3],
            [("forward".into(), work(6, 120)), ("backward".into(), work(2, 7))]
        );
        assert_eq!(named(&step.parts)[0], ("assemble".into(), work(0, 0)));
        assert_eq!(named(&step.kinds), [("b".into(), work(5, 20)), ("a".into(), work(3, 107))]);
        assert_eq!(step.total.work, work(8, 127));
        assert!((step.total.model_us - 8.0 * 2.3).abs() < 0.01);
    }

    /// Of fewer or more launches than the step has, the counts are not those of the step.
    #[test]
    fn counted_bytes_are_those_of_all_launches_of_a_kind() {
        let asked: Vec<_> = step().kinds.iter().map(|row| row.asked_bytes).collect();
        assert_eq!(asked, [None, Some(42)]);
    }

    #[test]
    fn the_time_of_events_is_taken_off() {
        let mut step = step();
        let times = |a| TimeByKind::from([("a".into(), (20e-6, a)), ("b".into(), (30e-6, 5))]);
        assert!(step.measure_kinds(&times(2), 42e-6).unwrap_err().to_string().contains("other launches"));
        step.measure_kinds(&times(3), 42e-6).unwrap();
        // 8 events take 8 us.
        let measured: Vec<f64> = step.kinds.iter().map(|row| row.measured_us.unwrap()).collect();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(measured[0], 25.0) && close(measured[1], 17.0), "{measured:?}");
        let (events, total) = (step.events.unwrap(), step.total.measured_us.unwrap());
        assert!(close(events.event_us, 1.0) && close(events.with_events_us, 50.0) && close(total, 42.0));
    }
}
