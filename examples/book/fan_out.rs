//! Chapter 4: a value that two operations use.

use bcreid::autograd::{Backward, Params, Sinks, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::tensor::Tensor;
use std::error::Error;

// ANCHOR: square
/// y = x^2, element by element.
pub struct Square {
    x: Tensor,
    /// Keep the write mode of the sink. Without it the operation has the error of this chapter.
    keeps_mode: bool,
}

impl Backward for Square {
    fn op(&self) -> &'static str {
        "square"
    }

    /// dx = 2 x dy.
    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> bcreid::Result<()> {
        sinks.add(0, |dx, mode| {
            let values = self.x.f32().iter().zip(dy.f32()).map(|(x, dy)| 2.0 * x * dy);
            if self.keeps_mode {
                mode.store(dx.f32_mut(), values);
            } else {
                dx.f32_mut().iter_mut().zip(values).for_each(|(dx, value)| *dx = value);
            }
            Ok(())
        })
    }
}
// ANCHOR_END: square

pub fn square(tape: &mut Tape<'_>, x: Var, keeps_mode: bool) -> bcreid::Result<Var> {
    let y: Vec<f32> = x.value.f32().iter().map(|x| x * x).collect();
    let y = Tensor::from_f32(&tape.device(), [y.len()], &y)?;
    Ok(tape.record(y, &[x.handle()], |_| Square { x: x.value, keeps_mode }))
}

pub fn run() -> Result<(), Box<dyn Error>> {
    let device = Device::cpu();
    let values = StepValues::new(&device, 0)?;
    println!("L = sum of x^2 + sum of x^2, x = [3, -1]");
    for (rule, keeps_mode) in [("accumulate", true), ("overwrite", false)] {
        // ANCHOR: twice
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &values);
        let x = tape.leaf(Tensor::from_f32(&device, [2], &[3.0, -1.0])?);
        let y1 = square(&mut tape, x.clone(), keeps_mode)?;
        let y2 = square(&mut tape, x.clone(), keeps_mode)?;
        let ones = Tensor::full(&device, [2], 1.0)?;
        let mut gradients = tape.backward(vec![(y1, ones.clone()), (y2, ones)])?;
        let dx = gradients.take(&x).ok_or("L depends on x")?;
        // ANCHOR_END: twice
        println!("{rule}: dx = {:?}, expected [12.0, -4.0]", dx.f32());
    }
    Ok(())
}
