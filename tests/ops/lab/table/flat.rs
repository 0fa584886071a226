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

/// Elements of a piece of an update, and the bytes of its line in the table.
const PIECE: usize = 4096;
const PIECE_BYTES: usize = 32;

/// The table of pieces of one parameter of `len` elements.
fn pieces(len: usize) -> Slot {
    let piece = |offset: usize| {
        let numbers = [1f32.to_bits(), 5e-4f32.to_bits(), 0, offset as u32, 1, 1];
        let words = [offset as u32, PIECE.min(len - offset) as u32].into_iter().chain(numbers);
        words.map(|word| word as i32)
    };
    Slot::I32((0..len).step_by(PIECE).flat_map(piece).collect())
}

/// The launch over those pieces.
fn by_pieces() -> Of<Launch> {
    Box::new(|m, n| Launch::new((m * n).div_ceil(PIECE) as u32, BLOCK as u32))
}

pub fn sgd() -> Vec<Entry> {
    /// Bytes that a thread reads beside its elements: the piece and the rate.
    const THREAD_BYTES: usize = PIECE_BYTES + 4;
    let entry = |convention: &str, float: Float| {
        let bytes = 16 + 2 * float.bytes();
        Entry {
            stem: "sgd",
            kernel: format!("sgd_{convention}_{}", float.name()),
            arguments: Box::new(move |m, n| {
                let len = m * n;
                let pieces = pieces(len);
                let (weights, gradients, velocities) = (Slot::noise(len), float.noise(len), Slot::noise(len));
                let (copy, rate, momentum) = (float.output(len), Slot::F32(vec![0.01]), Slot::value(0.9f32));
                vec![pieces, weights, gradients, velocities, copy, rate, momentum]
            }),
            launch: by_pieces(),
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

pub fn ema() -> Vec<Entry> {
    let arguments =
        |m, n| vec![Slot::noise(m * n), Slot::noise(m * n), Slot::value(0.1f32), Slot::value((m * n) as u64)];
    vec![flat("ema", "ema_f32".into(), Float::F32, Box::new(arguments), 12)]
}

/// With the largest squares of AMSGrad.
pub fn adam() -> Vec<Entry> {
    /// Bytes that a thread reads beside its elements: the piece, the rate and the number of the step.
    const THREAD_BYTES: usize = PIECE_BYTES + 8;
    let entry = |float: Float| {
        let bytes = 32 + 2 * float.bytes();
        Entry {
            stem: "adam",
            kernel: format!("adam_{}", float.name()),
            arguments: Box::new(move |m, n| {
                let len = m * n;
                let positive = || Slot::F32(vec![0.5; len]);
                let mut slots = vec![pieces(len), Slot::noise(len), float.noise(len), Slot::noise(len)];
                slots.extend([positive(), positive(), float.output(len)]);
                slots.extend([Slot::F32(vec![3e-4]), Slot::I32(vec![9])]);
                let constants = |beta: f64| [beta as f32, (1.0 - beta) as f32, beta.ln() as f32];
                slots.extend([0.9, 0.999].into_iter().flat_map(constants).map(Slot::value));
                slots.extend([Slot::value(1e-8f32), Slot::value(0i32)]);
                slots
            }),
            launch: by_pieces(),
            bytes: Box::new(move |m, n| bytes * m * n + PIECE_BYTES * (m * n).div_ceil(PIECE)),
            cached: Box::new(|m, n| (THREAD_BYTES * BLOCK - PIECE_BYTES) * (m * n).div_ceil(PIECE)),
            large: (1, GIB / bytes),
            // A classifier of 512 identities.
            batch: (512, 2048),
        }
    };
    Float::BOTH.into_iter().map(entry).collect()
}
