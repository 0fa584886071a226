use crate::gpu::{self, Gpu, Outcome, close};
use crate::gradient_check::noise;
use softcuda::{Launch, args};

struct Case {
    m: usize,
    n: usize,
    logits: Vec<f32>,
    labels: Vec<i32>,
}

const DY: f32 = 1.75;

impl Case {
    /// Noise times `size`; labels all over the classes.
    fn noise(m: usize, n: usize, size: f32) -> Self {
        let logits = noise((m * n) as u64, m * n).iter().map(|v| size * v).collect();
        Case { m, n, logits, labels: (0..m).map(|i| (i * 7919 % n) as i32).collect() }
    }

    /// Per-sample losses and dlogits, in f64.
    fn reference(&self) -> (Vec<f64>, Vec<f64>) {
        let logits: Vec<f64> = self.logits.iter().copied().map(f64::from).collect();
        let (mut losses, mut gradient) = (Vec::new(), Vec::new());
        for (z, &label) in logits.chunks(self.n).zip(&self.labels) {
            let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
            losses.push(log_sum - (z[label as usize] - max));
            let share = f64::from(DY) / self.m as f64;
            gradient.extend(z.iter().enumerate().map(|(j, z)| {
                let onehot = if j == label as usize { 1.0 } else { 0.0 };
                ((z - max - log_sum).exp() - onehot) * share
            }));
        }
        (losses, gradient)
    }

    fn check(&self, gpu: &Gpu, block: u32) -> Outcome {
        let Case { m, n, .. } = *self;
        let logits = gpu.upload("logits", &self.logits)?;
        let labels = gpu.upload("labels", &self.labels)?;
        let losses = gpu.unwritten::<f32>("losses", m)?;
        let partition = gpu.unwritten::<f32>("partition", 2 * m)?;
        let loss = gpu.unwritten::<f32>("loss", 1)?;
        let rows = Launch::new(m as u32, block);
        let forward = "softmax_cross_entropy_forward_f32";
        gpu.launch(forward, rows, args![&logits, &labels, &losses, &partition, n as i32])?;
        gpu.launch("softmax_cross_entropy_mean", Launch::new(1, block), args![&losses, &loss, m as i32])?;

        let (want, gradient) = self.reference();
        // The exponential of a
        // logit far from the maximum carries the absolute error of their difference.
        close("losses", &gpu.read(&losses)?, &want, 2e-6, 1.0)?;
        close("loss", &gpu.read(&loss)?, &[want.iter().sum::<f64>() / m as f64], 2e-6, 1.0)?;

        let dy = gpu.upload("dy", &[DY])?;
        let share = f64::from(DY) / m as f64;
        let backward = "softmax_cross_entropy_backward_f32";
        let dlogits = gpu.unwritten::<f32>("dlogits", m * n)?;
        gpu.launch(backward, rows, args![&logits, &labels, &partition, &dy, &dlogits, n as i32])?;
        let apart = gpu.read(&dlogits)?;
        gpu.launch(backward, rows, args![&logits, &labels, &partition, &dy, &logits, n as i32])?;
        if gpu.read(&logits)? != apart {
            return Err("dlogits in place of the logits differ".into());
        }
        close("dlogits", &apart, &gradient, 3e-6, share)
    }
}

pub fn every_case(gpu: &Gpu) -> Outcome {
    for (m, n, block) in [
        (1, 1, 32),
        (3, 1, 64),
        (1, 5, 1024),
        (5, 7, 32),
        (16, 751, 128),
        (7, 1023, 256),
        (2, 4097, 96),
        (1024, 3, 32),
    ] {
        // Flat, ordinary, peaked.
        for size in [0.0, 0.01, 3.0, 30.0] {
            Case::noise(m, n, size).check(gpu, block)?;
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("softmax_cross_entropy", every_case);
}

#[test]
fn huge_logits() {
    gpu::run("softmax_cross_entropy", |gpu| {
        let logits = vec![1e4, -1e4, 0.0, -1e4, 1e4, 1e4, f32::NEG_INFINITY, 5.0, f32::NEG_INFINITY];
        let case = Case { m: 3, n: 3, logits, labels: vec![1, 2, 1] };
        case.check(gpu, 32)?;
        case.check(gpu, 64)
    });
}

/// The forward pass alone, of logits for which there is no gradient worth comparing.
fn losses(gpu: &Gpu, logits: &[f32], labels: &[i32], n: usize) -> Outcome<Vec<f32>> {
    let m = labels.len();
    let losses = gpu.unwritten::<f32>("losses", m)?;
    let partition = gpu.unwritten::<f32>("partition", 2 * m)?;
    let (logits, labels) = (gpu.upload("logits", logits)?, gpu.upload("labels", labels)?);
    let arguments = args![&logits, &labels, &losses, &partition, n as i32];
    gpu.launch("softmax_cross_entropy_forward_f32", Launch::new(m as u32, 32), arguments)?;
    gpu.read(&losses)
}

#[test]
fn a_nan_logit_and_a_label_that_is_no_class_give_nan() {
    gpu::run("softmax_cross_entropy", |gpu| {
        let nan = losses(gpu, &[0.0, f32::NAN, 0.0, 1.0, 2.0, 3.0], &[0, 2], 3)?;
        let wrong = losses(gpu, &[0.0; 9], &[-1, 3, 1], 3)?;
        if nan[0].is_nan()
            && nan[1].is_finite()
            && wrong[0].is_nan()
            && wrong[1].is_nan()
            && wrong[2].is_finite()
        {
            return Ok(());
        }
        Err(format!("{nan:?} {wrong:?}").into())
    });
}
