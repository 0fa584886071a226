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

/// A parameter's place in the arrays.
struct Segment {
    id: ParamId,
    offset: usize,
    /// The place in the gradients and in the copy, which may have more channels.
    wide_offset: usize,
    channels: usize,
    wide: usize,
}

/// Parameters of one and of many pieces, odd sizes and multiples of 8, one that is frozen, two with further channels in
/// gradients and copy.
fn params(device: &Device) -> (Params, Vec<Segment>) {
    const SIZES: [(usize, f32, f32, [usize; 2]); 10] = [
        (1, 1.0, 1.0, [1, 1]),
        (7, 2.0, 0.0, [1, 1]),
        (8, 0.1, 1.0, [1, 1]),
        (135, 0.5, 1.0, [3, 8]),
        (4096, 1.0, 0.5, [1, 1]),
        (100, 0.0, 1.0, [1, 1]),
        (4097, 1.0, 1.0, [1, 1]),
        (1200, 1.0, 1.0, [3, 4]),
        (9001, 10.0, 0.0, [1, 1]),
        (33, 1.0, 1.0, [1, 1]),
    ];
    let mut specs = ParamSpecs::default();
    let ids = SIZES.map(|(n, ..)| specs.add("segment", [n]));
    let mut params = Params::new(device, &specs).unwrap();
    let mut segments = Vec::new();
    let (mut offset, mut wide_offset) = (0, 0);
    for (id, (n, lr_mult, decay_mult, [channels, wide])) in ids.into_iter().zip(SIZES) {
        let param = params.get_mut(id);
        param.value.copy_from_host_f32(&noise(offset as u64, n)).unwrap();
        (param.lr_mult, param.decay_mult) = (lr_mult, decay_mult);
        segments.push(Segment { id, offset, wide_offset, channels, wide });
        offset = (offset + n).next_multiple_of(8);
        wide_offset = (wide_offset + n / channels * wide).next_multiple_of(8);
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

/// The same in the layout of gradients and copy, with `further` in further channels.
fn wide(segments: &[Segment], values: impl IntoIterator<Item = Vec<f32>>, further: f32) -> Vec<f32> {
    let mut flat = Vec::new();
    for (segment, values) in segments.iter().zip(values) {
        flat.resize(segment.wide_offset, GAP);
        for pixel in values.chunks(segment.channels) {
            flat.extend_from_slice(pixel);
            flat.resize(flat.len() + segment.wide - segment.channels, further);
        }
    }
    flat.resize(flat.len() + 9, GAP);
    flat
}

/// The table of the kernel: offset, length, lr_mult and decay of each piece, the first step, which only Adam reads, the
/// offset in gradients and copy, and the channels of both.
fn pieces(params: &Params, segments: &[Segment], weight_decay: f32) -> Vec<u32> {
    let mut table = Vec::new();
    for &Segment { id, offset, wide_offset, channels, wide } in segments {
        let param = params.get(id);
        if param.lr_mult == 0.0 {
            continue;
        }
        let n = param.value.shape().len();
        let most = SEGMENT / (8 * channels) * 8 * channels;
        for start in (0..n).step_by(most) {
            let decay = weight_decay * param.decay_mult;
            table.extend([
                (offset + start) as u32,
                most.min(n - start) as u32,
                param.lr_mult.to_bits(),
                decay.to_bits(),
                0,
                (wide_offset + start / channels * wide) as u32,
                channels as u32,
                wide as u32,
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
    let columns = wide(&segments, params.params().iter().map(|param| param.value.f32().to_vec()), GAP).len();
    let copy = gpu.upload_as::<F>("copy", &vec![GAP; columns])?;
    for (step, rate) in RATES.into_iter().enumerate() {
        for segment in &segments {
            let grad = &mut params.get_mut(segment.id).grad;
            let seed = (step * start.len() + segment.offset) as u64;
            grad.copy_from_host_f32(&F::kept(&noise(seed, grad.shape().len()))).unwrap();
        }
        let gradients = params.params().iter().map(|param| param.grad.f32().to_vec());
        let gradients = wide(&segments, gradients, f32::NAN);
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

    let mut want = vec![GAP; columns];
    if has_copy {
        let weights = gpu.read(&weights)?;
        let copies = segments.iter().map(|segment| {
            let param = params.get(segment.id);
            let n = param.value.shape().len();
            match param.lr_mult {
                0.0 => vec![GAP; n],
                _ => F::kept(&weights[segment.offset..][..n]),
            }
        });
        want = wide(&segments, copies, GAP);
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
