//! Batch normalisation by cuDNN against sums in f64: training, its gradients, inference. What is asked here is true of
//! every cuDNN 9; what is true of the stand-in alone is in `batchnorm_modes`.

use crate::convolution::{open, read, rounded, upload};
use crate::standin::{Gpu, assert_close, numbers, with_stand_ins};
use bcreid::Result;
use bcreid::device::cuda::cudnn::batchnorm::{
    BatchNormPlan, BatchNormProblem, Gradients, Inference, Training,
};
use bcreid::device::cuda::cudnn::{Cudnn, Element};
use bcreid::element::GradMode::{self, Accumulate, Overwrite};
use std::sync::Arc;

const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;
pub const PROBLEM: BatchNormProblem = BatchNormProblem { n: 4, h: 6, w: 5, c: 16, element: Element::F32 };

/// Feature maps of both types, channels that are no multiple of 4, and the features of a batch.
fn problems() -> Vec<BatchNormProblem> {
    let shapes = [
        PROBLEM,
        BatchNormProblem { n: 2, h: 16, w: 8, c: 64, ..PROBLEM },
        BatchNormProblem { n: 16, h: 1, w: 1, c: 128, ..PROBLEM },
    ];
    let both = |shape: BatchNormProblem| {
        [Element::F32, Element::Bf16].map(|element| BatchNormProblem { element, ..shape })
    };
    shapes.into_iter().flat_map(both).chain([BatchNormProblem { c: 22, ..PROBLEM }]).collect()
}

/// Values of channels, one channel after another.
type Columns = Vec<Vec<f64>>;

fn columns(values: &[f32], c: usize) -> Columns {
    let column = |channel| values.iter().skip(channel).step_by(c).map(|&value| f64::from(value)).collect();
    (0..c).map(column).collect()
}

fn rows(columns: &Columns) -> Vec<f64> {
    (0..columns[0].len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect()
}

/// The arrays of one layer on the device, and what they hold.
pub struct Layer<'a> {
    gpu: &'a Gpu,
    pub plan: Arc<BatchNormPlan>,
    problem: BatchNormProblem,
    x: Vec<f32>,
    dy: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
    training: Training,
}

impl<'a> Layer<'a> {
    pub fn new(gpu: &'a Gpu, cudnn: &Cudnn, problem: BatchNormProblem) -> Self {
        let BatchNormProblem { n, h, w, c, element } = problem;
        let data = |seed, shift: f32| {
            let values: Vec<f32> = numbers(seed, n * h * w * c).iter().map(|value| value + shift).collect();
            rounded(values, element)
        };
        let of_channels =
            |seed, shift: f32| -> Vec<f32> { numbers(seed, c).iter().map(|v| v + shift).collect() };
        // A mean that is not small beside the deviation.
        let (x, dy) = (data(1, 0.5), data(2, 0.0));
        let (gamma, beta) = (of_channels(3, 1.5), of_channels(4, 0.0));
        let (mean, variance) = (of_channels(5, 0.0), of_channels(6, 2.0));
        let nan = vec![f32::NAN; x.len()];
        let training = Training {
            x: upload(gpu, &x, element),
            y: upload(gpu, &nan, element),
            gamma_beta: [gpu.upload(&gamma), gpu.upload(&beta)],
            running: [gpu.upload(&mean), gpu.upload(&variance)],
            saved: [gpu.memory(4 * c), gpu.memory(4 * c)],
            momentum: MOMENTUM,
            epsilon: EPSILON,
        };
        let plan = cudnn.batchnorm_plan(&problem).unwrap();
        Layer { gpu, plan, problem, x, dy, gamma, beta, mean, variance, training }
    }

    /// The forward pass; returns the reserve space.
    pub fn forward(&self, cudnn: &Cudnn) -> Result<Option<u64>> {
        let space = |_, bytes| Ok([self.gpu.memory(bytes); 2].into());
        // SAFETY: the arrays have the problem's sizes, and nothing is freed.
        unsafe { cudnn.batchnorm_forward(&self.plan, &self.training, space) }
    }

