//! Re-ranking compared with k-reciprocal re-ranking in NumPy on the same features.

use crate::features::made_up;
use crate::{check, python};
use bcreid::device::Device;
use bcreid::eval::distance::Block;
use bcreid::eval::rerank::{Rerank, Reranked};
use bcreid::export::features;

/// The distances are between 0 and 1, in f32 here and in f64 there.
const TOLERANCE: f32 = 1e-5;

#[test]
fn numpy_finds_the_same_distances() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (query, gallery) = (made_up(60, 32, 11), made_up(400, 32, 12));
    query.write(&at("q.safetensors")).unwrap();
    gallery.write(&at("g.safetensors")).unwrap();
    let settings = Rerank::default();
    let reranked =
        Reranked::new(query.features(), gallery.features(), query.dim(), &settings, &Device::cpu()).unwrap();

    let files = [at("q.safetensors"), at("g.safetensors"), "--out".into(), at("d.npy")];
    check(&python, "rerank.py", &files);
    // Any matrix is read as features, once there is a list of its rows.
    std::fs::write(at("d.csv"), "pid\n".to_string() + &"0\n".repeat(query.len())).unwrap();
    let theirs = features::read(&at("d.npy")).unwrap();
    assert_eq!((theirs.len(), theirs.dim()), (query.len(), gallery.len()));
    let mut block = Block::default();
    let (mut worst, mut seen) = (0.0f32, 0);
    for index in 0..reranked.blocks() {
        reranked.compute(index, &mut block).unwrap();
        for (row, query) in block.queries().enumerate() {
            let ours = block.row(row).pieces().flatten();
            worst = ours.zip(theirs.row(query)).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
            seen = seen.max(query + 1);
        }
    }
    assert_eq!(seen, query.len());
    assert!(worst < TOLERANCE, "distances differ by {worst:e}");
}
