//! The trace of one block of a kernel on the simulated GPU: the launch of chapter 12.

use super::Drawn;
use crate::repository;
use softcuda::{Build, Device, Launch, args};

/// Launches the kernel with the arguments of the command that the chapter shows, and draws the second block.
pub fn draw() -> Drawn {
    let kernels = std::env::temp_dir().join("bcreid-book");
    let library = Build::new(kernels).file(repository().join("cuda/l2_normalize.cu")).library()?;
    let device = Device::new(&library)?;
    let host: Vec<f32> = (0..512).map(|i| (i / 4) as f32).collect();
    let x = device.upload("x", &host)?;
    let (y, norms) = (device.unwritten::<f32>("y", 512)?, device.unwritten::<f32>("norms", 2)?);
    let kernel = "l2_normalize_forward_f32";
    let launch = Launch::new(2, 64).keep_order().trace(1);
    device.launch(kernel, &launch, args![&x, &y, &norms, 256i32])?;
    Ok(device.take_trace().svg(&format!("{kernel}, block (1, 0, 0) of 64 threads")))
}