    /// The gradients of x, gamma and beta; those of the parameters are added to `old`.
    fn backward(
        &self,
        cudnn: &Cudnn,
        reserve: Option<u64>,
        old: [&[f32]; 2],
        mode: GradMode,
    ) -> [Vec<f32>; 3] {
        let BatchNormProblem { c, element, .. } = self.problem;
        let dx = upload(self.gpu, &vec![f32::NAN; self.x.len()], element);
        let parameters = old.map(|values| self.gpu.upload(values));
        let gradients = Gradients {
            x: self.training.x,
            dy: upload(self.gpu, &self.dy, element),
            dx,
            gamma: self.training.gamma_beta[0],
            parameters,
            mode,
            saved: self.training.saved,
            epsilon: EPSILON,
        };
        let space = |_, bytes| Ok((self.gpu.memory(bytes), ()));
        // SAFETY: as above; x and the saved statistics are those of the forward pass.
        unsafe { cudnn.batchnorm_backward(&self.plan, &gradients, reserve, space) }.unwrap();
        let [dgamma, dbeta] = parameters.map(|address| self.gpu.read(address, c));
        [read(self.gpu, dx, self.x.len(), element), dgamma, dbeta]
    }

    fn channels(&self, address: u64) -> Vec<f32> {
        self.gpu.read(address, self.problem.c)
    }
}

/// Mean, biased and unbiased variance.
fn moments(values: &[f64]) -> [f64; 3] {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    [mean, squares / n, squares / (n - 1.0)]
}

fn tolerance(element: Element) -> f64 {
    match element {
        Element::F32 => 2e-5,
        // y and dx are rounded once.
        Element::Bf16 => 1.0 / 256.0,
    }
}

/// The whole of a layer against f64, with gradients that are overwritten and added to.
pub fn assert_layer_is_right(gpu: &Gpu, cudnn: &Cudnn, problem: BatchNormProblem) {
    let layer = Layer::new(gpu, cudnn, problem);
    let (c, far) = (problem.c, tolerance(problem.element));
    let what = |name: &str| format!("{name} of the {problem}");
    let reserve = layer.forward(cudnn).unwrap();
    let (x, dy) = (columns(&layer.x, c), columns(&layer.dy, c));
    let (mut y, mut dx): (Columns, Columns) = (Vec::new(), Vec::new());
    let mut of_channels: [Vec<f64>; 6] = Default::default();
    for (channel, (x, dy)) in x.iter().zip(&dy).enumerate() {
        let [mean, biased, unbiased] = moments(x);
        let (inverse, n) = (1.0 / (biased + EPSILON).sqrt(), x.len() as f64);
        let normal: Vec<f64> = x.iter().map(|value| (value - mean) * inverse).collect();
        let (gamma, beta) = (f64::from(layer.gamma[channel]), f64::from(layer.beta[channel]));
        y.push(normal.iter().map(|value| gamma * value + beta).collect());
        let sum: f64 = dy.iter().sum();
        let product: f64 = dy.iter().zip(&normal).map(|(g, value)| g * value).sum();
        let gradient = |(g, value): (&f64, &f64)| gamma * inverse * (g - sum / n - value * product / n);
        dx.push(dy.iter().zip(&normal).map(gradient).collect());
        let moved = |old: f32, new: f64| (1.0 - MOMENTUM) * f64::from(old) + MOMENTUM * new;
        let values = [
            moved(layer.mean[channel], mean),
            moved(layer.variance[channel], unbiased),
            mean,
            inverse,
            product,
            sum,
        ];
        of_channels.iter_mut().zip(values).for_each(|(list, value)| list.push(value));
    }
    let found = read(gpu, layer.training.y, layer.x.len(), problem.element);
    assert_close(&found, &rows(&y), far, &what("y"));
    let [moved_mean, moved_variance, mean, inverse, dgamma, dbeta] = of_channels;
    let Training { running, saved, .. } = layer.training;
    for (name, address, expected) in [
        ("running mean", running[0], &moved_mean),
        ("running variance", running[1], &moved_variance),
        ("saved mean", saved[0], &mean),
        ("saved inverse deviation", saved[1], &inverse),
    ] {
        assert_close(&layer.channels(address), expected, 1e-5, &what(name));
    }
    for mode in [Overwrite, Accumulate] {
        // When they are overwritten, the old values must not be read: NaN would show.
        let old = [7, 8].map(|seed| if mode == Overwrite { vec![f32::NAN; c] } else { numbers(seed, c) });
        let gradients = layer.backward(cudnn, reserve, [&old[0], &old[1]], mode);
        assert_close(&gradients[0], &rows(&dx), far, &what("dx"));
        for (found, (expected, old)) in gradients[1..].iter().zip([&dgamma, &dbeta].into_iter().zip(&old)) {
            let before = |old: &f32| if mode == Overwrite { 0.0 } else { f64::from(*old) };
            let expected: Vec<f64> = expected.iter().zip(old).map(|(new, old)| new + before(old)).collect();
            assert_close(found, &expected, 2e-5, &format!("{}, {mode:?}", what("gradient of a parameter")));
        }
    }
}

