//! A run folder, read by all that reads one: settings, metrics, checkpoint, result and evaluations; a resumed run too.

#![no_main]

use bcreid::data::Classes;
use bcreid::device::Device;
use bcreid::eval::extract::Extractor;
use bcreid::eval::{run_evaluations, stored_evaluation};
use bcreid::model::Model;
use bcreid::report::run::{Settings, read_all};
use bcreid::run::checkpoint::check_newest;
use bcreid::run::metrics::{self, Log};
use bcreid::run::weight_file;
use bcreid::run::{Layout, RunFolder};
use bcreid::train::{Start, Trainer};
use bcreid::weights::NetworkFile;
use bcreid_fuzz::good;
use bcreid_fuzz::run_folder::{Base, with_base};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_base(|base| {
        base.with(bytes, |run| {
            let layout = Layout::of(run);
            good(Settings::read(run));
            good(read_all(&[run.to_path_buf()]));
            good(metrics::read(&layout.metrics()));
            if let Some((path, _)) = good(weight_file(run)) {
                if let Some(file) = good(NetworkFile::open(&path)) {
                    let fits = good(file.check()).is_some();
                    assert_eq!(file.fingerprint().len(), 64);
                    let _ = file.describe();
                    assert_eq!(good(Extractor::load(&path, &Device::cpu())).is_some(), fits);
                }
            }
            for evaluation in good(run_evaluations::of_run(run, 0, &[])).into_iter().flatten() {
                assert_eq!(evaluation.kept.name, "set");
                assert!(evaluation.kept.report.rank1 <= 1.0);
            }
            good(stored_evaluation::read_called(run, "set"));
            resume(base, run);
        });
    });
});

/// The steps of a resumed run up to its first step.
fn resume(base: &Base, run: &std::path::Path) {
    let Some((folder, config)) = good(RunFolder::open(run)) else { return };
    let classes = Classes::new(&base.dataset.train).expect("the run's classes");
    let device = Device::cpu();
    // A network of other settings takes time, and is compared with the header before it takes memory.
    let Some((_, specs)) = good(Model::declare(&config, classes.len(), &device)) else { return };
    let Some(done) = good(check_newest(&folder.checkpoints(), &config, &classes, &specs)) else { return };
    if config.difference(&base.config).is_none() {
        good(Trainer::new(&config, &base.dataset, Start::Resume(&folder), &device, &|_, _| ()));
    }
    good(Log::continue_at(&folder.metrics(), done));
}
