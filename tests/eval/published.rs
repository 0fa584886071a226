//! A published score: features of a sketch re-ID network (github.com/Gralach/SketchReidLightweightCNN, commit
//! e5cf514, MIT) and the figures in its result.txt. They are looked for in `data/sketch-features` of the
//! folder that BCREID_SHARED names, where their absence is a failure, or else of `../shared`, where the test
//! says so and passes.
//!
//! The upstream ranks by inner product. Its features have unit length, for which that is the same order as
//! Euclidean distance, so features as they are and normalised features both give the published score.

use bcreid::device::Device;
use bcreid::eval::{Protocol, evaluate};
use bcreid::weights::Features;
use std::path::PathBuf;

#[test]
fn the_published_score_is_reproduced() {
    let named = std::env::var_os("BCREID_SHARED").map(PathBuf::from);
    let is_promised = named.is_some();
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = named.unwrap_or_else(beside).join("data/sketch-features");
    if !folder.is_dir() {
        assert!(!is_promised, "BCREID_SHARED is set, but there is no {}", folder.display());
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    let read = |part: &str| Features::read(&folder.join(part)).unwrap();
    let (query, gallery) = (read("query.safetensors"), read("gallery.safetensors"));
    for normalise in [false, true] {
        let report =
            evaluate(&query, &gallery, &Protocol { normalise, ..Protocol::default() }, &Device::cpu())
                .unwrap();
        assert_eq!((report.rank1, report.rank5, report.rank10), (0.14, 0.36, 0.48));
        assert_eq!(format!("{:.6}", report.map_market), "0.178000");
        assert_eq!(format!("{:.6}", report.map_sum), "0.217137");
        assert_eq!((report.queries, report.valid_queries), (50, 50));
    }
}
