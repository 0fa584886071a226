//! Bandwidth and throughput of a kernel from its time.

use std::fmt;

/// The share of the copy's bandwidth that a kernel limited by memory should reach.
pub const GOAL: f64 = 0.85;
/// How many times as long as an empty kernel a kernel takes that is more than its launch.
const LAUNCHES: f64 = 2.0;

/// What is measured once for a device.
#[derive(Clone, Copy, Debug)]
pub struct Device {
    /// Bytes a second of a copy from memory to memory, reads and writes counted.
    pub copy: f64,
    /// Seconds of a kernel that does nothing.
    pub empty: f64,
}

/// A kernel's time beside the device's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It takes hardly longer than an empty kernel.
    LaunchBound,
    Reached,
    Below,
}

impl Device {
    /// The share of the copy's bandwidth at which `bytes` moved in `seconds`.
    pub fn share(&self, bytes: f64, seconds: f64) -> f64 {
        bytes / seconds / self.copy
    }

    /// What to make of a kernel that moves `bytes` in `seconds`.
    pub fn verdict(&self, bytes: f64, seconds: f64) -> Verdict {
        if self.share(bytes, seconds) >= GOAL {
            Verdict::Reached
        } else if seconds < LAUNCHES * self.empty {
            Verdict::LaunchBound
        } else {
            Verdict::Below
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::LaunchBound => f.pad("launch-bound"),
            Verdict::Reached => f.pad(""),
            Verdict::Below => f.pad(&format!("below {:.0}%", 100.0 * GOAL)),
        }
    }
}

/// The middle one of some values; of an even number the upper of the two.
///
/// # Panics
/// If there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn a_time_is_judged_by_the_copy_and_by_the_empty_kernel() {
    let device = Device { copy: 1e12, empty: 2e-6 };
    assert_eq!(device.verdict(1e9, 1e-3), Verdict::Reached);
    assert_eq!(device.verdict(1e9, 1.17e-3), Verdict::Reached);
    assert_eq!(device.verdict(1e9, 1.18e-3), Verdict::Below);
    assert_eq!(device.verdict(1e3, 3.9e-6), Verdict::LaunchBound);
    assert_eq!(device.verdict(1e3, 4.1e-6), Verdict::Below);
    assert_eq!(format!("{:>12}|{:4}|", Verdict::Below, Verdict::Reached), "   below 85%|    |");
    assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
}
