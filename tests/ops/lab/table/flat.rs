//! Elementwise kernels over an array of any length.

use super::super::slots::{Float, Slot};
use super::{BLOCK, Entry, GIB, Of};
use softcuda::Launch;

/// A kernel over m n elements of which each moves `bytes`, a thread for each 16 bytes of elements as narrow as `float`.
fn flat(stem: &'static str, kernel: String, float: Float, arguments: Of<Vec<Slot>>, bytes: usize) -> Entry {
    Entry {
        stem,
        kernel,
        arguments,
        launch: Box::new(move |m, n| {
            Launch::new((m * n * float.bytes()).div_ceil(16 * BLOCK) as u32, BLOCK as u32)
        }),
        bytes: Box::new(move |m, n| bytes * m * n),
        cached: Box::new(|_, _| 0),
        large: (1, GIB / bytes),
        // The last stage of a ResNet-50.
        batch: (16 * 8 * 4, 2048),
    }
}

pub fn cast() -> Vec<Entry> {
    let entry = |from: Float, to: Float| {
        let arguments = move |m, n| vec![from.noise(m * n), to.output(m * n), Slot::value((m * n) as u64)];
        flat("cast", format!("cast_{}_{}", from.name(), to.name()), Float::Bf16, Box::new(arguments), 6)
    };
    vec![entry(Float::F32, Float::Bf16), entry(Float::Bf16, Float::F32)]
}

pub fn relu() -> Vec<Entry> {
    let of_type = |float: Float| {
        let forward = move |m, n| vec![float.noise(m * n), float.output(m * n), Slot::value((m * n) as u64)];
        let backward = move |m, n| {
            let (y, dy, dx) = (float.noise(m * n), float.noise(m * n), float.output(m * n));
            vec![y, dy, dx, Slot::value((m * n) as u64)]
        };
        let kernel = |direction| format!("relu_{direction}_{}", float.name());
        [
            flat("relu", kernel("forward"), float, Box::new(forward), 2 * float.bytes()),
            flat("relu", kernel("backward"), float, Box::new(backward), 3 * float.bytes()),
        ]
    };
    Float::BOTH.into_iter().flat_map(of_type).collect()
}

pub fn add() -> Vec<Entry> {
    let of_type = |float: Float| {
        let arguments = move |m, n| {
            let (a, b, y) = (float.noise(m * n), float.noise(m * n), float.output(m * n));
            vec![a, b, y, Slot::value((m * n) as u64)]
        };
        flat("add", format!("add_forward_{}", float.name()), float, Box::new(arguments), 3 * float.bytes())
    };
    Float::BOTH.into_iter().map(of_type).collect()
}

pub fn sgd() -> Vec<Entry> {
    /// Elements of a piece, and what a thread reads beside them: the piece and the rate.
    const PIECE: usize = 4096;
    const PIECE_BYTES: usize = 16;
    const THREAD_BYTES: usize = PIECE_BYTES + 4;
    let entry = |convention: &str, float: Float| {
        let bytes = 18 + float.bytes();
        Entry {
            stem: "sgd",
            kernel: format!("sgd_{convention}_{}", float.name()),
            arguments: Box::new(move |m, n| {
                let len = m * n;
                let piece = |offset: usize| {
                    let words =
                        [offset as u32, PIECE.min(len - offset) as u32, 1f32.to_bits(), 5e-4f32.to_bits()];
                    words.map(|word| word as i32)
                };
                let pieces = Slot::I32((0..len).step_by(PIECE).flat_map(piece).collect());
                let (weights, gradients, velocities) = (Slot::noise(len), float.noise(len), Slot::noise(len));
                let (copy, rate, momentum) =
                    (Slot::Output16(len), Slot::F32(vec![0.01]), Slot::value(0.9f32));
                vec![pieces, weights, gradients, velocities, copy, rate, momentum]
            }),
            launch: Box::new(|m, n| Launch::new((m * n).div_ceil(PIECE) as u32, BLOCK as u32)),
            bytes: Box::new(move |m, n| bytes * m * n + PIECE_BYTES * (m * n).div_ceil(PIECE)),
            cached: Box::new(|m, n| (THREAD_BYTES * BLOCK - PIECE_BYTES) * (m * n).div_ceil(PIECE)),
            large: (1, GIB / bytes),
            // The classifier of 751 identities.
            batch: (751, 2048),
        }
    };
    let of_type = |float| ["pytorch", "nesterov", "caffe"].map(|convention| entry(convention, float));
    Float::BOTH.into_iter().flat_map(of_type).collect()
}
