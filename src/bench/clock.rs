//! Time stamps between parts of a step, taken on the device that computes: events in a GPU's stream, or host time; and
//! the median of times.

use crate::Result;
use crate::device::Device;
use crate::device::cuda::Event;
use std::time::Instant;

/// A time stamp.
pub(super) enum Mark {
    /// Host time, for work on the CPU.
    Host(Instant),
    /// Event in a GPU's stream.
    Gpu(Event),
}

impl Mark {
    /// The end of all work submitted so far.
    pub fn here(device: &Device) -> Result<Self> {
        Ok(match device {
            Device::Cpu(_) => Mark::Host(Instant::now()),
            Device::Cuda(gpu) => Mark::Gpu(gpu.mark()?),
        })
    }

    /// Seconds since an earlier mark of the same device; waits until the work before this mark is done.
    fn since(&self, earlier: &Mark) -> Result<f64> {
        match (self, earlier) {
            (Mark::Host(end), Mark::Host(begin)) => Ok(end.duration_since(*begin).as_secs_f64()),
            (Mark::Gpu(end), Mark::Gpu(begin)) => end.seconds_since(begin),
            _ => unreachable!("the marks of a run are of one device"),
        }
    }
}

/// Seconds from each mark to the next.
pub(super) fn between<'a>(marks: impl IntoIterator<Item = &'a Mark>) -> Result<Vec<f64>> {
    let marks: Vec<&Mark> = marks.into_iter().collect();
    marks.windows(2).map(|pair| pair[1].since(pair[0])).collect()
}

/// Median of `values`, which are sorted in place.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
