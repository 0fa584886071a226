use crate::gpu::{self, Gpu, Outcome, close, equal};
use crate::gradient_check::noise;
use softcuda::{Launch, Report, args};

/// The bytes read and written, as the comment of the .cu file says.
fn bytes(report: Option<Report>, want: [usize; 2]) -> Outcome {
    let counted = report.map(|report| [report.global_bytes_read, report.global_bytes_written]);
    if counted.is_none_or(|counted| counted == want.map(|n| n as u64)) {
        return Ok(());
    }
    Err(format!("counted {counted:?} bytes, expected {want:?}").into())
}

/// Halves of whole packs and of other lengths, several elements a thread, more blocks than elements.
pub fn every_case(gpu: &Gpu) -> Outcome {
    for (n, blocks, block) in
        [(1, 1, 32), (7, 2, 32), (64, 1, 32), (1000, 3, 64), (1023, 2, 96), (4096, 1, 1024)]
    {
        let (x, dy) = (noise(1, 2 * n), noise(2, n));
        let wide = |at: usize| f64::from(x[at]);
        let y: Vec<f64> = (0..n).map(|i| (wide(i) - wide(i + n)).powi(2)).collect();
        let slope = |i: usize| 2.0 * (wide(i) - wide(i + n)) * f64::from(dy[i]);
        let want: Vec<f64> = (0..n).map(slope).chain((0..n).map(|i| -slope(i))).collect();
        let launch = Launch::new(blocks, block);
        let (x, dy) = (gpu.upload("x", &x)?, gpu.upload("dy", &dy)?);
        let to = gpu.unwritten::<f32>("y", n)?;
        let report = gpu.launch("verification_forward_f32", launch, args![&x, &to, n as u64])?;
        bytes(report, [8 * n, 4 * n])?;
        close("y", &gpu.read(&to)?, &y, 1e-6, 1.0)?;
        let dx = gpu.unwritten::<f32>("dx", 2 * n)?;
        let report = gpu.launch("verification_backward_f32", launch, args![&x, &dy, &dx, 0i32, n as u64])?;
        bytes(report, [12 * n, 8 * n])?;
        let written = gpu.read(&dx)?;
        close("dx", &written, &want, 1e-6, 1.0)?;
        gpu.launch("verification_backward_f32", launch, args![&x, &dy, &dx, 1i32, n as u64])?;
        let doubled: Vec<f32> = written.iter().map(|v| 2.0 * v).collect();
        equal("dx added to itself", &gpu.read(&dx)?, &doubled)?;

        let labels: Vec<i32> = (0..2 * n as i32).map(|i| i * i % 5).collect();
        let want: Vec<i32> = (0..n).map(|i| i32::from(labels[i] == labels[i + n])).collect();
        let labels = gpu.upload("labels", &labels)?;
        let same = gpu.unwritten::<i32>("same", n)?;
        let each = Launch::new((n as u32).div_ceil(block), block);
        gpu.launch("verification_labels", each, args![&labels, &same, n as i32])?;
        if gpu.read(&same)? != want {
            return Err(format!("labels of {n} pairs").into());
        }
    }
    Ok(())
}

#[test]
fn kernels() {
    gpu::run("verification", every_case);
}
