//! Speed of kernels in the host build: `cargo run --release -p softcuda --example throughput`.

use std::time::Instant;

use softcuda::{Build, Device, Launch, args};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join("softcuda-throughput");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels/softmax.cu");
    let library = Build::new(&folder).file(file).library()?;
    let device = Device::new(&library)?;
    let (rows, columns) = (512, 1000);
    let x = device.upload("x", &vec![0.5f32; rows * columns])?;
    let y = device.unwritten::<f32>("y", rows * columns)?;
    for round in 0..3 {
        let start = Instant::now();
        let launch = Launch::new(rows as u32, 256).seed(round);
        let report = device.launch("softmax", &launch, args![&x, &y, columns as i32])?;
        let seconds = start.elapsed().as_secs_f64();
        let bytes = report.global_bytes_read + report.global_bytes_written;
        println!(
            "softmax: {:.2} million threads/s, {:.1} million global accesses/s, {:.2} million warp operations/s",
            report.threads as f64 / seconds / 1e6,
            bytes as f64 / 4.0 / seconds / 1e6,
            report.warp_operations as f64 / seconds / 1e6,
        );
    }
    let start = Instant::now();
    let launch = Launch::new(1, 256).shared(1024);
    let sum = device.unwritten::<f32>("sum", 1)?;
    let report = device.launch("block_sum", &launch, args![&x, &sum, (rows * columns) as i32])?;
    println!(
        "block_sum over {} elements: {:.1} million checked loads/s",
        rows * columns,
        report.global_bytes_read as f64 / 4.0 / start.elapsed().as_secs_f64() / 1e6
    );
    let start = Instant::now();
    let launch = Launch::new(1, 1024).shared(4096);
    let mut barriers = 0;
    for seed in 0..100 {
        barriers += device.launch("block_sum", &launch.seed(seed), args![&x, &sum, 1024i32])?.barriers;
    }
    let switches = barriers as f64 * 1024.0;
    println!(
        "block_sum of 1024 threads: {:.2} million waits at a barrier/s",
        switches / start.elapsed().as_secs_f64() / 1e6
    );
    Ok(())
}
