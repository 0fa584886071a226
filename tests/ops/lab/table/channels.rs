//! Kernels by channel, which iterate over the rows or positions of an image.

use super::super::slots::{Float, Slot};
use super::{BLOCK, Entry, GIB, Of};
use softcuda::Launch;

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

/// The tiles of batch normalisation ([`bcreid::device::cuda`], `tiles.rs`).
struct Tiles {
    columns: usize,
    rows: usize,
    chunks: usize,
    /// Threads of a block over channels and over rows, and the channels of a thread.
    x: usize,
    y: usize,
    lanes: usize,
}

impl Tiles {
    fn of(float: Float, m: usize, n: usize) -> Self {
        let lanes = if n.is_multiple_of(4) { 4 } else { 1 };
        let x = (n / lanes).next_power_of_two().min(64 / (lanes * float.bytes())).min(16);
        let columns = n.div_ceil(x * lanes);
        let rows = m.div_ceil((128 / columns).max(1)).max(32);
        let y = rows.next_power_of_two().clamp(32, 512 / x);
        Tiles { columns, rows, chunks: m.div_ceil(rows), x, y, lanes }
    }

    /// The channels of a block.
    fn width(&self) -> usize {
        self.x * self.lanes
    }

    fn count(&self) -> usize {
        self.columns * self.chunks
    }

    fn launch(&self) -> Launch {
        let scratch = 4 * self.x * (self.y * (self.lanes.max(2) + 1) + 5 * self.lanes);
        Launch::new(self.count() as u32, (self.x as u32, self.y as u32)).shared(scratch)
    }
}

pub fn batchnorm() -> Vec<Entry> {
    Float::BOTH.into_iter().flat_map(batchnorm_of).collect()
}

/// As with a residual and a ReLU. Nothing is kept in shared memory, so that the sizes alone give the bytes.
fn batchnorm_of(float: Float) -> [Entry; 3] {
    let size = float.bytes();
    let tiles = move |m, n| Tiles::of(float, m, n);
    let entry =
        |pass: &str, passes, cooperative, arguments: Of<Vec<Slot>>, bytes: Of<usize>, cached: Of<usize>| {
            Entry {
                stem: "batchnorm",
                kernel: format!("batchnorm_{pass}_{}", float.name()),
                arguments,
                launch: Box::new(move |m, n| {
                    let launch = tiles(m, n).launch();
                    // As many multiprocessors as hold the blocks on the host.
                    if cooperative { launch.cooperative(launch.grid.x) } else { launch }
                }),
                large: (GIB / (passes * size * WIDE), WIDE),
                batch: (16 * POSITIONS, WIDE),
                bytes,
                cached,
            }
        };
    // Sizes come last: rows, channels, and the rows of a tile.
    let sizes = move |m: usize, n: usize| {
        [Slot::value(m as u64), Slot::value(n as i32), Slot::value(tiles(m, n).rows as i32)]
    };
    let [off, on, both] = [0i32, 1, 3];
    let of = move |len| float.noise(len);
    [
        entry(
            "forward",
            4,
            true,
            Box::new(move |m, n| {
                let sums = Slot::Output(3 * tiles(m, n).chunks * n);
                let mut slots = vec![of(m * n)];
                slots.extend([0; 4].map(|_| Slot::noise(n)));
                slots.extend([sums, Slot::Output(5 * n), of(m * n), float.output(m * n)]);
                slots.push(Slot::value(0.1f32));
                slots.extend([on, both, off].map(Slot::value));
                slots.extend(sizes(m, n));
                slots
            }),
            // x is read twice. Each chunk has three partial sums; the parameters, the running statistics, the table.
            Box::new(move |m, n| 4 * size * m * n + 12 * tiles(m, n).chunks * n + 44 * n),
            // The pivots of each tile, the sums of all chunks twice, and the parameters.
            Box::new(move |m, n| {
                let t = tiles(m, n);
                let sums = t.count() * t.width() * t.chunks * 20;
                t.chunks * size * n + sums + 8 * (t.chunks - 1) * n
            }),
        ),
        entry(
            "frozen",
            3,
            false,
            Box::new(move |m, n| {
                let mut slots = vec![of(m * n)];
                slots.extend([Slot::noise(n), Slot::F32(vec![1.0; n]), Slot::noise(n), Slot::noise(n)]);
                slots.extend([Slot::Output(5 * n), of(m * n), float.output(m * n), Slot::value(on)]);
                slots.extend(sizes(m, n));
                slots
            }),
            Box::new(move |m, n| 3 * size * m * n + 36 * n),
            Box::new(move |m, n| 16 * (tiles(m, n).chunks - 1) * n),
        ),
        entry(
            "backward",
            7,
            true,
            Box::new(move |m, n| {
                let sums = Slot::Output(2 * tiles(m, n).chunks * n);
                let mut slots = vec![of(m * n), of(m * n), of(m * n), Slot::noise(5 * n), sums];
                slots.extend([Slot::Output(n), Slot::value(off), Slot::Output(n), Slot::value(off)]);
                slots.push(float.output(m * n));
                slots.extend([on, on, on, both, off].map(Slot::value));
                slots.extend(sizes(m, n));
                slots
            }),
            // dy, x and y, the masked dy; dy and x again, dx. Two partial sums a chunk, the table, dgamma and dbeta.
            Box::new(move |m, n| 7 * size * m * n + 8 * tiles(m, n).chunks * n + 28 * n),
            // The coefficients of each tile twice, the sums of all chunks, and three more rows of the table.
            Box::new(move |m, n| {
                let t = tiles(m, n);
                let coefficients = 2 * t.chunks * n * 12 - 20 * n;
                coefficients + t.count() * t.width() * t.chunks * 8 + 12 * t.chunks * n
            }),
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
