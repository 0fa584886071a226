//! Kernels over the rows of a matrix.

use super::super::slots::{Float, Slot};
use super::{BLOCK, Entry, GIB, Of};
use softcuda::{Arg, Launch};

/// A block a row.
fn rows(m: usize, _: usize) -> Launch {
    Launch::new(m as u32, BLOCK as u32)
}

pub fn dropout() -> Vec<Entry> {
    const WIDE: usize = 2048;
    let launch = |m: usize, n: usize| Launch::new((m as u32, n.div_ceil(4 * BLOCK) as u32), BLOCK as u32);
    vec![Entry {
        stem: "dropout",
        kernel: "dropout_f32".into(),
        arguments: Box::new(move |m, n| {
            let (x, y, step) = (Slot::noise(m * n), Slot::Output(m * n), Slot::I32(vec![7]));
            let (seed, ratio, scale) = (Slot::value(1u64), Slot::value(0.9f32), Slot::value(10.0f32));
            vec![x, y, Slot::value(n as i32), seed, step, Slot::value(4i32), ratio, scale]
        }),
        launch: Box::new(launch),
        bytes: Box::new(move |m, n| 8 * m * n),
        cached: Box::new(move |m, n| launch(m, n).grid.y as usize * 4 * BLOCK * m), // the step's number
        large: (GIB / (8 * WIDE), WIDE),
        batch: (16, WIDE),
    }]
}

/// m rows of n channels on one side, and on the other of the next multiple of 16 bytes.
pub fn pad() -> Vec<Entry> {
    Float::BOTH.into_iter().flat_map(pad_of).collect()
}

fn pad_of(float: Float) -> [Entry; 2] {
    let size = float.bytes();
    let padded = move |n: usize| n.next_multiple_of(16 / size);
    // A thread for each 16 bytes written.
    let by = move |written: usize| Launch::new((size * written).div_ceil(16 * BLOCK) as u32, BLOCK as u32);
    let sizes = |sizes: [usize; 2]| sizes.map(|size| Slot::value(size as i32));
    let entry = |kernel: &str, arguments, launch, bytes: Of<usize>, batch: (usize, usize)| Entry {
        stem: "pad",
        kernel: format!("{kernel}_channels_{}", float.name()),
        arguments,
        launch,
        large: (GIB / bytes(1, batch.1), batch.1),
        batch,
        bytes,
        cached: Box::new(|_, _| 0),
    };
    [
        entry(
            "pad",
            Box::new(move |m, n| {
                let buffers = [float.noise(m * n), float.output(m * padded(n)), Slot::value(m as u64)];
                buffers.into_iter().chain(sizes([n, padded(n)])).collect()
            }),
            Box::new(move |m, n| by(m * padded(n))),
            Box::new(move |m, n| size * m * (n + padded(n))),
            // The pixels of a batch.
            (16 * 256 * 128, 3),
        ),
        entry(
            "crop",
            Box::new(move |m, n| {
                let buffers = [float.noise(m * padded(n)), float.output(m * n)];
                let (accumulate, rows) = (Slot::value(0i32), Slot::value(m as u64));
                buffers.into_iter().chain([accumulate, rows]).chain(sizes([padded(n), n])).collect()
            }),
            Box::new(move |m, n| by(m * n)),
            Box::new(move |m, n| 2 * size * m * n),
            // Of few channels memory would move more than is asked for, as its sectors are 32 bytes: scores of classes.
            (16, 751),
        ),
    ]
}

/// m rows of n channels, which are half of the channels on the other side.
pub fn channels() -> Vec<Entry> {
    Float::BOTH.into_iter().flat_map(channels_of).collect()
}

fn channels_of(float: Float) -> [Entry; 2] {
    let size = float.bytes();
    // A thread for each 16 bytes written.
    let by = move |written: usize| Launch::new((size * written).div_ceil(16 * BLOCK) as u32, BLOCK as u32);
    let entry = |kernel: &str, arguments, launch, bytes: Of<usize>| Entry {
        stem: "channels",
        kernel: format!("channels_{kernel}_{}", float.name()),
        arguments,
        launch,
        large: (GIB / bytes(1, 64), 64),
        // The first normalisation of a block of a ResNet's first stage.
        batch: (16 * 64 * 32, 32),
        bytes,
        cached: Box::new(|_, _| 0),
    };
    let sizes = |sizes: Vec<usize>| sizes.into_iter().map(|size| Slot::value(size as i32));
    [
        entry(
            "copy",
            Box::new(move |m, n| {
                let (from, to) = (float.noise(2 * m * n), float.output(m * n));
                let values = [Slot::value(0i32), Slot::value(m as u64)];
                [from, to].into_iter().chain(values).chain(sizes(vec![n, 2 * n, 0, n, 0])).collect()
            }),
            Box::new(move |m, n| by(m * n)),
            Box::new(move |m, n| 2 * size * m * n),
        ),
        entry(
            "spread",
            Box::new(move |m, n| {
                let (from, to) = (float.noise(m * n), float.output(2 * m * n));
                [from, to, Slot::value(m as u64)].into_iter().chain(sizes(vec![n, 2 * n, 0])).collect()
            }),
            Box::new(move |m, n| by(2 * m * n)),
            Box::new(move |m, n| 3 * size * m * n),
        ),
    ]
}

