//! Every kernel in use that memory limits, with a launch, arguments and the bytes that it has to move.

mod flat;
mod rows;

use super::slots::Slot;
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
    let parts = [
        flat::cast(),
        flat::relu(),
        flat::add(),
        flat::sgd(),
        rows::dropout(),
        rows::l2_normalize(),
        rows::softmax_cross_entropy(),
    ];
    parts.into_iter().flatten().collect()
}

const GIB: usize = 1 << 30;
/// Threads of a block.
const BLOCK: usize = 256;
