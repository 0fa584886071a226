//! Batch normalisation with frozen statistics and parameters, and inference.

use super::layer::{Layer, step};
use super::{BATCH, EPILOGUES, SMALL, fused, small};
use crate::on::{self, host};
use bcreid::autograd::{Tape, Var};
use bcreid::element::DType;
use bcreid::ops::batchnorm::{BatchNorm, Statistics};
use half::bf16;

/// Frozen parameters cost nothing: the forward works in place, and dx alone is right.
#[test]
fn frozen_statistics_without_learned_parameters() {
    on::each_precision(|device| {
        let [x, residual, dy] = small(device);
        for (_, has_residual, relu) in EPILOGUES {
            let residual = has_residual.then_some(residual.as_slice());
            let learned =
                step(Layer::noisy(device, 3), SMALL, &x, residual, &dy, &fused(Statistics::Frozen, relu));
            let mut layer = Layer::noisy(device, 3);
            layer.params.get_mut(layer.gamma).lr_mult = 0.0;
            layer.params.get_mut(layer.beta).lr_mult = 0.0;
            let in_place = |tape: &mut Tape<'_>, x: Var, bn, residual| {
                let place = place(&x);
                let y = fused(Statistics::Frozen, relu)(tape, x, bn, residual)?;
                assert_eq!(self::place(&y), place);
                Ok(y)
            };
            let constant = step(layer, SMALL, &x, residual, &dy, &in_place);
            assert_eq!((&constant.y, &constant.dresidual), (&learned.y, &learned.dresidual));
            assert_eq!(constant.dx, learned.dx);
            assert_eq!((constant.dgamma, constant.dbeta), (vec![0.0; 3], vec![0.0; 3]));
        }
    });
}

/// Where the elements lie in the memory of the CPU.
fn place(var: &Var) -> Option<usize> {
    let value = &var.value;
    value.gpu().is_none().then(|| match value.dtype() {
        DType::BF16 => value.reals::<bf16>().as_ptr() as usize,
        _ => value.f32().as_ptr() as usize,
    })
}

/// Inference takes the running statistics, whatever is asked for, leaves them alone and works in place, but not where
/// somebody else holds the input.
#[test]
fn inference_is_frozen_and_in_place() {
    on::each_precision(|device| {
        let [x, residual, _] = small(device);
        for (_, has_residual, relu) in EPILOGUES {
            let residual = has_residual.then_some(residual.as_slice());
            let frozen = fused(Statistics::Frozen, relu);
            let expected = step(Layer::noisy(device, 3), SMALL, &x, residual, &[0.0; 60], &frozen).y;
            for shared in [false, true] {
                let mut layer = Layer::noisy(device, 3);
                let before = layer.running();
                let mut tape = Tape::no_grad(&mut layer.params).unwrap();
                let input = tape.constant(on::tensor(device, SMALL, &x));
                let keeper = shared.then(|| input.clone());
                let place = place(&input);
                let residual = residual.map(|r| tape.constant(on::tensor(device, SMALL, r)));
                let bn = BatchNorm {
                    gamma: tape.param(layer.gamma),
                    beta: tape.param(layer.beta),
                    mean: layer.mean,
                    var: layer.var,
                };
                let y = fused(BATCH, relu)(&mut tape, input, bn, residual).unwrap();
                assert_eq!(host(&y.value), expected);
                if place.is_some() {
                    assert_eq!(self::place(&y) == place, !shared);
                }
                if let Some(keeper) = keeper {
                    assert_eq!(host(&keeper.value), x);
                }
                drop(tape);
                assert_eq!(layer.running(), before);
            }
        }
    });
}
