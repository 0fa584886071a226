//! Kernels by channel, which iterate over the rows or positions of an image.

use super::super::slots::{Float, Slot};
use super::{BLOCK, Entry, GIB, Of};
use softcuda::{Arg, Launch};

/// Channels of the last stage of a ResNet-50, and the positions of an image there.
const WIDE: usize = 2048;
const POSITIONS: usize = 8 * 4;

/// Threads of a block over channels, and over rows.
const ACROSS: usize = 32;
const DOWN: usize = BLOCK / ACROSS;
/// Rows of a block.
const CHUNK: usize = 64;

/// How many elements a thread has at a time.
fn width(float: Float, channels: usize) -> usize {
    let pack = 16 / float.bytes();
    if channels.is_multiple_of(pack) { pack } else { 1 }
}

pub fn batchnorm() -> Vec<Entry> {
    Float::BOTH.into_iter().flat_map(batchnorm_of).collect()
}

/// Blocks of rows: the chunks of a sum over them.
fn chunks(m: usize) -> usize {
    m.div_ceil(CHUNK)
}

/// A block for each chunk and the channels that it has threads for.
fn by_chunks(float: Float) -> Of<Launch> {
    Box::new(move |m, n| {
        let columns = n.div_ceil(width(float, n) * ACROSS);
        Launch::new((columns as u32, chunks(m) as u32), (ACROSS as u32, DOWN as u32))
    })
}

fn batchnorm_of(float: Float) -> [Entry; 4] {
    let size = float.bytes();
    let entry = |pass: &str, arguments: Of<Vec<Slot>>, bytes: Of<usize>, cached: Of<usize>| Entry {
        stem: "batchnorm",
        kernel: format!("batchnorm_{pass}_{}", float.name()),
        arguments,
        launch: by_chunks(float),
        large: (GIB / bytes(CHUNK, WIDE) * CHUNK, WIDE),
        batch: (16 * POSITIONS, WIDE),
        bytes,
        cached,
    };
    // Sizes come last: rows, channels, and of a kernel with chunks the rows of one.
    let sizes = |m: usize, n: usize| vec![Slot::value(m as u64), Slot::value(n as i32)];
    let chunk = || Slot::value(CHUNK as i32);
    let null = || Slot::Value(Arg::Pointer(0));
    let of = move |len| float.noise(len);
    // Every thread of a column reads the figures of its channels, and so does each block of rows.
    let again = move |m: usize, bytes: usize| (chunks(m) * DOWN - 1) * bytes;
    [
        entry(
            "moments",
            Box::new(move |m, n| {
                let mut slots = vec![of(m * n), Slot::Output(3 * chunks(m) * n)];
                slots.extend(sizes(m, n));
                slots.push(chunk());
                slots
            }),
            Box::new(move |m, n| size * m * n + 12 * chunks(m) * n),
            Box::new(move |m, n| chunks(m) * DOWN * size * n), // the pivots
        ),
        entry(
            "forward",
            Box::new(move |m, n| {
                let mut slots =
                    vec![of(m * n), Slot::noise(5 * n), of(m * n), float.output(m * n), Slot::value(1i32)];
                slots.extend(sizes(m, n));
                slots
            }),
            Box::new(move |m, n| 3 * size * m * n + 12 * n),
            Box::new(move |m, n| again(m, 12 * n)),
        ),
        entry(
            "backward_sums",
            Box::new(move |m, n| {
                let (mask, settle) = (Slot::value(1i32), Slot::value(1i32));
                let sums = Slot::Output(2 * chunks(m) * n);
                let mut slots = vec![of(m * n), of(m * n), of(m * n), Slot::noise(5 * n), sums, mask, settle];
                slots.extend(sizes(m, n));
                slots.push(chunk());
                slots
            }),
            Box::new(move |m, n| 4 * size * m * n + 8 * chunks(m) * n + 12 * n),
            Box::new(move |m, n| again(m, 12 * n)),
        ),
        entry(
            "backward_input",
            Box::new(move |m, n| {
                let (table, correction) = (Slot::noise(5 * n), Slot::noise(2 * n));
                let dx = float.output(m * n);
                let mut slots = vec![of(m * n), of(m * n), null(), table, correction, dx, Slot::value(0i32)];
                slots.extend(sizes(m, n));
                slots
            }),
            Box::new(move |m, n| 3 * size * m * n + 20 * n),
            Box::new(move |m, n| again(m, 20 * n)),
        ),
    ]
}

