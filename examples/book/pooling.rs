//! Chapter 8: windows of max pooling, and a pixel that is the maximum of several.

use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::maxpool::{MaxPool, maxpool};
use bcreid::tensor::Tensor;
use std::error::Error;

pub fn run() -> Result<(), Box<dyn Error>> {
    println!("1. windows along a side, 3 x 3 with stride 2: torchvision (padding 1), Caffe (rounded up)");
    for side in [128, 127, 64, 5, 4] {
        let windows = |pool: MaxPool| pool.windows(side).map_or("none".into(), |n| n.to_string());
        println!("   {side:>3} pixels: {:>2}, {:>2}", windows(MaxPool::TORCHVISION), windows(MaxPool::CAFFE));
    }
    let single = MaxPool { kernel: 1, stride: 2, pad: 0, ceil: true };
    println!("2. 1 x 1 with stride 2, rounded up, 6 pixels: {:?} windows", single.windows(6));

    println!("3. the 9 is the maximum of all four windows, the NaN of one");
    // ANCHOR: overlap
    let device = Device::cpu();
    let values = StepValues::new(&device, 0)?;
    #[rustfmt::skip]
    let images = [
        [1.0, 2.0, 3.0, 0.0, 1.0,
         0.0, 4.0, 1.0, 2.0, 0.0,
         2.0, 1.0, 9.0, 1.0, 3.0,
         0.0, 3.0, 1.0, 0.0, 2.0,
         1.0, 0.0, 2.0, 1.0, 1.0],
        [1.0, 1.0, 0.0, 0.0, 0.0,
         1.0, 1.0, 0.0, f32::NAN, 0.0,
         0.0, 0.0, 0.0, 0.0, 0.0,
         0.0, 0.0, 0.0, 0.0, 0.0,
         0.0, 0.0, 0.0, 0.0, 0.0],
    ];
    for image in images {
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &values);
        let x = tape.leaf(Tensor::from_f32(&device, [1, 5, 5, 1], &image)?);
        let y = maxpool(&mut tape, x.clone(), MaxPool { kernel: 3, stride: 2, pad: 0, ceil: false })?;
        println!("   y = {:?}", y.value.f32());
        let dy = Tensor::from_f32(&device, [1, 2, 2, 1], &[1.0, 10.0, 100.0, 1000.0])?;
        let mut gradients = tape.backward(vec![(y, dy)])?;
        let dx = gradients.take(&x).ok_or("y depends on x")?;
        dx.f32().chunks(5).for_each(|row| println!("   dx {row:?}"));
    }
    // ANCHOR_END: overlap
    Ok(())
}
