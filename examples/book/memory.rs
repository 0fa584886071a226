//! Chapter 2: shape, element type and buffer of a tensor.

use bcreid::device::Device;
use bcreid::element::{DType, Shape};
use bcreid::tensor::Tensor;
use std::error::Error;

// ANCHOR: strides
/// The distance in elements from each element to the next one along each axis. The last axis is dense.
fn strides(shape: Shape) -> Vec<usize> {
    let dims = shape.dims();
    (0..dims.len()).map(|axis| dims[axis + 1..].iter().product()).collect()
}
// ANCHOR_END: strides

pub fn run() -> Result<(), Box<dyn Error>> {
    let device = Device::cpu();

    println!("1. a shape is sizes, slowest first; strides follow from it");
    for dims in [&[16, 256, 128, 3][..], &[16, 2048], &[1]] {
        let shape = Shape::try_from(dims)?;
        println!("   {shape}: elements {}, strides {:?}", shape.len(), strides(shape));
    }

    println!("2. an element type has a size");
    for dtype in [DType::F32, DType::BF16, DType::I32, DType::U8] {
        let bytes = Shape::from([16, 256, 128, 3]).len() * dtype.bytes();
        println!("   a batch of images in {dtype}: {bytes} bytes");
    }

    println!("3. another shape of the same buffer");
    // ANCHOR: handles
    let mut x = Tensor::from_f32(&device, [1, 2, 3, 2], &(0..12).map(|i| i as f32).collect::<Vec<_>>())?;
    let [n, h, w, c] = [0, 1, 2, 0];
    let s = strides(x.shape());
    println!("   x[0, 1, 2, 0] = {}", x.f32()[n * s[0] + h * s[1] + w * s[2] + c * s[3]]);
    let rows = x.clone().reshape([6, 2]);
    println!("   its rows of channels: {:?}", rows.f32().chunks(2).collect::<Vec<_>>());
    println!("   same address: {}", x.f32().as_ptr() == rows.f32().as_ptr());
    println!("   x may be written while `rows` exists: {}", x.is_unique());
    drop(rows);
    println!("   x may be written now: {}", x.is_unique());
    x.f32_mut()[0] = 100.0;
    // ANCHOR_END: handles

    println!("4. a freed buffer is used again");
    let freed = x.f32().as_ptr();
    drop(x);
    let y = Tensor::empty(&device, [12], DType::F32)?;
    println!("   same address: {}, first element: {}", y.f32().as_ptr() == freed, y.f32()[0]);
    Ok(())
}
