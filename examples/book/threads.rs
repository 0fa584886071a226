//! Chapter 12: threads, warps, barriers and races on the simulated GPU.

use softcuda::{Build, Device, Launch, args};
use std::error::Error;
use std::path::Path;

fn open() -> Result<Device, Box<dyn Error>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/book/kernels.cu");
    Ok(Device::new(&Build::new("kernels").file(&source).library()?)?)
}

pub fn run() -> Result<(), Box<dyn Error>> {
    let gpu = open()?;
    println!("3 blocks of 32 threads for 70 elements:");
    // ANCHOR: who
    let y = gpu.unwritten::<i32>("y", 70)?;
    gpu.launch("who", &Launch::new(3, 32), args![&y, 70i32])?;
    // ANCHOR_END: who
    let y = y.read()?;
    for at in [0, 31, 32, 69] {
        println!("  element {at}: block {}, thread {}", y[at] / 1000, y[at] % 1000);
    }

    let host: Vec<f32> = (0..128).map(|i| (i * 37 % 101) as f32 / 10.0).collect();
    println!("the sums of 128 values and of their squares, in three orders of the threads:");
    // ANCHOR: orders
    for seed in [1, 2, 3] {
        let (x, sums) = (gpu.upload("x", &host)?, gpu.unwritten::<f32>("sums", 2)?);
        let report = gpu.launch("moments_right", &Launch::new(1, 128).seed(seed), args![&x, &sums])?;
        let bits: Vec<u32> = sums.read()?.iter().map(|sum| sum.to_bits()).collect();
        println!("  {bits:x?}, {} barriers, {} warp operations", report.barriers, report.warp_operations);
    }
    // ANCHOR_END: orders
    Ok(())
}

pub fn races() -> Result<(), Box<dyn Error>> {
    let gpu = open()?;
    let host = [1.0f32; 128];
    // ANCHOR: races
    for (kernel, threads) in [("moments_right", 128), ("moments_racing", 128), ("half_a_barrier", 32)] {
        let (x, y) = (gpu.upload("x", &host)?, gpu.unwritten::<f32>("y", 128)?);
        match gpu.launch(kernel, &Launch::new(1, threads).keep_order(), args![&x, &y]) {
            Ok(_) => println!("{kernel}: no fault"),
            Err(fault) => println!("{kernel}: {:?}: {fault}", fault.kind),
        }
    }
    // ANCHOR_END: races
    Ok(())
}
