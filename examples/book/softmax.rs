//! Chapter 6: softmax cross entropy of large logits, as the formula says it and as the product computes it.

use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
use bcreid::tensor::Tensor;
use std::error::Error;

// ANCHOR: naive
/// -log(exp(z_label) / sum_k exp(z_k)), term by term, in f32.
fn naive(z: &[f32], label: usize) -> f32 {
    let sum: f32 = z.iter().map(|z| z.exp()).sum();
    -(z[label].exp() / sum).ln()
}
// ANCHOR_END: naive

pub fn run() -> Result<(), Box<dyn Error>> {
    let device = Device::cpu();
    for z in [[1.0, 2.0, 3.0], [101.0, 102.0, 103.0], [-201.0, -202.0, -203.0], [0.0, 200.0, 0.0]] {
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0)?);
        let logits = tape.leaf(Tensor::from_f32(&device, [1, 3], &z)?);
        let labels = Tensor::from_i32(&device, [1], &[0])?;
        let loss = softmax_cross_entropy(&mut tape, logits.clone(), &labels)?;
        let value = loss.value.f32()[0];
        let mut gradients = tape.backward(vec![(loss, Tensor::full(&device, [1], 1.0)?)])?;
        let dz = gradients.take(&logits).ok_or("the loss depends on its logits")?;
        let dz: Vec<String> = dz.f32().iter().map(|dz| format!("{dz:.4}")).collect();
        println!("z = {z:?}: naive {:.4}, product {value:.4}, dz = [{}]", naive(&z, 0), dz.join(", "));
    }
    Ok(())
}
