//! Kernels over the pixels of images.

use super::super::slots::{Float, Slot};
use super::{BLOCK, Entry, GIB, Of};
use softcuda::Launch;

/// The sides of what a ResNet's first convolution makes of 256 x 128 pixels, and of what its pooling does.
const INPUT: (usize, usize) = (128, 64);
const OUTPUT: (usize, usize) = (64, 32);
/// The window of that pooling: its side, its step and the border.
const WINDOW: (usize, usize, usize) = (3, 2, 1);

/// How many elements all windows along a side of the input have together.
fn covered(input: usize, output: usize) -> usize {
    let (kernel, stride, pad) = WINDOW;
    (0..output).map(|o| (o * stride + kernel).min(input + pad) - (o * stride).max(pad)).sum()
}

/// m images of n channels.
pub fn maxpool() -> Vec<Entry> {
    Float::BOTH.into_iter().flat_map(maxpool_of).collect()
}

fn maxpool_of(float: Float) -> [Entry; 2] {
    const CHANNELS: usize = 64;
    let size = float.bytes();
    let read = |m: usize, n: usize| m * n * INPUT.0 * INPUT.1;
    let written = |m: usize, n: usize| m * n * OUTPUT.0 * OUTPUT.1;
    let asked = |m: usize, n: usize| m * n * covered(INPUT.0, OUTPUT.0) * covered(INPUT.1, OUTPUT.1);
    let bytes = move |m: usize, n: usize| size * (read(m, n) + written(m, n)) + written(m, n);
    let entry = |direction: &str, arguments: Of<Vec<Slot>>, rows: usize, cached: Of<usize>| Entry {
        stem: "maxpool",
        kernel: format!("maxpool_{direction}_{}", float.name()),
        arguments,
        launch: Box::new(move |m, _| Launch::new((m * rows) as u32, BLOCK as u32)),
        bytes: Box::new(bytes),
        cached,
        large: (GIB / bytes(1, CHANNELS), CHANNELS),
        batch: (16, CHANNELS),
    };
    let sizes = |n: usize| {
        let (kernel, stride, pad) = WINDOW;
        [INPUT.0, INPUT.1, n, OUTPUT.0, OUTPUT.1, kernel, stride, pad].map(|size| Slot::value(size as i32))
    };
    [
        entry(
            "forward",
            Box::new(move |m, n| {
                let (x, y) = (float.noise(read(m, n)), float.output(written(m, n)));
                [x, y, Slot::Output8(written(m, n))].into_iter().chain(sizes(n)).collect()
            }),
            OUTPUT.0,
            Box::new(move |m, n| size * (asked(m, n) - read(m, n))),
        ),
        entry(
            "backward",
            Box::new(move |m, n| {
                let (dy, places) = (float.noise(written(m, n)), Slot::U8(vec![4; written(m, n)]));
                [dy, places, float.output(read(m, n)), Slot::value(0i32)]
                    .into_iter()
                    .chain(sizes(n))
                    .collect()
            }),
            INPUT.0,
            // Each window's gradient and place, for every pixel that it covers.
            Box::new(move |m, n| (size + 1) * (asked(m, n) - written(m, n))),
        ),
    ]
}

/// m images of n rows of 128 pixels: 3 channels of f32, or 8 of bf16.
pub fn assemble() -> Vec<Entry> {
    const SIDES: (usize, usize) = (256, 128);
    const TABLE: usize = 3 * 256;
    let of_type = |float: Float| {
        let channels = if float == Float::F32 { 3 } else { 8 };
        let pixels = |m: usize, n: usize| m * n * SIDES.1;
        let blocks = move |n: usize| pixels(1, n).div_ceil(4 * BLOCK);
        let bytes = move |m: usize, n: usize| pixels(m, n) * (3 + channels * float.bytes()) + 12 * m;
        Entry {
            stem: "assemble",
            kernel: format!("assemble_pixels_{}", float.name()),
            arguments: Box::new(move |m, n| {
                let (data, classes) = (Slot::U8(vec![77; 3 * pixels(m, n)]), Slot::labels(m, m));
                let chosen = Slot::I32((0..m as i32).rev().collect());
                let (out, labels) = (float.output(channels * pixels(m, n)), Slot::Output(m));
                // Neither flipped nor shifted, so that each byte is read once.
                let sizes =
                    [m, n, SIDES.1, n, SIDES.1, channels, 0, 0, 0, 0].map(|size| Slot::value(size as i32));
                let (seed, step) = (Slot::value(1u64), Slot::I32(vec![7]));
                let buffers = [data, classes, chosen, Slot::noise(TABLE), out, labels];
                buffers.into_iter().chain(sizes).chain([seed, step]).collect()
            }),
            launch: Box::new(move |m, n| Launch::new((m as u32, blocks(n) as u32), BLOCK as u32)),
            bytes: Box::new(bytes),
            // Every block reads the table and its image's number, every thread the step.
            cached: Box::new(move |m, n| blocks(n) * m * (4 * TABLE + 4 + 4 * BLOCK) - 4 * m),
            large: (GIB / bytes(1, SIDES.0), SIDES.0),
            batch: (16, SIDES.0),
        }
    };
    Float::BOTH.into_iter().map(of_type).collect()
}
