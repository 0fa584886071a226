//! Chapter 1: the CUDA kernel of the ReLU on a simulated GPU.

use softcuda::{Build, Device, Launch, args};
use std::error::Error;
use std::path::Path;

pub fn run() -> Result<(), Box<dyn Error>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda/relu.cu");
    // ANCHOR: simulated
    // The C++ compiler of the system makes a library of the .cu file, in the folder `kernels`.
    let library = Build::new("kernels").file(&source).library()?;
    let gpu = Device::new(&library)?;
    let host: Vec<f32> = (0..10).map(|i| i as f32 - 4.0).collect();
    let x = gpu.upload("x", &host)?;
    let y = gpu.unwritten::<f32>("y", host.len())?;
    // Two blocks of 32 threads; a thread takes up to four elements at a time.
    let report = gpu.launch("relu_forward_f32", &Launch::new(2, 32), args![&x, &y, host.len() as u64])?;
    // ANCHOR_END: simulated
    println!("x = {host:?}");
    println!("y = {:?}", y.read()?);
    println!("bytes read: {}, bytes written: {}", report.global_bytes_read, report.global_bytes_written);
    // ANCHOR: fault
    // The same launch with an n that is too large: a kernel that writes behind its buffer.
    let fault = gpu.launch("relu_forward_f32", &Launch::new(2, 32), args![&x, &y, 12u64]);
    println!("with n = 12: {}", fault.expect_err("12 elements do not fit into a buffer of 10"));
    // ANCHOR_END: fault
    Ok(())
}
