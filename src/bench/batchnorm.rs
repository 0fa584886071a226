//! Timing of batch normalisation at each shape of the network: by this program's kernels and by cuDNN.
//!
//! A layer is timed with its residual, if it has one, and with a ReLU, as most layers of the network have. The passes
//! are captured, as in a training step, several times in one graph: a launch from the host takes longer than the small
//! layers. The time of the backward pass is that of both passes less that of the forward pass, and less that of the copy
//! of dy, which a layer overwrites. The own kernels write dx to a buffer of its own here, as x is used again; in a
//! training step they overwrite x.

use super::Bench;
use super::clock::{Mark, between, median};
use super::report::{BatchNormTimes, Passes};
use crate::Result;
use crate::autograd::{BufferId, ParamId, ParamSpecs, Params, StepValues, Tape};
use crate::device::cuda::CudaDevice;
use crate::device::{BatchNormBackend, Device};
use crate::element::{DType, Shape};
use crate::model::Model;
use crate::ops::batchnorm::{BatchNorm, Epilogue, Statistics, batchnorm_by, cudnn_is_persistent};
use crate::tensor::Tensor;
use crate::tensor::philox::{Philox, RngStream};
use std::sync::Arc;

/// Passes in one graph, at most.
const IN_A_GRAPH: usize = 20;
/// Timed replays of a graph, at most.
const REPLAYS: usize = 11;
/// Plain runs before a capture: the first chooses algorithms, the second finds all its memory in the pool.
const WARM_UP: usize = 3;
const MOMENTUM: f32 = 0.1;

/// A kind of layer: shape, whether it has a residual, and how many there are.
type Kind = (Shape, bool, usize);

impl Bench {
    /// Times the layers of the network on a GPU, with at most `steps` replays of each graph.
    pub(super) fn batchnorms(&mut self, gpu: &Arc<CudaDevice>, steps: usize) -> Result<Vec<BatchNormTimes>> {
        let kinds = self.kinds()?;
        let time = |(shape, residual, layers): &Kind| {
            let mut layer = Layer::new(&self.device, *shape, *residual)?;
            let [own, cudnn] = [BatchNormBackend::Own, BatchNormBackend::Cudnn]
                .map(|backend| layer.passes(gpu, backend, steps));
            Ok(BatchNormTimes {
                shape: shape.dims().to_vec(),
                residual: *residual,
                layers: *layers,
                own: own?,
                cudnn: cudnn?,
                cudnn_persistent: cudnn_is_persistent(&layer.x)?,
            })
        };
        kinds.iter().map(time).collect()
    }

    /// The kinds of layers in the order of the network, from a forward pass. Layers without any gradient are left out.
    fn kinds(&mut self) -> Result<Vec<Kind>> {
        self.prepare()?;
        let Bench { model, params, values, loader, .. } = self;
        let batch = loader.batch(values)?;
        kinds(model, params, values, batch.pixels)
    }
}

fn kinds(model: &Model, params: &mut Params, values: &StepValues, pixels: Tensor) -> Result<Vec<Kind>> {
    let mut tape = Tape::new(params, values);
    let pixels = tape.constant(pixels);
    let statistics = Statistics::Batch { momentum: MOMENTUM };
    let pool5 = model.pool5(&mut tape, pixels, statistics)?;
    model.behind(&mut tape, pool5, statistics)?;
    let mut kinds: Vec<Kind> = Vec::new();
    for (_, inputs) in tape.recorded().filter(|(op, _)| *op == "batchnorm") {
        // x, gamma, beta and the residual.
        let (shape, residual) = (inputs[0], inputs.len() > 3);
        match kinds.iter_mut().find(|kind| (kind.0, kind.1) == (shape, residual)) {
            Some((.., layers)) => *layers += 1,
            None => kinds.push((shape, residual, 1)),
        }
    }
    Ok(kinds)
}

/// One layer with its inputs.
struct Layer {
    params: Params,
    values: StepValues,
    gamma: ParamId,
    beta: ParamId,
    mean: BufferId,
    variance: BufferId,
    x: Tensor,
    residual: Option<Tensor>,
    dy: Tensor,
}

