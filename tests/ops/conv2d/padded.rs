//! Images and their filters with padded channels, on a GPU.

use crate::gradient_check::noise;
use crate::on::{self, host};
use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape};
use bcreid::device::cuda::cudnn::padded_channels;
use bcreid::ops::conv2d::{Conv, conv2d};

/// Images that are padded with zeros have the output of images as they are; no other input may have more channels than
/// the filters.
#[test]
fn images_may_have_padded_channels() {
    on::cuda_in_each_precision(|device| {
        let wide = padded_channels(3, device.activations());
        let mut params = Params::none(device);
        let mut tape = Tape::no_grad(&mut params).unwrap();
        let (x, w) = (noise(1, 2 * 5 * 4 * 3), noise(2, 8 * 3 * 3 * 3));
        let padded: Vec<f32> = x
            .chunks(3)
            .flat_map(|pixel| pixel.iter().copied().chain(std::iter::repeat_n(0.0, wide - 3)))
            .collect();
        let conv = Conv { stride: 1, pad: 1 };
        let [plain, wider] = [(3, &x), (wide, &padded)].map(|(c, x)| {
            let x = tape.constant(on::tensor(device, [2, 5, 4, c], x));
            let w = tape.constant(on::tensor(device, [8, 3, 3, 3], &w));
            host(&conv2d(&mut tape, x, w, None, conv).unwrap().value)
        });
        assert_eq!(plain, wider);
        for c in [1, 2] {
            let x = tape.constant(on::tensor(device, [2, 5, 4, wide], &noise(3, 40 * wide)));
            let w = tape.constant(on::tensor(device, [8, 3, 3, c], &noise(4, 72 * c)));
            let error = conv2d(&mut tape, x, w, None, conv).map(drop).unwrap_err().to_string();
            assert!(error.contains(&format!("{wide} channels")), "{error}");
        }
    });
}

/// Filters of images that are a parameter have padded channels on a GPU: the output, the gradient of the filters and that
/// of the images are those of filters without, for images with and without padding.
#[test]
fn filters_of_images_may_have_padded_channels() {
    on::cuda_in_each_precision(|device| {
        let wide = padded_channels(3, device.activations());
        let mut specs = ParamSpecs::default();
        let id = specs.add("w", [8, 3, 3, 3]);
        let mut params = Params::new(device, &specs).unwrap();
        let filters = noise(2, 8 * 3 * 3 * 3);
        params.get_mut(id).load(&filters).unwrap();
        assert_eq!(params.get(id).weight().shape().dims(), [8, 3, 3, wide]);
        let (x, dy) = (noise(1, 2 * 5 * 4 * 3), noise(3, 2 * 5 * 4 * 8));
        let values = StepValues::new(device, 0).unwrap();
        let mut run = |c: usize, is_param: bool| {
            let pixel = |pixel: &[f32]| [pixel, &vec![0.0; c - 3]].concat();
            let x: Vec<f32> = x.chunks(3).flat_map(pixel).collect();
            let mut tape = Tape::new(&mut params, &values);
            let x = tape.leaf(on::tensor(device, [2, 5, 4, c], &x));
            let w = match is_param {
                true => tape.weight(id),
                false => tape.leaf(on::tensor(device, [8, 3, 3, 3], &filters)),
            };
            let y = conv2d(&mut tape, x.clone(), w.clone(), None, Conv { stride: 1, pad: 1 }).unwrap();
            let out = host(&y.value);
            let mut gradients = tape.backward(vec![(y, on::tensor(device, [2, 5, 4, 8], &dy))]).unwrap();
            let dw = gradients.take(&w).unwrap_or_else(|| params.get(id).grad.clone());
            let dx = gradients.take(&x).unwrap();
            [out, on::without_padding(&dw, 3), on::without_padding(&dx, 3)]
        };
        let plain = run(3, false);
        for c in [3, wide] {
            assert_eq!(run(c, true), plain, "images of {c} channels");
        }
    });
}
