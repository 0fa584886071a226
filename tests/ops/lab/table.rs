//! Every kernel in use that memory limits, with a launch, arguments and the bytes that it has to move.

use super::slots::{Float, Slot};
use softcuda::Launch;

/// Something that depends on the size: m rows of n columns, or what an operation has that is closest to them.
type Of<T> = Box<dyn Fn(usize, usize) -> T>;

/// One kernel at any size.
pub struct Entry {
    pub stem: &'static str,
    pub kernel: String,
    pub arguments: Of<Vec<Slot>>,
    pub launch: Of<Launch>,
    /// Bytes between the chip and its memory.
    pub bytes: Of<usize>,
    /// Bytes asked for beyond those, which caches answer.
    pub cached: Of<usize>,
    /// Where `bytes` is about a gibibyte, much more than a cache holds.
    pub large: (usize, usize),
    /// As in a training step with 16 images of 256 x 128 and 751 identities.
    pub batch: (usize, usize),
}

/// Kernels in use that are not in the table, each with the reason.
pub const ELSEWHERE: [(&str, &str); 1] =
    [("softmax_cross_entropy_mean", "one block: its time is that of a launch")];

/// The table.
pub fn entries() -> Vec<Entry> {
    [softmax_cross_entropy()].into_iter().flatten().collect()
}

const GIB: usize = 1 << 30;
/// Threads of a block.
const BLOCK: usize = 256;

/// A block a row.
fn rows(m: usize, _: usize) -> Launch {
    Launch::new(m as u32, BLOCK as u32)
}

fn softmax_cross_entropy() -> Vec<Entry> {
    const WIDE: usize = 4096;
    let entry =
        |direction: &str, float: Float, arguments: Of<Vec<Slot>>, bytes: Of<usize>, cached: Of<usize>| {
            Entry {
                stem: "softmax_cross_entropy",
                kernel: format!("softmax_cross_entropy_{direction}_{}", float.name()),
                arguments,
                launch: Box::new(rows),
                large: (GIB / bytes(1, WIDE), WIDE),
                batch: (16, 751),
                bytes,
                cached,
            }
        };
    let of_type = |float: Float| {
        let size = float.bytes();
        let forward = entry(
            "forward",
            float,
            Box::new(move |m, n| {
                let (losses, partition) = (Slot::Output(m), Slot::Output(2 * m));
                vec![float.noise(m * n), Slot::labels(m, n), losses, partition, Slot::value(n as i32)]
            }),
            Box::new(move |m, n| size * m * n + 16 * m),
            Box::new(move |m, _| size * m), // the label's logit
        );
        let backward = entry(
            "backward",
            float,
            Box::new(move |m, n| {
                let (partition, dy) = (Slot::noise(2 * m), Slot::noise(1));
                let dlogits = float.output(m * n);
                vec![float.noise(m * n), Slot::labels(m, n), partition, dy, dlogits, Slot::value(n as i32)]
            }),
            Box::new(move |m, n| 2 * size * m * n + 12 * m),
            // Label, partition and dy go to every thread; dy is too small to count as bytes of memory.
            Box::new(|m, _| 16 * BLOCK * m - 12 * m),
        );
        [forward, backward]
    };
    Float::BOTH.into_iter().flat_map(of_type).collect()
}
