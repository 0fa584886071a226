//! Samplers and augmentations, computed for PyTorch by `tools/reference` in NumPy.

use super::{agrees, torch, with_set};

#[test]
fn pytorch_takes_the_same_images() {
    let Some(python) = torch() else { return };
    let folder = with_set();
    let folder = folder.path();
    let pairs = [
        "data.sampler=pairs",
        // 0.7 of 5 pairs are 4 in f32, and 3 in f64.
        "solver.batch=10",
        "data.pairs_positive=0.7",
        "data.pairs_decay=0.5",
        "loss.batch_contrastive.weight=0",
        "loss.verification.weight=0.5",
    ];
    let by_images = ["data.sampler=pk", "data.pk_images=2", "data.pk_order=images", "solver.batch=8"];
    // Images without identities, LSRO's.
    let unlabelled = format!("data.unlabelled={}", folder.join("set/query").display());
    let unlabelled = [&unlabelled, "loss.batch_contrastive.weight=0", "loss.softmax.smoothing=0.1"];
    for (name, settings) in [("pairs", &pairs[..]), ("by_images", &by_images), ("unlabelled", &unlabelled)] {
        agrees(&python, folder, name, settings);
    }
}

#[test]
fn pytorch_sees_the_same_views() {
    let Some(python) = torch() else { return };
    let folder = with_set();
    let folder = folder.path();
    let colours = ["data.brightness=0.2", "data.contrast=0.15", "data.saturation=0.5"];
    let mean = ["data.erase=0.5", "data.erase_area=[0.02, 0.9]", "data.crop=false"];
    let noise = ["data.erase=1", "data.erase_fill=noise", "data.erase_aspect=0.5", "input.channels=bgr"];
    let resized = ["data.resize=[108, 60]", "data.crop=false", "data.brightness=0.2", "data.erase=0.5"];
    let padded = ["data.resize=[108, 60]", "data.pad_mode=edge"];
    for (name, settings) in [
        ("colours", &colours[..]),
        ("mean", &mean),
        ("noise", &noise),
        ("resized", &resized),
        ("resized_and_padded", &padded),
    ] {
        agrees(&python, folder, name, settings);
    }
}
