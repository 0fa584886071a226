//! The work that a device has enqueued: the number of launches, and on request what they are, by kind.

use super::CudaDevice;
use super::timeline::Timeline;
use crate::Result;
use crate::device::Precision;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Launches, copies or fills of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Their number.
    pub launches: u64,
    /// Bytes of their arguments, each tensor counted once for each pointer to it: the least that memory transfers, but
    /// for arguments that a kernel both reads and writes.
    pub bytes: u64,
    /// The bytes of those whose arguments an L2 cache does not hold.
    pub large_bytes: u64,
    /// Multiplications and additions of convolutions and matrix products.
    pub flops: u64,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        self.launches += other.launches;
        self.bytes += other.bytes;
        self.large_bytes += other.large_bytes;
        self.flops += other.flops;
    }
}

/// Work by the name of a kernel without element types, or of a library's function.
pub type ByKind = BTreeMap<String, Work>;

/// The arguments of a launch that come from the L2 cache in the model: half of an H100's, as others use it too.
const L2_BYTES: u64 = 25_000_000;

/// The counts of a device.
#[derive(Default)]
pub(super) struct Ledger {
    launches: AtomicU64,
    by_kind: Mutex<Option<ByKind>>,
    /// The events of a step that is captured with times.
    pub timeline: Timeline,
}

impl Ledger {
    /// The number of launches so far.
    pub fn launches(&self) -> u64 {
        self.launches.load(Ordering::Relaxed)
    }

    /// Sets the number of launches back to an earlier one: those of a captured step do not run.
    pub fn forget_launches_since(&self, launches: u64) {
        self.launches.store(launches, Ordering::Relaxed);
    }

    /// Counts a launch; `size` gives its bytes and its operations.
    pub fn record(&self, kind: &str, size: impl FnOnce() -> [usize; 2]) {
        self.launches.fetch_add(1, Ordering::Relaxed);
        self.record_copy(kind, size);
    }

    /// Counts a copy or a fill, which is no launch but a node of a captured step.
    pub fn record_copy(&self, kind: &str, size: impl FnOnce() -> [usize; 2]) {
        if let Some(by_kind) = &mut *self.by_kind.lock().expect("the lock is never held across a panic") {
            let [bytes, flops] = size().map(|size| size as u64);
            let large_bytes = if bytes > L2_BYTES { bytes } else { 0 };
            *by_kind.entry(kind.to_string()).or_default() += Work { launches: 1, bytes, large_bytes, flops };
        }
    }

    /// Begins to count by kind, or ends it; returns the counts since the beginning.
    pub fn by_kind(&self, counts: bool) -> ByKind {
        let mut by_kind = self.by_kind.lock().expect("the lock is never held across a panic");
        std::mem::replace(&mut *by_kind, counts.then(ByKind::new)).unwrap_or_default()
    }
}

impl CudaDevice {
    /// Notes a launch that has been enqueued: counts it, with its bytes and operations from `size`, and times it in a
    /// step that is captured with times.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub(super) fn note_launch(&self, kind: &str, size: impl FnOnce() -> [usize; 2]) -> Result<()> {
        self.work.record(kind, size);
        self.time_in_capture(kind)
    }

    /// As [`CudaDevice::note_launch`], for a copy or a fill.
    ///
    /// # Errors
    /// A CUDA driver error.
    pub(super) fn note_copy(&self, kind: &str, size: impl FnOnce() -> [usize; 2]) -> Result<()> {
        self.work.record_copy(kind, size);
        self.time_in_capture(kind)
    }
}

/// A model of an H100, for the time of work that no GPU has timed. Between two nodes that depend on each other pass 1.0
/// us, and 1.3 us until all of its multiprocessors work; small arguments come from the L2 cache at 4.5 TB/s, larger ones
/// from memory at 2.7 TB/s; products reach 47 % of 800 TFLOP/s in bf16, of 400 in TF32, and 70 % of 60 in f32.
pub fn modelled_seconds(work: &Work, precision: Precision) -> f64 {
    const NODE: f64 = 2.3e-6;
    let transfer = (work.bytes - work.large_bytes) as f64 / 4.5e12 + work.large_bytes as f64 / 2.7e12;
    let flops_a_second = match precision {
        Precision::Bf16 => 0.47 * 800e12,
        Precision::Tf32 => 0.47 * 400e12,
        Precision::F32 => 0.7 * 60e12,
    };
    work.launches as f64 * NODE + transfer.max(work.flops as f64 / flops_a_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_between_beginning_and_end() {
        let ledger = Ledger::default();
        ledger.record("a", || panic!("nobody asked"));
        assert_eq!(ledger.by_kind(true), ByKind::new());
        ledger.record("a", || [10, 1]);
        ledger.record("b", || [20, 2]);
        ledger.record("a", || [30, 3]);
        let counts = ledger.by_kind(false);
        assert_eq!(counts["a"], Work { launches: 2, bytes: 40, large_bytes: 0, flops: 4 });
        assert_eq!(counts["b"], Work { launches: 1, bytes: 20, large_bytes: 0, flops: 2 });
        ledger.record("a", || panic!("it has ended"));
        assert_eq!((ledger.by_kind(false), ledger.launches()), (ByKind::new(), 5));
    }

    #[test]
    fn the_model_is_bound_by_latency_bytes_or_arithmetic() {
        let time = |launches: usize, bytes: usize, flops: usize| {
            let ledger = Ledger::default();
            ledger.by_kind(true);
            (0..launches).for_each(|_| ledger.record("one", || [bytes / launches, flops / launches]));
            let counts = ledger.by_kind(false);
            modelled_seconds(&counts.get("one").copied().unwrap_or_default(), Precision::Bf16) * 1e6
        };
        assert!((time(10, 1000, 0) - 23.0).abs() < 0.1);
        assert!((time(1, 9_000_000, 0) - 4.3).abs() < 0.01);
        assert!((time(1, 270_000_000, 0) - 102.3).abs() < 0.01);
        assert!((time(1, 1000, 376_000_000_000) - 1002.3).abs() < 0.1);
        assert_eq!(time(0, 0, 0), 0.0);
    }
}