impl Layer {
    fn new(device: &Device, shape: Shape, residual: bool) -> Result<Self> {
        let mut specs = ParamSpecs::default();
        let c = shape.last();
        let (gamma, beta) = (specs.add("gamma", [c]), specs.add("beta", [c]));
        let (mean, variance) = (specs.add_buffer("mean", [c], 0.0), specs.add_buffer("variance", [c], 1.0));
        let mut params = Params::new(device, &specs)?;
        params.get_mut(gamma).load(&vec![1.0; c])?;
        params.get_mut(beta).load(&vec![0.0; c])?;
        Ok(Layer {
            params,
            values: StepValues::new(device, 0)?,
            gamma,
            beta,
            mean,
            variance,
            x: noise(device, shape, 0)?,
            residual: residual.then(|| noise(device, shape, 1)).transpose()?,
            dy: noise(device, shape, 2)?,
        })
    }

    /// The times of both passes.
    fn passes(&mut self, gpu: &Arc<CudaDevice>, backend: BatchNormBackend, steps: usize) -> Result<Passes> {
        let copy_us = timed(gpu, steps, &mut || self.output_gradient().map(drop))?;
        let forward_us = timed(gpu, steps, &mut || self.run(backend, false))?;
        let both_us = timed(gpu, steps, &mut || self.run(backend, true))?;
        // Differences of medians may be below 0 where a pass takes next to nothing.
        Ok(Passes { forward_us, backward_us: (both_us - forward_us - copy_us).max(0.0) })
    }

    /// Enqueues the forward pass, or a copy of dy and both passes.
    fn run(&mut self, backend: BatchNormBackend, backward: bool) -> Result<()> {
        let dy = backward.then(|| self.output_gradient()).transpose()?;
        let mut tape = Tape::new(&mut self.params, &self.values);
        let x = tape.leaf(self.x.clone());
        let residual = self.residual.clone().map(|residual| tape.leaf(residual));
        let (gamma, beta) = (tape.param(self.gamma), tape.param(self.beta));
        let bn = BatchNorm { gamma, beta, mean: self.mean, var: self.variance };
        let statistics = Statistics::Batch { momentum: MOMENTUM };
        let y = batchnorm_by(backend, &mut tape, x, bn, statistics, Epilogue { residual, relu: true })?;
        if let Some(dy) = dy {
            tape.backward(vec![(y, dy)])?;
        }
        Ok(())
    }

    /// A copy of dy: the layer overwrites it.
    fn output_gradient(&self) -> Result<Tensor> {
        self.dy.duplicate(self.params.device())
    }
}

/// The median microseconds of `work`, captured.
fn timed(gpu: &Arc<CudaDevice>, steps: usize, work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let count = steps.min(IN_A_GRAPH);
    let region = gpu.enter_step()?;
    for _ in 0..WARM_UP {
        work()?;
    }
    let (mut graph, ()) = gpu.capture(&region, || (0..count).try_for_each(|_| work()))?;
    drop(region);
    graph.replay()?;
    let device = Device::Cuda(gpu.clone());
    let mut marks = vec![Mark::here(&device)?];
    for _ in 0..steps.min(REPLAYS) {
        graph.replay()?;
        marks.push(Mark::here(&device)?);
    }
    Ok(1e6 * median(&mut between(&marks)?) / count as f64)
}

/// Numbers in [-1, 1), in the device's type of activations.
fn noise(device: &Device, shape: Shape, image: u64) -> Result<Tensor> {
    let random = Philox::new(0, 0, image, RngStream::Test);
    let words = (0..shape.len().div_ceil(4)).flat_map(|block| random.block(block as u32));
    let values: Vec<f32> =
        words.map(|word| (word >> 8) as f32 / (1 << 23) as f32 - 1.0).take(shape.len()).collect();
    let exact = Tensor::from_f32(device, shape, &values)?;
    if device.activations() == DType::F32 {
        return Ok(exact);
    }
    let mut rounded = Tensor::empty(device, shape, device.activations())?;
    rounded.convert_from(&exact)?;
    Ok(rounded)
}
