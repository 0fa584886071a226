//! The tensors in bcreid's network, put there by hand: they describe the images as Caffe's network does.

use crate::golden;
use bcreid::device::Device;
use bcreid::model::resnet::{ResNet, Spec};
use bcreid::ops::batchnorm::Statistics;
use bcreid::tensor::{Params, Tape, Tensor};
use bcreid::weights::read_tensors;
use bcreid_convert::caffe;

/// `[K, C, R, S]` to the engine's `[K, R, S, C]`.
fn channels_last(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let [_, channels, rows, columns] = shape[..] else { return values.to_vec() };
    let spots = rows * columns;
    let filter = |filter: &[f32]| -> Vec<f32> {
        (0..spots)
            .flat_map(|spot| (0..channels).map(move |c| (c, spot)))
            .map(|(c, spot)| filter[c * spots + spot])
            .collect()
    };
    values.chunks(channels * spots).flat_map(filter).collect()
}

#[test]
fn features_are_those_of_caffe_s_wiring() {
    let source = caffe::open(&golden("caffe.caffemodel")).unwrap();
    let expected = read_tensors(&golden("caffe.safetensors")).unwrap();
    let device = Device::cpu();
    let mut params = Params::new(&device);
    let wiring = source.wiring;
    let spec = Spec { bottleneck: true, depths: [3, 4, 6, 3], width: 2, wiring, last_stride: 2 };
    let net = ResNet::new(&spec, &mut params);
    let values = |name: &str| {
        let tensor = &source.tensors[name];
        channels_last(&tensor.values().unwrap(), &tensor.shape)
    };
    params.params_mut().iter_mut().for_each(|p| p.value.copy_from_host_f32(&values(&p.name)));
    params.buffers_mut().iter_mut().for_each(|b| b.value.copy_from_host_f32(&values(&b.name)));

    let pixels = expected.tensor("pixels").unwrap();
    let mean = expected.tensor("mean_bgr").unwrap().f32().unwrap();
    let bgr = pixels.bytes().as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [b, g, r]);
    let input: Vec<f32> = bgr.zip(mean.iter().cycle()).map(|(level, mean)| f32::from(level) - mean).collect();
    let input = Tensor::from_f32(&device, [8, 128, 64, 3], &input);
    let mut tape = Tape::no_grad(&mut params);
    let input = tape.constant(input);
    let features = net.forward(&mut tape, input, Statistics::Frozen).unwrap().value.to_host_f32();

    let golden = expected.tensor("features").unwrap().f32().unwrap();
    assert_eq!(features.len(), golden.len());
    let largest = golden.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    let stray = features.iter().zip(golden.iter()).map(|(ours, golden)| (ours - golden).abs());
    let stray = stray.fold(0.0, f32::max) / largest;
    assert!(stray < 1e-5, "features stray by {stray:e} of the largest");
}