pub fn l2_normalize() -> Vec<Entry> {
    const WIDE: usize = 2048;
    let entry = |direction: &str, arguments: Of<Vec<Slot>>, bytes: Of<usize>, cached: Of<usize>| Entry {
        stem: "l2_normalize",
        kernel: format!("l2_normalize_{direction}_f32"),
        arguments,
        launch: Box::new(rows),
        large: (GIB / bytes(1, WIDE), WIDE),
        batch: (16, WIDE),
        bytes,
        cached,
    };
    vec![
        entry(
            "forward",
            Box::new(|m, n| {
                vec![Slot::noise(m * n), Slot::Output(m * n), Slot::Output(m), Slot::value(n as i32)]
            }),
            Box::new(|m, n| 8 * m * n + 4 * m),
            Box::new(|m, n| 4 * m * n), // the second pass
        ),
        entry(
            "backward",
            Box::new(|m, n| {
                let (y, norms, dy, dx) =
                    (Slot::noise(m * n), Slot::F32(vec![1.5; m]), Slot::noise(m * n), Slot::Output(m * n));
                vec![y, norms, dy, dx, Slot::value(n as i32)]
            }),
            Box::new(|m, n| 12 * m * n + 4 * m),
            Box::new(|m, n| 8 * m * n + 4 * (BLOCK - 1) * m), // the second pass, and a norm for every thread
        ),
    ]
}

pub fn softmax_cross_entropy() -> Vec<Entry> {
    const WIDE: usize = 4096;
    let entry = |direction: &str, arguments: Of<Vec<Slot>>, bytes: Of<usize>, cached: Of<usize>| Entry {
        stem: "softmax_cross_entropy",
        kernel: format!("softmax_cross_entropy_{direction}_f32"),
        arguments,
        launch: Box::new(rows),
        large: (GIB / bytes(1, WIDE), WIDE),
        batch: (16, 751),
        bytes,
        cached,
    };
    let forward = entry(
        "forward",
        Box::new(move |m, n| {
            let (losses, partition) = (Slot::Output(m), Slot::Output(2 * m));
            vec![Slot::noise(m * n), Slot::labels(m, n), losses, partition, Slot::value(n as i32)]
        }),
        Box::new(move |m, n| 4 * m * n + 16 * m),
        Box::new(move |m, _| 4 * m), // the label's logit
    );
    let backward = entry(
        "backward",
        Box::new(move |m, n| {
            let (partition, dy) = (Slot::noise(2 * m), Slot::noise(1));
            let dlogits = Slot::Output(m * n);
            vec![Slot::noise(m * n), Slot::labels(m, n), partition, dy, dlogits, Slot::value(n as i32)]
        }),
        Box::new(move |m, n| 8 * m * n + 12 * m),
        // Label, partition and dy go to every thread; dy is too small to count as bytes of memory.
        Box::new(|m, _| 16 * BLOCK * m - 12 * m),
    );
    vec![forward, backward]
}

pub fn distance() -> Vec<Entry> {
    const WIDE: usize = 2048;
    vec![Entry {
        stem: "distance",
        kernel: "distance_squared_lengths".into(),
        arguments: Box::new(|m, n| {
            let (x, nothing, squared) = (Slot::noise(m * n), Slot::Value(Arg::Pointer(0)), Slot::Output(m));
            vec![x, nothing, squared, Slot::value(m as i32), Slot::value(n as i32)]
        }),
        launch: Box::new(|m, _| Launch::new((32 * m).div_ceil(BLOCK) as u32, BLOCK as u32)),
        bytes: Box::new(|m, n| 4 * m * n + 4 * m),
        cached: Box::new(|_, _| 0),
        large: (GIB / (4 * WIDE), WIDE),
        batch: (16, WIDE),
    }]
}
