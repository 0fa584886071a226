//! The metrics file of a run, as read by reports and by a resumed run.

#![no_main]

use bcreid::run::metrics::{self, Log};
use bcreid_fuzz::{folder, good, put};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = folder();
    let path = put(&folder, "metrics.jsonl", bytes);
    if let Some(steps) = good(metrics::read(&path)) {
        assert!(steps.windows(2).all(|pair| pair[0].step < pair[1].step));
        assert!(steps.iter().all(|step| step.loss.is_none_or(f32::is_finite)));
    }
    // A resumed run keeps only complete lines from the start.
    if good(Log::continue_at(&path, 1 << 32)).is_some() {
        let kept = std::fs::read(&path).expect("the log is there");
        assert!(bytes.starts_with(&kept) && kept.last().is_none_or(|last| *last == b'\n'));
    }
});
