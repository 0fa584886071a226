//! All memory-bound kernels in use, with a launch, arguments and the bytes to move.

mod channels;
mod flat;
mod images;
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
pub const ELSEWHERE: [(&str, &str); 50] = [
    ("softmax_cross_entropy_mean", ONE_BLOCK),
    (
        "softmax_cross_entropy_smoothed_forward_f32",
        "softmax_cross_entropy_forward_f32 and a pass that the L1 cache serves",
    ),
    ("softmax_cross_entropy_smoothed_backward_f32", "as softmax_cross_entropy_backward_f32"),
    (
        "batch_contrastive_distances",
        "bound by the L2 cache and shared memory: the last of cuda/lab/batch_contrastive.cu",
    ),
    ("batch_contrastive_rows", ONE_BATCH),
    ("batch_contrastive_terms", ONE_BLOCK),
    ("batch_contrastive_backward", ONE_BATCH),
    ("center_loss_forward_f32", ONE_BATCH),
    ("center_loss_mean", ONE_BLOCK),
    ("center_loss_backward_f32", ONE_BATCH),
    ("center_step_f32", ONE_BATCH),
    ("pairs_products", "as batch_contrastive_distances"),
    ("pairs_backward", ONE_BATCH),
    ("triplet_rows", ONE_BATCH),
    ("triplet_weighted_rows", ONE_BATCH),
    ("triplet_terms", ONE_BLOCK),
    ("circle_rows", ONE_BATCH),
    ("circle_terms", ONE_BLOCK),
    ("circle_weights", ONE_BATCH),
    ("contrastive_rows", ONE_BATCH),
    ("contrastive_terms", ONE_BLOCK),
    ("verification_forward_f32", ONE_BATCH),
    ("verification_backward_f32", ONE_BATCH),
    ("verification_labels", ONE_BATCH),
    ("gem_forward_f32", POWERS),
    ("gem_forward_bf16", POWERS),
    ("gem_backward_input_f32", POWERS),
    ("gem_backward_input_bf16", POWERS),
    ("gem_backward_exponent_f32", POWERS),
    ("gem_backward_exponent_bf16", POWERS),
    ("gem_exponent", ONE_BLOCK),
    ("attributes_forward_f32", ONE_BATCH),
    ("attributes_mean", ONE_BLOCK),
    ("attributes_backward_f32", ONE_BATCH),
    ("instancenorm_forward_f32", ONE_IMAGE),
    ("instancenorm_forward_bf16", ONE_IMAGE),
    ("instancenorm_backward_sums_f32", ONE_IMAGE),
    ("instancenorm_backward_sums_bf16", ONE_IMAGE),
    ("instancenorm_backward_input_f32", "as batchnorm_backward_f32"),
    ("instancenorm_backward_input_bf16", "as batchnorm_backward_bf16"),
    ("instancenorm_backward_parameter", ONE_ROW),
    ("bias_gradient", ONE_ROW),
    ("assemble_sample", ONE_BLOCK),
    ("assemble_turn", ONE_BLOCK),
    ("unlabelled_targets", ONE_BLOCK),
    (
        "jitter_bytes",
        "one block an image, which reads its bytes twice: of an augmentation that is off by default",
    ),
    ("erase_pixels_f32", "a part of each image, by its draws: of an augmentation that is off by default"),
    ("erase_pixels_bf16", "as erase_pixels_f32"),
    ("distance_tile", "bound by its arithmetic"),
    ("distance_close", "reads what distance_tile has just written, and the rows of few pairs"),
];
const POWERS: &str = "bound by its powers: one or two of each value";
const ONE_IMAGE: &str = "as the passes of batchnorm, with the positions of an image as rows";
const ONE_BLOCK: &str = "one block: its time is that of a launch";
const ONE_BATCH: &str = "the features of a batch: the largest one, 1,024 x 4,096, fits into an L2 cache";
const ONE_ROW: &str = "a few numbers for each channel: its time is that of a launch";

/// The table.
pub fn entries() -> Vec<Entry> {
    let parts = [
        flat::cast(),
        flat::relu(),
        flat::add(),
        flat::sgd(),
        flat::adam(),
        flat::ema(),
        rows::pad(),
        rows::channels(),
        rows::dropout(),
        rows::l2_normalize(),
        rows::softmax_cross_entropy(),
        rows::distance(),
        channels::batchnorm(),
        channels::bias(),
        channels::global_avg_pool(),
        images::maxpool(),
        images::assemble(),
    ];
    parts.into_iter().flatten().collect()
}

const GIB: usize = 1 << 30;
/// Threads of a block.
const BLOCK: usize = 256;
