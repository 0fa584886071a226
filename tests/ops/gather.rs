//! Several ranks on shares of a batch compute what one rank computes on the whole: the same bits from the same features.

use crate::gradient_check::noise;
use crate::metric::MIXED;
use bcreid::Result;
use bcreid::autograd::{BufferId, ParamSpecs, Params, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::ops::batch_contrastive::{self, Gradient, Reduction, batch_contrastive};
use bcreid::ops::batchnorm::{BatchNorm, Epilogue, Statistics, batchnorm};
use bcreid::ops::center_loss::center_loss;
use bcreid::ops::center_step::center_step;
use bcreid::ops::circle::{self, circle};
use bcreid::ops::contrastive::{Margins, contrastive};
use bcreid::ops::dropout::dropout;
use bcreid::ops::gather::gather;
use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
use bcreid::ops::triplet::{self, Margin, triplet};
use bcreid::ranks::threads;
use bcreid::tensor::Tensor;
use std::time::Duration;

/// Images of the batch; [`MIXED`] twice, less two.
const M: usize = 16;
const D: usize = 12;
const CLASSES: usize = 6;
const TIMEOUT: Duration = Duration::from_secs(60);

fn labels() -> Vec<i32> {
    MIXED.iter().chain(&MIXED).copied().take(M).collect()
}

/// The results of `work` on each of `ranks` ranks, in rank order.
fn on_ranks<T: Send>(ranks: usize, work: impl Fn(&Device, usize) -> T + Sync) -> Vec<T> {
    let groups = match ranks {
        1 => vec![bcreid::ranks::Group::Alone],
        _ => threads::groups(ranks, TIMEOUT),
    };
    std::thread::scope(|scope| {
        let work = &work;
        let threads = groups
            .into_iter()
            .enumerate()
            .map(|(rank, group)| scope.spawn(move || work(&Device::cpu().in_group(group).unwrap(), rank)));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The rows of `rank` in a matrix of M rows.
fn rows(values: &[f32], rank: usize, ranks: usize) -> &[f32] {
    let share = values.len() / ranks;
    &values[rank * share..][..share]
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A loss of features `[M, D]` and labels, with values that it measures.
type Loss = fn(&mut Tape<'_>, Var, &Tensor, &Tensor) -> Result<(Var, Tensor)>;

fn own_loss(
    tape: &mut Tape<'_>,
    x: Var,
    labels: &Tensor,
    centers: &Tensor,
    (gradient, reduction): (Gradient, Reduction),
) -> Result<(Var, Tensor)> {
    // A margin that some of the hinges pass.
    let options = batch_contrastive::Options { gradient, reduction, tau: 12.0 };
    let found = batch_contrastive(tape, x, labels, centers, options)?;
    Ok((found.loss, found.terms))
}

fn alone(loss: Var) -> (Var, Tensor) {
    let value = loss.value.clone();
    (loss, value)
}

const LOSSES: [(&str, Loss); 9] = [
    ("paper's gradient, sum", |t, x, l, c| own_loss(t, x, l, c, (Gradient::Paper, Reduction::Sum))),
    ("paper's gradient, mean", |t, x, l, c| own_loss(t, x, l, c, (Gradient::Paper, Reduction::Mean))),
    ("exact gradient, sum", |t, x, l, c| own_loss(t, x, l, c, (Gradient::Exact, Reduction::Sum))),
    ("exact gradient, mean", |t, x, l, c| own_loss(t, x, l, c, (Gradient::Exact, Reduction::Mean))),
    ("center loss", |t, x, l, c| center_loss(t, x, l, c).map(alone)),
    ("softmax", |t, x, l, _| softmax_cross_entropy(t, x, l).map(alone)),
    ("triplet", |t, x, l, _| {
        let options = triplet::Options {
            mining: bcreid::config::Mining::Hard,
            margin: Margin::Hard(0.3),
            distance: bcreid::config::Distance::Euclidean,
        };
        triplet(t, x, l, options).map(|found| alone(found.loss))
    }),
    ("circle", |t, x, l, _| {
        let options = circle::Options { margin: 0.25, gamma: 4.0, scope: bcreid::config::Scope::Batch };
        circle(t, x, l, options).map(|found| alone(found.loss))
    }),
    ("contrastive", |t, x, l, _| {
        contrastive(t, x, l, Margins { positive: 0.5, negative: 6.0 }).map(|found| alone(found.loss))
    }),
];

#[test]
fn losses_and_their_gradients_have_the_bits_of_one_rank() {
    let (x, centers) = (noise(1, M * D), noise(2, CLASSES * D));
    for (name, loss) in LOSSES {
        let run = |ranks: usize| {
            let of_ranks = on_ranks(ranks, |device, rank| {
                let labels = Tensor::from_i32(device, [M], &labels()).unwrap();
                let centers = Tensor::from_f32(device, [CLASSES, D], &centers).unwrap();
                let mut params = Params::none(device);
                let values = StepValues::new(device, 0).unwrap();
                let mut tape = Tape::new(&mut params, &values);
                let own = Tensor::from_f32(device, [M / ranks, D], rows(&x, rank, ranks)).unwrap();
                let own = tape.leaf(own);
                let all = gather(&mut tape, own.clone()).unwrap();
                let (value, measured) = loss(&mut tape, all, &labels, &centers).unwrap();
                let result = [value.value.f32(), measured.f32()].concat();
                let seed = Tensor::full(device, [1], 0.7).unwrap();
                let mut gradients = tape.backward(vec![(value, seed)]).unwrap();
                (bits(&result), bits(gradients.take(&own).unwrap().f32()))
            });
            let (results, gradients): (Vec<_>, Vec<_>) = of_ranks.into_iter().unzip();
            results.iter().for_each(|of_rank| assert_eq!(of_rank, &results[0], "{name}: the ranks differ"));
            (results[0].clone(), gradients.concat())
        };
        let whole = run(1);
        assert!(whole.1.iter().any(|bits| *bits != 0), "{name}");
        for ranks in [2, 4, 8] {
            assert_eq!(run(ranks), whole, "{name}, {ranks} ranks");
        }
    }
}

#[test]
fn centers_move_alike_on_all_ranks() {
    let (x, centers) = (noise(3, M * D), noise(4, CLASSES * D));
    let run = |ranks: usize| {
        on_ranks(ranks, |device, rank| {
            let labels = Tensor::from_i32(device, [M], &labels()).unwrap();
            let mut centers = Tensor::from_f32(device, [CLASSES, D], &centers).unwrap();
            let mut params = Params::none(device);
            let mut tape = Tape::no_grad(&mut params).unwrap();
            let own = Tensor::from_f32(device, [M / ranks, D], rows(&x, rank, ranks)).unwrap();
            let own = tape.constant(own);
            let all = gather(&mut tape, own).unwrap().value;
            center_step(&mut centers, &all, &labels, &Tensor::full(device, [1], 0.5).unwrap()).unwrap();
            bits(centers.f32())
        })
    };
    let whole = run(1).remove(0);
    run(2).into_iter().chain(run(4)).for_each(|of_rank| assert_eq!(of_rank, whole));
}

/// The mask of a row depends on its place in the whole batch.
#[test]
fn dropout_has_the_masks_of_one_rank() {
    let x = noise(5, M * D);
    let run = |ranks: usize| {
        let of_ranks = on_ranks(ranks, |device, rank| {
            let mut params = Params::none(device);
            let values = StepValues::new(device, 7).unwrap();
            let mut tape = Tape::new(&mut params, &values);
            let own = Tensor::from_f32(device, [M / ranks, D], rows(&x, rank, ranks)).unwrap();
            let own = tape.leaf(own);
            bits(dropout(&mut tape, own, 0.5).unwrap().value.f32())
        });
        of_ranks.concat()
    };
    let whole = run(1);
    assert!([2, 4].iter().all(|&ranks| run(ranks) == whole));
}

/// The layer on the ranks: outputs, gradients of x, summed gradients of gamma and beta, running statistics.
fn normalised(ranks: usize, statistics: Statistics) -> [Vec<f32>; 4] {
    let (c, rows_each) = (5, 6 * M / ranks);
    let x: Vec<f32> = noise(6, 6 * M * c).iter().enumerate().map(|(i, x)| x + (i / 40) as f32).collect();
    let dy = noise(7, x.len());
    let of_ranks = on_ranks(ranks, |device, rank| {
        let mut specs = ParamSpecs::default();
        let gamma = specs.add("gamma", [c]);
        let beta = specs.add("beta", [c]);
        let [mean, var]: [BufferId; 2] =
            [("mean", 0.0), ("var", 1.0)].map(|(name, value)| specs.add_buffer(name, [c], value));
        let mut params = Params::new(device, &specs).unwrap();
        params.get_mut(gamma).load(&noise(8, c)).unwrap();
        params.get_mut(beta).load(&noise(9, c)).unwrap();
        let values = StepValues::new(device, 0).unwrap();
        let mut tape = Tape::new(&mut params, &values);
        let shape = [1, rows_each, 1, c];
        let own = Tensor::from_f32(device, shape, rows(&x, rank, ranks)).unwrap();
        let own = tape.leaf(own);
        let bn = BatchNorm { gamma: tape.param(gamma), beta: tape.param(beta), mean, var };
        let epilogue = Epilogue { residual: None, relu: true };
        let y = batchnorm(&mut tape, own.clone(), bn, statistics, epilogue).unwrap();
        let values = y.value.f32().to_vec();
        let dy = Tensor::from_f32(device, shape, rows(&dy, rank, ranks)).unwrap();
        let dx = tape.backward(vec![(y, dy)]).unwrap().take(&own).unwrap().f32().to_vec();
        let of_params: Vec<f32> =
            [gamma, beta].iter().flat_map(|id| params.get(*id).grad.f32().to_vec()).collect();
        let running: Vec<f32> = [mean, var].iter().flat_map(|id| params.buffer(*id).f32().to_vec()).collect();
        [values, dx, of_params, running]
    });
    let part = |i: usize| of_ranks.iter().map(|of_rank| of_rank[i].clone()).collect::<Vec<_>>();
    let mut of_params = vec![0.0; 2 * c];
    part(2).iter().for_each(|own| of_params.iter_mut().zip(own).for_each(|(sum, own)| *sum += own));
    if !matches!(statistics, Statistics::ShareOfBatch { .. }) {
        part(3).iter().for_each(|own| assert_eq!(bits(own), bits(&part(3)[0]), "running statistics"));
    }
    [part(0).concat(), part(1).concat(), of_params, part(3).remove(0)]
}

#[test]
fn statistics_are_those_of_the_whole_batch() {
    for statistics in [Statistics::Batch { momentum: 0.1 }, Statistics::Frozen] {
        let whole = normalised(1, statistics);
        for ranks in [2, 4, 8] {
            for (what, (own, whole)) in ["y", "dx", "dgamma and dbeta", "running"]
                .iter()
                .zip(normalised(ranks, statistics).iter().zip(&whole))
            {
                let largest = whole.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                let apart = own.iter().zip(whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(
                    apart <= 2e-6 * largest,
                    "{what}, {ranks} ranks, {statistics:?}: {apart} of {largest}"
                );
            }
        }
    }
    // With statistics of its share a rank has another result.
    let [shares, ..] = normalised(2, Statistics::ShareOfBatch { momentum: 0.1 });
    let [whole, ..] = normalised(1, Statistics::Batch { momentum: 0.1 });
    assert!(shares.iter().zip(&whole).any(|(a, b)| (a - b).abs() > 0.1));
}