pub fn bias() -> Vec<Entry> {
    Float::BOTH.into_iter().flat_map(bias_of).collect()
}

fn bias_of(float: Float) -> [Entry; 2] {
    let size = float.bytes();
    let entry = |pass: &str, arguments: Of<Vec<Slot>>, bytes: Of<usize>, cached: Of<usize>| Entry {
        stem: "bias",
        kernel: format!("bias_{pass}_{}", float.name()),
        arguments,
        launch: by_chunks(float),
        large: (GIB / bytes(CHUNK, WIDE) * CHUNK, WIDE),
        // What the first convolution of a ResNet makes of half a batch: of all of it the L2 would not hold f32.
        batch: (8 * 128 * 64, 64),
        bytes,
        cached,
    };
    let sizes = |m: usize, n: usize| [Slot::value(m as u64), Slot::value(n as i32)];
    [
        entry(
            "forward",
            Box::new(move |m, n| {
                [float.noise(m * n), Slot::noise(n)].into_iter().chain(sizes(m, n)).collect()
            }),
            Box::new(move |m, n| 2 * size * m * n + 4 * n),
            Box::new(|m, n| (chunks(m) * DOWN - 1) * 4 * n), // the bias, for each thread of a column
        ),
        entry(
            "gradient_sums",
            Box::new(move |m, n| {
                let buffers = [float.noise(m * n), Slot::Output(chunks(m) * n)];
                buffers.into_iter().chain(sizes(m, n)).chain([Slot::value(CHUNK as i32)]).collect()
            }),
            Box::new(move |m, n| size * m * n + 4 * chunks(m) * n),
            Box::new(|_, _| 0),
        ),
    ]
}

/// m images of n channels.
pub fn global_avg_pool() -> Vec<Entry> {
    Float::BOTH.into_iter().flat_map(global_avg_pool_of).collect()
}

fn global_avg_pool_of(float: Float) -> [Entry; 2] {
    let size = float.bytes();
    let elements = |m: usize, n: usize| m * POSITIONS * n;
    let entry = |direction: &str, arguments: Of<Vec<Slot>>, launch: Of<Launch>, cached: Of<usize>| Entry {
        stem: "global_avg_pool",
        kernel: format!("global_avg_pool_{direction}_{}", float.name()),
        arguments,
        launch,
        bytes: Box::new(move |m, n| size * elements(m, n) + 4 * m * n),
        cached,
        large: (GIB / (size * elements(1, WIDE)), WIDE),
        batch: (16, WIDE),
    };
    let sizes = |n: usize| [Slot::value(POSITIONS as i32), Slot::value(n as i32)];
    [
        entry(
            "forward",
            Box::new(move |m, n| {
                [float.noise(elements(m, n)), Slot::Output(m * n)].into_iter().chain(sizes(n)).collect()
            }),
            Box::new(move |m, n| {
                Launch::new((m as u32, n.div_ceil(32 * width(float, n)) as u32), BLOCK as u32)
            }),
            Box::new(|_, _| 0),
        ),
        entry(
            "backward",
            Box::new(move |m, n| {
                let (dy, dx, accumulate) =
                    (Slot::noise(m * n), float.output(elements(m, n)), Slot::value(0i32));
                [dy, dx, accumulate].into_iter().chain(sizes(n)).collect()
            }),
            Box::new(|m, _| Launch::new((m as u32, POSITIONS as u32), BLOCK as u32)),
            Box::new(|m, n| (POSITIONS - 1) * 4 * m * n), // dy, for each position
        ),
    ]
}
