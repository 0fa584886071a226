//! Convolutions by packed filters: the bits of [`conv2d`] with a bias, and an epilogue.

use crate::gradient_check::noise;
use crate::on;
use bcreid::autograd::{Params, Tape};
use bcreid::device::{Device, Precision};
use bcreid::ops::conv2d::{Conv, PackedConv, conv2d, conv2d_packed};
use bcreid::tensor::Tensor;

fn tensor(seed: u64, shape: impl Into<bcreid::element::Shape>) -> Tensor {
    let shape = shape.into();
    Tensor::from_f32(&Device::cpu(), shape, &noise(seed, shape.len())).unwrap()
}

#[test]
fn packed_filters_give_the_same_bits() {
    check(&Device::cpu());
}

/// The layers one by one round before the residual is added too; the filters here are numbers of bf16.
#[test]
fn packed_filters_give_the_same_bits_in_bf16() {
    check(&Device::cpu_in(Precision::Bf16));
}

/// Each algorithm, with whole and partial tiles: merged taps, pixels, strides, Winograd.
fn check(device: &Device) {
    let narrow = |exact: &Tensor| on::tensor(device, exact.shape(), exact.f32());
    for ([n, h, w, c], [k, size], stride) in [
        ([2, 16, 8, 3], [64, 7], 2),
        ([3, 7, 5, 40], [50, 1], 1),
        ([2, 9, 8, 32], [48, 3], 2),
        ([2, 9, 7, 48], [80, 3], 1),
        ([1, 1, 1, 400], [7, 1], 1),
    ] {
        let conv = Conv { stride, pad: size / 2 };
        let (x, filters, bias) =
            (narrow(&tensor(1, [n, h, w, c])), narrow(&tensor(2, [k, size, size, c])), tensor(3, [k]));
        let exact = Tensor::from_f32(device, filters.shape(), &on::host(&filters)).unwrap();
        let packed = PackedConv::new(&exact, &bias, conv).unwrap();
        let mut params = Params::none(device);
        let mut tape = Tape::no_grad(&mut params).unwrap();
        let [x, filters, bias] = [x, filters, bias].map(|value| tape.constant(value));
        let plain = conv2d(&mut tape, x.clone(), filters, Some(bias), conv).unwrap();
        let residual = tape.constant(narrow(&tensor(4, plain.shape())));
        for (residual, relu) in
            [(None, false), (None, true), (Some(&residual), false), (Some(&residual), true)]
        {
            let y = conv2d_packed(&mut tape, &x, &packed, residual, relu).unwrap();
            assert_eq!(y.shape(), plain.shape());
            let added = residual.map(|residual| on::host(&residual.value));
            let tolerance = if added.is_some() { on::tolerance(device, 0.0) } else { 0.0 };
            for (i, (y, plain)) in on::host(&y.value).into_iter().zip(on::host(&plain.value)).enumerate() {
                let sum = plain + added.as_ref().map_or(0.0, |added| added[i]);
                let want = if relu && sum < 0.0 { 0.0 } else { sum };
                let error = (y - want).abs();
                assert!(
                    error <= tolerance * want.abs().max(plain.abs()).max(1.0),
                    "element {i}, residual {}, relu {relu}: {y} and {want}",
                    added.is_some()
                );
            }
        }
    }
}

#[test]
fn wrong_sizes_are_refused() {
    let (device, conv) = (Device::cpu(), Conv { stride: 1, pad: 0 });
    let refuses = |filters: &Tensor, bias: &Tensor| {
        PackedConv::new(filters, bias, conv).expect_err("must be refused").to_string()
    };
    assert!(refuses(&tensor(1, [4, 1, 1, 3]), &tensor(2, [5])).contains("[4, 1, 1, 3] and [5]"));
    assert!(refuses(&tensor(1, [4, 3]), &tensor(2, [4])).contains("[K, R, S, C]"));
    let packed = PackedConv::new(&tensor(1, [4, 1, 1, 3]), &tensor(2, [4]), conv).unwrap();
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let (x, narrow) = (tape.constant(tensor(3, [1, 2, 2, 3])), tape.constant(tensor(3, [1, 2, 2, 2])));
    let residual = tape.constant(tensor(4, [1, 2, 2, 3]));
    assert!(conv2d_packed(&mut tape, &narrow, &packed, None, false).is_err());
    let message = conv2d_packed(&mut tape, &x, &packed, Some(&residual), false).unwrap_err().to_string();
    assert!(message.contains("a residual f32 [1, 2, 2, 3] for a result f32 [1, 2, 2, 4]"), "{message}");
}
