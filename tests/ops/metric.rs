//! Losses on features `[m, D]` and labels `[m]`: one run of the operation, and finite differences of its definition in
//! f64.

use crate::golden::assert_close;
use crate::gradient_check::noise;
use crate::on::{self, host};
use bcreid::Result;
use bcreid::autograd::{Params, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::tensor::Tensor;

/// A batch.
#[derive(Clone, Debug)]
pub struct Batch {
    pub x: Vec<f32>,
    pub labels: Vec<i32>,
    pub d: usize,
}

/// The results of a loss.
#[derive(Debug)]
pub struct Outcome {
    pub loss: f32,
    pub terms: Vec<f32>,
    pub dx: Vec<f32>,
}

impl Batch {
    pub fn new(x: &[f32], labels: &[i32]) -> Self {
        Batch { x: x.to_vec(), labels: labels.to_vec(), d: x.len() / labels.len() }
    }

    pub fn m(&self) -> usize {
        self.labels.len()
    }

    pub fn x64(&self) -> Vec<f64> {
        self.x.iter().map(|&v| f64::from(v)).collect()
    }

    /// The same batch with rows of length 1.
    pub fn normalised(mut self) -> Self {
        for row in self.x.chunks_mut(self.d) {
            let length = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
        }
        self
    }

    /// Runs a loss, and its backward pass from `dy`, after `earlier` is in the gradient if given. `loss` returns the
    /// loss and its terms.
    pub fn run(
        &self,
        device: &Device,
        dy: f32,
        earlier: Option<&[f32]>,
        loss: impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)>,
    ) -> Outcome {
        let mut params = Params::none(device);
        let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
        let x = tape.leaf(Tensor::from_f32(device, [self.m(), self.d], &self.x).unwrap());
        let labels = Tensor::from_i32(device, [self.m()], &self.labels).unwrap();
        let (loss, terms) = loss(&mut tape, x.clone(), &labels).unwrap();
        let value = host(&loss.value)[0];
        let mut seeds = vec![(loss, Tensor::full(device, [1], dy).unwrap())];
        seeds.extend(earlier.map(|earlier| on::earlier_gradient(&mut tape, &x, earlier)));
        let mut grads = tape.backward(seeds).unwrap();
        Outcome { loss: value, terms: host(&terms), dx: host(&grads.take(&x).unwrap()) }
    }

    /// Checks that the gradient is in proportion to dy, and that it is added to an earlier gradient.
    #[track_caller]
    pub fn check_gradient_is_added(
        &self,
        device: &Device,
        loss: impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)>,
    ) {
        let dx = self.run(device, -2.5, Some(&vec![100.0; self.x.len()]), &loss).dx;
        let once = self.run(device, 1.0, None, &loss).dx;
        let expected: Vec<f32> = once.iter().map(|v| 100.0 - 2.5 * v).collect();
        assert_close("dx", &dx, &expected, 1e-6);
    }

    /// Checks that a device agrees with the CPU. `tolerances` are those of loss, terms and gradient.
    #[track_caller]
    pub fn check_device(
        &self,
        device: &Device,
        what: &str,
        tolerances: [f32; 3],
        loss: impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)>,
    ) {
        let what = &format!("{} images of {} features, {what}", self.m(), self.d);
        let earlier = noise(5, self.x.len());
        let [ours, cpu] = [device, &Device::cpu()].map(|on| self.run(on, -2.5, Some(&earlier), &loss));
        assert_close(what, &[ours.loss], &[cpu.loss], tolerances[0]);
        assert_close(what, &ours.terms, &cpu.terms, tolerances[1]);
        assert_within(what, &ours.dx, &cpu.dx, tolerances[2] * largest(&cpu.dx));
    }

    /// Checks that loss, terms and gradient have the same bits on one thread and on more.
    pub fn check_threads(&self, loss: impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)> + Sync) {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let Outcome { loss, terms, dx } = pool.install(|| self.run(&Device::cpu(), 1.0, None, &loss));
            [vec![loss], terms, dx].concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        [2, 3, 8].into_iter().for_each(|threads| assert_eq!(with(1), with(threads)));
    }

    /// The loss without a gradient.
    pub fn inference(
        &self,
        device: &Device,
        loss: impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)>,
    ) -> f32 {
        let mut params = Params::none(device);
        let mut tape = Tape::no_grad(&mut params).unwrap();
        let x = tape.constant(Tensor::from_f32(device, [self.m(), self.d], &self.x).unwrap());
        let labels = Tensor::from_i32(device, [self.m()], &self.labels).unwrap();
        host(&loss(&mut tape, x, &labels).unwrap().0.value)[0]
    }

    /// Checks that a loss refuses inputs with an error of the operation `op` that holds all of `words`.
    #[track_caller]
    pub fn check_refused(
        op: &str,
        x: [usize; 2],
        labels: &[i32],
        words: &[&str],
        loss: impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)>,
    ) {
        let device = Device::cpu();
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
        let x = tape.leaf(Tensor::zeros(&device, x).unwrap());
        let labels = Tensor::from_i32(&device, [labels.len()], labels).unwrap();
        let error = loss(&mut tape, x, &labels).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{op}: ")), "{error}");
        words.iter().for_each(|word| assert!(error.contains(word), "{error}"));
    }

    /// Inner product and squared distance of two rows of `x`.
    pub fn product(&self, x: &[f64], i: usize, j: usize) -> f64 {
        (0..self.d).map(|k| x[i * self.d + k] * x[j * self.d + k]).sum()
    }

    pub fn squared_distance(&self, x: &[f64], i: usize, j: usize) -> f64 {
        (0..self.d).map(|k| (x[i * self.d + k] - x[j * self.d + k]).powi(2)).sum()
    }

    /// Central differences of `loss`, a function of the features in f64.
    pub fn numeric_gradient(&self, step: f64, loss: impl Fn(&[f64]) -> f64) -> Vec<f32> {
        let x = self.x64();
        let at = |k: usize, delta: f64| {
            let mut moved = x.clone();
            moved[k] += delta;
            loss(&moved)
        };
        (0..x.len()).map(|k| ((at(k, step) - at(k, -step)) / (2.0 * step)) as f32).collect()
    }
}

