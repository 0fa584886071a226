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

/// Kernels in use that do not belong into the table, each with the reason.
pub const ELSEWHERE: [(&str, &str); 9] = [
    ("softmax_cross_entropy_mean", "one block: its time is that of a launch"),
    ("batchnorm_statistics", "a few rows of sums: its time is that of a launch"),
    ("batchnorm_frozen", "a few rows: its time is that of a launch"),
    ("batchnorm_backward_parameters", "a few rows of sums: its time is that of a launch"),
    ("assemble_sample", "one block: its time is that of a launch"),
    ("assemble_turn", "a few numbers: its time is that of a launch"),
    ("distance_tile", "a matrix product: arithmetic limits it"),
    ("batch_contrastive_distances", "the L2 and shared memory limit it, as the lab tells"),
    ("batch_contrastive_terms", "one block: its time is that of a launch"),
];

/// Kernels that memory limits and whose line is still to be written.
pub const MISSING: [&str; 22] = [
    "batchnorm_moments_f32",
    "batchnorm_moments_bf16",
    "batchnorm_forward_f32",
    "batchnorm_forward_bf16",
    "batchnorm_backward_sums_f32",
    "batchnorm_backward_sums_bf16",
    "batchnorm_backward_input_f32",
    "batchnorm_backward_input_bf16",
    "maxpool_forward_f32",
    "maxpool_forward_bf16",
    "maxpool_backward_f32",
    "maxpool_backward_bf16",
    "global_avg_pool_forward_f32",
    "global_avg_pool_forward_bf16",
    "global_avg_pool_backward_f32",
    "global_avg_pool_backward_bf16",
    "assemble_pixels_f32",
    "assemble_pixels_bf16",
    "distance_squared_lengths",
    "batch_contrastive_rows",
    "batch_contrastive_backward",
    "center_step_f32",
];

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