#[test]
fn training_agrees_with_f64() {
    with_stand_ins("batchnorm::training_agrees_with_f64", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        problems().into_iter().for_each(|problem| assert_layer_is_right(&gpu, &cudnn, problem));
    });
}

#[test]
fn inference_agrees_with_f64() {
    with_stand_ins("batchnorm::inference_agrees_with_f64", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        for problem in problems() {
            let layer = Layer::new(&gpu, &cudnn, problem);
            let Training { x, y, gamma_beta, running, epsilon, .. } = layer.training;
            let arrays = Inference { x, y, gamma_beta, statistics: running, epsilon };
            // SAFETY: the arrays have the problem's sizes and are never freed.
            unsafe { cudnn.batchnorm_inference(&layer.plan, &arrays) }.unwrap();
            let mut expected = columns(&layer.x, problem.c);
            for (channel, values) in expected.iter_mut().enumerate() {
                let [gamma, beta, mean, variance] = [&layer.gamma, &layer.beta, &layer.mean, &layer.variance]
                    .map(|values| f64::from(values[channel]));
                let y = |value: f64| gamma * (value - mean) / (variance + EPSILON).sqrt() + beta;
                values.iter_mut().for_each(|value| *value = y(*value));
            }
            let found = read(&gpu, y, layer.x.len(), problem.element);
            assert_close(&found, &rows(&expected), tolerance(problem.element), &problem.to_string());
            // The statistics are not moved.
            assert_eq!(
                [layer.channels(running[0]), layer.channels(running[1])],
                [layer.mean, layer.variance]
            );
        }
    });
}

#[test]
fn two_runs_have_the_same_bits() {
    with_stand_ins("batchnorm::two_runs_have_the_same_bits", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        for problem in problems() {
            let run = || {
                let layer = Layer::new(&gpu, &cudnn, problem);
                let reserve = layer.forward(&cudnn).unwrap();
                let zeros = vec![0.0; problem.c];
                let gradients = layer.backward(&cudnn, reserve, [&zeros; 2], Overwrite);
                let y = read(&gpu, layer.training.y, layer.x.len(), problem.element);
                (y, gradients, layer.training.running.map(|address| layer.channels(address)))
            };
            assert!(run() == run(), "{problem}");
        }
    });
}

#[test]
fn refusals_name_problem_and_reason() {
    with_stand_ins("batchnorm::refusals_name_problem_and_reason", || {
        let gpu = Gpu::open();
        let cudnn = open(&gpu);
        for (problem, reason) in [
            (BatchNormProblem { n: 0, ..PROBLEM }, "a size is 0"),
            (BatchNormProblem { n: 1 << 16, h: 1 << 16, ..PROBLEM }, "2^31"),
        ] {
            let error = cudnn.batchnorm_plan(&problem).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&problem.to_string()), "{error}");
        }
        let plans = [(); 2].map(|()| cudnn.batchnorm_plan(&PROBLEM).unwrap());
        assert!(Arc::ptr_eq(&plans[0], &plans[1]), "a plan is made once");
        assert_eq!(plans[0].problem(), &PROBLEM);
    });
}