/// Three images of identities 0 and 3, two of 1, one of 2 and of 5: these two have no positive.
pub const MIXED: [i32; 10] = [0, 1, 0, 2, 1, 0, 3, 5, 3, 3];

/// Images, images of an identity, and features of batches: below, at and above the tiles of the kernels.
pub const SHAPES: [(usize, usize, usize); 6] =
    [(16, 4, 64), (20, 3, 3), (33, 4, 65), (49, 2, 68), (72, 4, 2048), (130, 5, 130)];

/// Labels, features and threads of a block for the kernels alone: batches of less than a warp, of several rounds of a
/// warp, of one identity, and of many.
pub fn kernel_cases() -> [(Vec<i32>, usize, u32); 7] {
    [
        (MIXED.to_vec(), 5, 32),
        (MIXED.to_vec(), 16, 1024),
        (identities(33, 4), 7, 256),
        (identities(100, 3), 6, 64),
        (vec![0; 5], 3, 96),
        (vec![4], 3, 32),
        ((0..40).collect(), 3, 64),
    ]
}

/// Labels of `m` images, `each` of every identity, one identity after the other.
pub fn identities(m: usize, each: usize) -> Vec<i32> {
    (0..m).map(|i| (i / each) as i32).collect()
}

/// The largest absolute value, at least 1e-3: what a sum of differences may be wrong by is in proportion to it.
pub fn largest(values: &[f32]) -> f32 {
    values.iter().fold(1e-3f32, |max, v| max.max(v.abs()))
}

/// |ours - want| <= tolerance for every element.
#[track_caller]
pub fn assert_within(what: &str, ours: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), want.len(), "{what}: lengths differ");
    for (i, (a, b)) in ours.iter().zip(want).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}[{i}]: {a}, expected {b}, tolerance {tolerance}");
    }
}
