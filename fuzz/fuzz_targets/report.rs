//! The page of a run folder: whatever the files hold, the page runs one script, loads nothing, and embeds images of the
//! named folder only.

#![no_main]

use bcreid::device::Device;
use bcreid::report::page::{Options, page};
use bcreid_fuzz::good;
use bcreid_fuzz::run_folder::with_base;
use std::time::UNIX_EPOCH;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    with_base(|base| {
        let options = Options {
            only: Vec::new(),
            queries: Some(1),
            seed: 1,
            images: vec![base.dataset.root.clone()],
            made: UNIX_EPOCH,
            ..Options::default()
        };
        base.with(bytes, |run| {
            let Some(report) = good(page(&[run.to_path_buf()], &options, &Device::cpu())) else { return };
            let count = |what: &str| report.html.matches(what).count();
            // The numbers of the thresholds are data, which browsers do not run.
            let data = count("<script type=\"application/json\" id=\"pairs-data\">");
            assert_eq!((count("<script>"), count("<script"), count("</script>")), (1, 1 + data, 1 + data));
            assert_eq!(count("<style"), count("</style>"));
            assert_eq!(count("<img "), count("<img src=\"data:image/jpeg;base64,"));
            // All links lead to places of the page.
            let links = count("<a ") - count("<a href=\"#") - count("<a class=\"skip\" href=\"#");
            // The one form chooses a threshold.
            assert_eq!((links, count("<iframe"), count("<object"), count("<form")), (0, 0, 0, data));
            assert!(report.notes.iter().all(|note| !note.contains('\n')), "{:?}", report.notes);
        });
    });
});
