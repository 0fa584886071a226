//! Planted errors in the real sources, typical errors of kernel authors, and their detection by the kernels' tests. The
//! same tests pass on the sources as they are.

use crate::gpu::{Gpu, Outcome, planted};
use crate::{
    adam, attributes, batch_contrastive, batchnorm, center_loss, channels, circle, contrastive, gem,
    instancenorm, pairs, softmax_cross_entropy, triplet, verification,
};

/// The message of a planted error holds all of `words`.
#[track_caller]
pub fn seen(stem: &str, right: &str, wrong: &str, body: fn(&Gpu) -> Outcome, words: &[&str]) {
    let message = planted(stem, right, wrong, body);
    assert!(words.iter().all(|word| message.contains(word)), "{wrong:?} instead of {right:?}: {message}");
}

/// A piece of features is multiplied before all of it is there.
#[test]
fn a_removed_barrier() {
    let (right, wrong) = ("__syncthreads();  // both pieces are complete", "");
    let words = ["batch_contrastive_distances", "shared array", "_piece", "wait with __syncthreads"];
    seen("batch_contrastive", right, wrong, batch_contrastive::kernel::small_batches, &words);
}

/// A thread reads the element behind its own, which at the end lies outside of the buffer.
#[test]
fn an_index_off_by_one() {
    let (right, wrong) =
        ("load<decltype(width)::value>(row + i)", "load<decltype(width)::value>(row + i + 1)");
    let words = ["softmax_cross_entropy_forward_f32", "buffer `logits`", "check the index", "common.cuh:"];
    seen("softmax_cross_entropy", right, wrong, softmax_cross_entropy::kernel::every_case, &words);
}

/// The mask of a shuffle names half of the warp, but all of it takes part.
#[test]
fn a_shuffle_with_a_wrong_mask() {
    let (right, wrong) =
        ("__shfl_xor_sync(ALL_LANES, value, lanes)", "__shfl_xor_sync(0xffffu, value, lanes)");
    let words = ["mask 0x0000ffff", "softmax_cross_entropy_forward_f32", "common.cuh:"];
    seen("softmax_cross_entropy", right, wrong, softmax_cross_entropy::kernel::every_case, &words);
}

/// One block goes on without waiting for the sums of the others.
#[test]
fn a_block_that_skips_the_barrier_of_the_grid() {
    for (next, words) in [("for (int i", "batchnorm_forward_f32"), ("if (chunks", "batchnorm_backward_f32")] {
        let rest = format!(
            "cooperative_groups::this_grid().sync();\n    if (!(phases & APPLY)) return;\n    {next}"
        );
        let (right, wrong) =
            (format!("if (phases == BOTH) {rest}"), format!("if (phases == BOTH && blockIdx.x != 1) {rest}"));
        seen("batchnorm", &right, &wrong, batchnorm::kernel::every_case::<f32>, &[words, "buffer `chunks`"]);
    }
}

/// The order of a sum depends on the number of blocks, and so on the chip.
#[test]
fn a_statistic_added_in_another_order() {
    let (right, wrong) = ("total += partial[p * width", "total += partial[(p + gridDim.x) % parts * width");
    seen("batchnorm", right, wrong, batchnorm::kernel::every_case::<f32>, &["other bits than of one launch"]);
}

/// All tiles of a block keep their rows in one place.
#[test]
fn kept_rows_of_another_tile() {
    let (right, wrong) = ("static_cast<size_t>(number) * rows * blockDim.x), rows", "0), rows");
    seen("batchnorm", right, wrong, batchnorm::kernel::every_case::<f32>, &["y[", "expected"]);
}

/// The last pack of a row of the gradient stays as it was.
#[test]
fn an_unwritten_element() {
    let (right, wrong) =
        ("store<N>(dlogits + start + i, pack)", "if (i + N < n) store<N>(dlogits + start + i, pack)");
    let words = ["`dlogits`", "never written"];
    seen("softmax_cross_entropy", right, wrong, softmax_cross_entropy::kernel::every_case, &words);
}

