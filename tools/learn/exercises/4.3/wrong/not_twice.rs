// Expect: says that the right `square` loses a gradient
use bcreid::autograd::{Params, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::tensor::Tensor;

/// An operation with one input, whose output has the shape of the input.
pub type Op = dyn Fn(&mut Tape<'_>, Var) -> bcreid::Result<Var>;

/// Whether the operation adds its gradient when another use of its input has written before: two uses have twice the
/// gradient of one.
pub fn keeps_mode(op: &Op) -> bcreid::Result<bool> {
    let (once, twice) = (gradient(op, 1)?, gradient(op, 2)?);
    Ok(once.iter().zip(&twice).all(|(once, twice)| (once - twice).abs() <= 1e-5 * once.abs().max(1.0)))
}

/// The gradient of one input with so many uses.
fn gradient(op: &Op, uses: usize) -> bcreid::Result<Vec<f32>> {
    let device = Device::cpu();
    let values = StepValues::new(&device, 0)?;
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &values);
    let x = tape.leaf(Tensor::from_f32(&device, [3], &[0.5, -1.5, 2.0])?);
    let mut seeds = Vec::new();
    for _ in 0..uses {
        let y = op(&mut tape, x.clone())?;
        seeds.push((y, Tensor::from_f32(&device, [3], &[1.0, -2.0, 0.5])?));
    }
    let mut gradients = tape.backward(seeds)?;
    gradients.take(&x).map_or_else(|| Ok(vec![0.0; 3]), |dx| dx.to_host_f32())
}
