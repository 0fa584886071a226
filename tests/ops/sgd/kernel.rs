use super::{KINDS, RATES, solver};
use crate::gpu::{self, Float, Gpu, Outcome, close, equal};
use crate::gradient_check::noise;
use bcreid::autograd::{ParamId, ParamSpecs, Params};
use bcreid::device::Device;
use bcreid::ops::sgd::{Convention, Velocities, sgd};
use bcreid::tensor::Tensor;
use softcuda::{Arg, Launch, args};

/// Elements of a segment, a multiple of 8. A block takes any number; the solver has its own.
const SEGMENT: usize = 1000;

/// What every arena holds where no parameter lies.
const GAP: f32 = 7.0;

/// A parameter's place in the arenas.
struct Segment {
    id: ParamId,
    offset: usize,
}

/// Parameters of one and of many pieces, odd sizes and multiples of 8, one that is frozen.
fn params(device: &Device) -> (Params, Vec<Segment>) {
    const SIZES: [(usize, f32, f32); 8] = [
        (1, 1.0, 1.0),
        (7, 2.0, 0.0),
        (8, 0.1, 1.0),
        (4096, 1.0, 0.5),
        (100, 0.0, 1.0),
        (4097, 1.0, 1.0),
        (9001, 10.0, 0.0),
        (33, 1.0, 1.0),
    ];
    let mut specs = ParamSpecs::default();
    let ids = SIZES.map(|(n, ..)| specs.add("segment", [n]));
    let mut params = Params::new(device, &specs).unwrap();
    let mut segments = Vec::new();
    let mut offset = 0;
    for (id, (n, lr_mult, decay_mult)) in ids.into_iter().zip(SIZES) {
        let param = params.get_mut(id);
        param.value.copy_from_host_f32(&noise(offset as u64, n)).unwrap();
        (param.lr_mult, param.decay_mult) = (lr_mult, decay_mult);
        segments.push(Segment { id, offset });
        offset = (offset + n).next_multiple_of(8);
    }
    (params, segments)
}

/// A tensor of each parameter at its place, with gaps between them.
fn flat<'a>(segments: &[Segment], tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<f32> {
    let mut flat = Vec::new();
    for (segment, tensor) in segments.iter().zip(tensors) {
        flat.resize(segment.offset, GAP);
        flat.extend_from_slice(tensor.f32());
    }
    flat.resize(flat.len() + 9, GAP);
    flat
}

/// The table of the kernel: offset, length, lr_mult and decay of each piece, the first step, which only Adam reads, and
/// the same offset in the copy, without further channels.
fn pieces(params: &Params, segments: &[Segment], weight_decay: f32) -> Vec<u32> {
    let mut table = Vec::new();
    for segment in segments {
        let param = params.get(segment.id);
        if param.lr_mult == 0.0 {
            continue;
        }
        let n = param.value.shape().len();
        for start in (0..n).step_by(SEGMENT) {
            let decay = weight_decay * param.decay_mult;
            let (offset, length) = (segment.offset + start, SEGMENT.min(n - start));
            table.extend([
                offset as u32,
                length as u32,
                param.lr_mult.to_bits(),
                decay.to_bits(),
                0,
                offset as u32,
                1,
                1,
            ]);
        }
    }
    table
}

/// Name, convention, Nesterov momentum.
type Kind = (&'static str, Convention, bool);

/// Some steps with a falling rate beside the CPU's, with and without the copy.
fn steps<F: Float>(gpu: &Gpu, (name, convention, nesterov): Kind, has_copy: bool, block: u32) -> Outcome {
    let device = Device::cpu();
    let (mut params, segments) = params(&device);
    let solver = solver(convention, nesterov);

    let table = pieces(&params, &segments, solver.weight_decay);
    let launch = Launch::new((table.len() / 8) as u32, block);
    let table = gpu.upload("pieces", &table)?;
    let start = flat(&segments, params.params().iter().map(|param| &param.value));
    let mut moved = Velocities::new(&params)?;
    let weights = gpu.upload("weights", &start)?;
    let velocities = gpu.upload("velocities", &flat(&segments, moved.each()))?;
    let copy = gpu.upload_as::<F>("copy", &vec![GAP; start.len()])?;
    for (step, rate) in RATES.into_iter().enumerate() {
        for segment in &segments {
            let grad = &mut params.get_mut(segment.id).grad;
            let seed = (step * start.len() + segment.offset) as u64;
            grad.copy_from_host_f32(&F::kept(&noise(seed, grad.shape().len()))).unwrap();
        }
        let gradients = flat(&segments, params.params().iter().map(|param| &param.grad));
        sgd(&mut params, &mut moved, &Tensor::full(&device, [1], rate).unwrap(), solver)?;

        let (gradients, rate) = (gpu.upload_as::<F>("gradients", &gradients)?, gpu.upload("rate", &[rate])?);
        let copy = if has_copy { Arg::from(&copy) } else { Arg::Pointer(0) };
        let kernel = format!("sgd_{name}_{}", F::NAME);
        gpu.launch(
            &kernel,
            launch,
            args![&table, &weights, &gradients, &velocities, copy, &rate, solver.momentum],
        )?;

        // The same formulas in f32. A GPU fuses multiplications and additions: with the fused ones on a CPU, none of
        // a million elements moved by more than 4e-7 of this measure.
        let values = flat(&segments, params.params().iter().map(|param| &param.value));
        let momenta = flat(&segments, moved.each());
        let f64s = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
        close("velocities", &gpu.read(&velocities)?, &f64s(momenta), 1e-6, 3.0)?;
        close("weights", &gpu.read(&weights)?, &f64s(values), 1e-6, 3.0)?;
    }

    let mut want = vec![GAP; start.len()];
    if has_copy {
        let weights = gpu.read(&weights)?;
        for segment in &segments {
            let param = params.get(segment.id);
            if param.lr_mult != 0.0 {
                let moved = segment.offset..segment.offset + param.value.shape().len();
                want[moved.clone()].copy_from_slice(&F::kept(&weights[moved]));
            }
        }
    }
    equal("copy", &gpu.read_f32(&copy)?, &want)
}

fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for kind in KINDS {
        steps::<F>(gpu, kind, true, 256)?;
        steps::<F>(gpu, kind, false, 96)?;
    }
    steps::<F>(gpu, KINDS[2], true, 1024)
}

#[test]
fn f32_gradients() {
    gpu::run("sgd", every_case::<f32>);
}

#[test]
fn bf16_gradients() {
    gpu::run("sgd", every_case::<u16>);
}