/// x_i is both sides of its positive pairs, so in the exact gradient each counts twice. No access is wrong here:
/// only the comparison with the reference can tell.
#[test]
fn a_gradient_that_forgets_the_second_side_of_a_pair() {
    let (right, wrong) = ("times += exact ? 2.0f : 1.0f", "times += 1.0f");
    seen("batch_contrastive", right, wrong, batch_contrastive::kernel::small_batches, &["dx", "expected"]);
}

/// Under the mean, one of the three losses stays a sum.
#[test]
fn a_term_that_forgets_to_divide_by_the_batch() {
    let (right, wrong) = ("hinge = factor * sum.hinge", "hinge = sum.hinge");
    let words = ["Mean", "loss", "expected"];
    seen("batch_contrastive", right, wrong, batch_contrastive::kernel::small_batches, &words);
}

/// Under the mean, the gradient stays that of the sum.
#[test]
fn a_gradient_that_forgets_to_divide_by_the_batch() {
    let (right, wrong) = ("*dy * batch_contrastive::reduction_factor(mean, m)", "*dy");
    let words = ["Mean", "dx", "expected"];
    seen("batch_contrastive", right, wrong, batch_contrastive::kernel::small_batches, &words);
}

/// Partners are added while the other threads still write their weights.
#[test]
fn a_removed_barrier_before_the_weights_of_partners() {
    let (right, wrong) = ("__syncthreads();  // the weights of these partners are complete", "");
    let words = ["pairs_backward", "shared array", "both_sides", "wait with __syncthreads"];
    seen("pairs", right, wrong, pairs::kernel::gradients, &words);
}

/// Each pair counts from one of its sides alone: an anchor moves, its hardest positive and negative stay.
#[test]
fn a_gradient_of_the_anchors_alone() {
    let (right, wrong) =
        ("scaled(weights[i * m + j]) + scaled(weights[j * m + i])", "scaled(weights[i * m + j])");
    seen("pairs", right, wrong, pairs::kernel::gradients, &["dx", "expected"]);
}

/// The anchor is its own positive: at distance 0 no harm to the farthest, but an image without another one becomes an
/// anchor.
#[test]
fn an_anchor_that_is_its_own_positive() {
    let (right, wrong) =
        ("if (j == i) continue;\n        const float distance = pairs::", "const float distance = pairs::");
    seen("triplet", right, wrong, triplet::kernel::every_case, &["expected"]);
}

/// The weights of the images around an anchor are taken as constants: the derivative of their mean lacks a part.
#[test]
fn a_weighted_mean_whose_weights_do_not_move() {
    let (right, wrong) = ("(1.0f + distance - positive)", "1.0f");
    seen("triplet", right, wrong, triplet::kernel::every_case, &["weights", "expected"]);
}

/// The exponents of negatives have the sign of positives: far ones weigh most.
#[test]
fn a_weighted_mean_of_far_negatives() {
    let (right, wrong) = ("expf(nearest - distance);", "expf(distance - nearest);");
    seen("triplet", right, wrong, triplet::kernel::every_case, &["expected"]);
}

/// The mean over the classes becomes a sum.
#[test]
fn a_smoothing_that_forgets_the_number_of_classes() {
    let (right, wrong) = ("sum / static_cast<float>(n)", "sum");
    let words = ["smoothing", "losses", "expected"];
    seen("softmax_cross_entropy", right, wrong, softmax_cross_entropy::smoothing::every_case, &words);
}

/// The loss of the whole batch counts each pair from both of its anchors.
#[test]
fn a_batch_of_pairs_that_are_counted_twice() {
    let (right, wrong) = (" - twice;", ";");
    seen("circle", right, wrong, circle::kernel::every_case, &["Batch", "loss", "expected"]);
}

