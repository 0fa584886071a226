//! Networks with random weights and uneven running statistics, so that every layer affects the features.

use bcreid::config::Config;
use bcreid::device::Device;
use bcreid::model::Model;
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::weights::{model_tensors, network, write_tensors};
use std::path::Path;

/// Writes the weights of a made-up network of these settings.
pub fn write(settings: &[&str], file: &Path) -> Config {
    let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
    let config = Config::resolve_text("", &settings).unwrap();
    let (_, mut params) = Model::new(&config, 3, &Device::cpu()).unwrap();
    let uneven = |number: usize, n: usize, low: f32, high: f32| -> Vec<f32> {
        let stream = Philox::new(7, 0, number as u64, RngStream::Init);
        (0..n as u32).map(|i| low + (high - low) * stream.uniform(i)).collect()
    };
    for (number, param) in params.params_mut().iter_mut().enumerate() {
        let &[n] = param.value.shape().dims() else { continue };
        let (low, high) = match param.name.rsplit_once('.') {
            // The last scale of a block is small, as training leaves it: else rounding grows from block to block.
            Some((layer, "weight")) if layer.ends_with("bn3") => (0.2, 0.5),
            Some((_, "weight")) => (0.5, 1.2),
            _ => (-0.2, 0.4),
        };
        param.load(&uneven(number, n, low, high)).unwrap();
    }
    for (number, buffer) in params.buffers_mut().iter_mut().enumerate() {
        let n = buffer.value.shape().len();
        let (low, high) = if buffer.name.ends_with("var") { (0.5, 2.0) } else { (-0.3, 0.3) };
        buffer.value.copy_from_host_f32(&uneven(1000 + number, n, low, high)).unwrap();
    }
    write_tensors(file, &model_tensors(&params).unwrap(), &network::metadata(config.to_toml())).unwrap();
    config
}