/// Copies of an image are pairs that cost nothing, and are counted all the same.
#[test]
fn a_pair_without_a_cost_that_counts() {
    let (right, wrong) = ("if (loss > 0.0f) {", "if (loss >= 0.0f) {");
    seen("contrastive", right, wrong, contrastive::kernel::copies, &["expected"]);
}

/// The second image of a pair moves along with the first.
#[test]
fn a_difference_without_a_sign() {
    let (right, wrong) =
        ("merged(second.at[k], -slope, accumulate)", "merged(second.at[k], slope, accumulate)");
    seen("verification", right, wrong, verification::kernel::every_case, &["dx", "expected"]);
}

/// The gradient of the center loss halves the square, as the paper's does, and the loss does not.
#[test]
fn a_gradient_of_half_the_square() {
    let (right, wrong) =
        ("2.0f * *dy / static_cast<float>(gridDim.x)", "*dy / static_cast<float>(gridDim.x)");
    seen("center_loss", right, wrong, center_loss::kernel::every_case, &["dx", "expected"]);
}

/// Each attribute has the value that the identity has of the first one.
#[test]
fn a_table_that_is_read_in_one_column() {
    let (right, wrong) = (
        "values[static_cast<size_t>(label) * count + attribute]",
        "values[static_cast<size_t>(label) * count]",
    );
    seen("attributes", right, wrong, attributes::kernel::every_case, &["expected"]);
}

/// The gradient is that of the sum over the attributes, and the loss their mean.
#[test]
fn a_gradient_that_forgets_the_number_of_attributes() {
    let (right, wrong) =
        ("*dy / (static_cast<float>(m) * static_cast<float>(attributes))", "*dy / static_cast<float>(m)");
    seen("attributes", right, wrong, attributes::kernel::every_case, &["dlogits", "expected"]);
}

/// The corrections of Adam use the number of the step before.
#[test]
fn a_correction_by_another_step() {
    let (right, wrong) = ("segment.first_step) + 1.0f", "segment.first_step) + 2.0f");
    seen("adam", right, wrong, adam::kernel::every_case_f32, &["weights", "expected"]);
}

/// AMSGrad divides by the mean square of the step instead of the largest.
#[test]
fn a_maximum_that_forgets_the_past() {
    let (right, wrong) = ("largest == nullptr || !(top.at[k] >= v.at[k])", "true");
    seen("adam", right, wrong, adam::kernel::every_case_f32, &["expected"]);
}

/// The gradient of a generalised mean is that of a sum.
#[test]
fn a_pooling_that_forgets_the_number_of_positions() {
    let (right, wrong) = ("dy[image * c + channel] * share *", "dy[image * c + channel] *");
    seen("gem", right, wrong, gem::kernel::every_case::<f32>, &["dx", "expected"]);
}

/// Values below the least one have a gradient.
#[test]
fn a_clamp_that_passes_the_gradient() {
    let (right, wrong) = ("value < EPS ? 0.0f :", "false ? 0.0f :");
    seen("gem", right, wrong, gem::kernel::every_case::<f32>, &["dx", "expected"]);
}

/// The second sum overwrites the first one's scratch while other warps still read it.
#[test]
fn a_removed_barrier_between_two_sums() {
    let (right, wrong) = ("__syncthreads();  // other threads may still read an earlier sum", "");
    let words = ["instancenorm", "scratch", "__syncthreads"];
    seen("instancenorm", right, wrong, instancenorm::kernel::every_case::<f32>, &words);
}

/// The variance is taken around 0.
#[test]
fn a_variance_that_forgets_the_mean() {
    let (right, wrong) = ("const float off = to_float(x[at]) - mean;", "const float off = to_float(x[at]);");
    seen("instancenorm", right, wrong, instancenorm::kernel::every_case::<f32>, &["y", "expected"]);
}

/// A second writer of a gradient overwrites the first one's channels.
#[test]
fn channels_that_are_not_added() {
    let (right, wrong) = ("if (accumulate) {", "if (false) {");
    seen("channels", right, wrong, channels::kernel::every_case::<f32>, &["copied", "expected"]);
}
