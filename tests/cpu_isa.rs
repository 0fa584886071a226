//! The CPU's loops with each instruction set of the machine, each in a process of its own that `BCREID_CPU` forces:
//! AVX2 and AVX-512 give the same bits, the portable loops the same values up to rounding, and the number of threads
//! changes no bit. So it is in f32 and in bf16.

use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape, Var};
use bcreid::device::cpu::isa::{self, Isa};
use bcreid::device::{Device, Precision};
use bcreid::element::Shape;
use bcreid::eval::distance::{Block, Distances};
use bcreid::ops::batchnorm::{BatchNorm, Epilogue, Statistics, batchnorm};
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::ops::linear::linear;
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use std::path::Path;
use std::process::Command;

/// The variable with the file of the results; it is set in the processes that compute.
const RESULTS: &str = "BCREID_TEST_RESULTS";
/// The variable with their precision.
const PRECISION: &str = "BCREID_TEST_PRECISION";

fn noise(seed: u64, n: usize) -> Vec<f32> {
    let stream = Philox::new(seed, 0, 0, RngStream::Test);
    (0..n as u32).map(|i| 2.0 * stream.uniform(i) - 1.0).collect()
}

/// An input of a convolution or its filters.
fn activation_leaf(tape: &mut Tape<'_>, shape: impl Into<Shape>, seed: u64) -> Var {
    let (shape, device) = (shape.into(), tape.device());
    tape.leaf(Tensor::activations(&device, shape, &noise(seed, shape.len())).unwrap())
}

/// A parameter or a feature, f32.
fn leaf(tape: &mut Tape<'_>, shape: impl Into<Shape>, seed: u64) -> Var {
    let (shape, device) = (shape.into(), tape.device());
    tape.leaf(Tensor::from_f32(&device, shape, &noise(seed, shape.len())).unwrap())
}

/// Appends y and the gradients of the inputs for a random gradient of y.
fn append(to: &mut Vec<f32>, tape: Tape<'_>, y: Var, inputs: &[Var]) {
    to.extend(y.value.to_host_f32().unwrap());
    let mut dy = Tensor::empty(&tape.device(), y.shape(), y.value.dtype()).unwrap();
    let exact = Tensor::from_f32(&tape.device(), y.shape(), &noise(9, y.shape().len())).unwrap();
    dy.convert_from(&exact).unwrap();
    let mut grads = tape.backward(vec![(y, dy)]).unwrap();
    inputs.iter().for_each(|input| to.extend(grads.take(input).unwrap().to_host_f32().unwrap()));
}

/// Convolutions by every algorithm, with whole and partial tiles, and with channels that are several passes deep.
fn convolutions(device: &Device, to: &mut Vec<f32>) {
    for ([n, h, w, c], [k, size], stride) in [
        ([2, 16, 8, 3], [64, 7], 2),  // merged taps
        ([2, 9, 7, 64], [256, 1], 1), // pixels
        ([1, 5, 3, 800], [40, 1], 1), // three passes, half a pair of panels
        ([2, 9, 8, 32], [48, 3], 2),  // classes of pixels
        ([2, 10, 7, 48], [80, 3], 1), // Winograd
        ([1, 4, 4, 416], [33, 3], 1), // Winograd with two passes
    ] {
        let mut params = Params::none(device);
        let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
        let x = activation_leaf(&mut tape, [n, h, w, c], 1);
        let filter = activation_leaf(&mut tape, [k, size, size, c], 2);
        let bias = leaf(&mut tape, [k], 3);
        let conv = Conv { stride, pad: size / 2 };
        let y = conv2d(&mut tape, x.clone(), filter.clone(), Some(bias.clone()), conv).unwrap();
        append(to, tape, y, &[x, filter, bias]);
    }
}

fn products(to: &mut Vec<f32>) {
    let device = Device::cpu();
    for [m, c, k] in [[16, 2048, 751], [3, 5, 7], [300, 40, 33]] {
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
        let (x, w, bias) = (leaf(&mut tape, [m, c], 1), leaf(&mut tape, [k, c], 2), leaf(&mut tape, [k], 3));
        let y = linear(&mut tape, x.clone(), w.clone(), bias.clone()).unwrap();
        append(to, tape, y, &[x, w, bias]);
    }
    let (q, g) = (noise(1, 30 * 100), noise(2, 90 * 100));
    let distances = Distances::new(&q, &g, 100, &device).unwrap();
    let mut block = Block::default();
    for index in 0..distances.blocks() {
        distances.compute(index, &mut block).unwrap();
        for (row, _) in block.queries().enumerate() {
            to.extend((0..90).map(|other| block.row(row).at(other)));
        }
    }
}

fn normalisations(device: &Device, to: &mut Vec<f32>) {
    for ([n, h, w], c) in [([4, 5, 3], 13), ([16, 8, 4], 64)] {
        let mut specs = ParamSpecs::default();
        let (mean, var) = (specs.add_buffer("mean", [c], 0.0), specs.add_buffer("var", [c], 1.0));
        let mut params = Params::new(device, &specs).unwrap();
        let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
        let x = activation_leaf(&mut tape, [n, h, w, c], 1);
        let (gamma, beta) = (leaf(&mut tape, [c], 2), leaf(&mut tape, [c], 3));
        let bn = BatchNorm { gamma: gamma.clone(), beta: beta.clone(), mean, var };
        let batch = Statistics::Batch { momentum: 0.1 };
        let epilogue = Epilogue { relu: true, ..Epilogue::default() };
        let y = batchnorm(&mut tape, x.clone(), bn, batch, epilogue).unwrap();
        append(to, tape, y, &[x, gamma, beta]);
    }
}

/// Not a test of its own: computes what the processes of `each_instruction_set` compare.
#[test]
fn compute() {
    let Some(file) = std::env::var_os(RESULTS) else { return };
    let device = Device::cpu_in(std::env::var(PRECISION).unwrap().parse().unwrap());
    let mut values = Vec::new();
    convolutions(&device, &mut values);
    normalisations(&device, &mut values);
    if device.precision() == Precision::F32 {
        products(&mut values);
    }
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(file, bytes).unwrap();
}

/// The results of another process.
fn results(folder: &Path, precision: Precision, isa: Isa, threads: usize) -> Vec<f32> {
    let file = folder.join(format!("{}-{threads}", isa.name()));
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "compute"])
        .env(isa::VARIABLE, isa.name())
        .env("RAYON_NUM_THREADS", threads.to_string())
        .env(RESULTS, &file)
        .env(PRECISION, precision.to_string())
        .status()
        .unwrap();
    assert!(status.success(), "{isa:?}");
    let bytes = std::fs::read(file).unwrap();
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
fn each_instruction_set() {
    // The longest sums have 2,048 products of numbers below 1.
    compare(Precision::F32, 1e-3, 1_000_000);
}

#[test]
fn each_instruction_set_in_bf16() {
    // Sums that differ in their last bits may be rounded to neighbours in bf16.
    compare(Precision::Bf16, 1e-2, 100_000);
}

/// Compares the instruction sets; `tolerance` is that of the portable loops, `fewest` the least number of values.
#[track_caller]
fn compare(precision: Precision, tolerance: f32, fewest: usize) {
    let folder = tempfile::tempdir().unwrap();
    let results = |isa, threads| results(folder.path(), precision, isa, threads);
    let (here, missing): (Vec<Isa>, Vec<Isa>) = Isa::ALL.into_iter().partition(|isa| isa.is_here());
    println!("run: {here:?}; this machine lacks: {missing:?}");
    let of_each: Vec<Vec<f32>> = here.iter().map(|&isa| results(isa, 2)).collect();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let portable = &of_each[0];
    assert!(portable.len() > fewest, "{} values", portable.len());
    assert!(portable.iter().all(|value| value.is_finite()));
    for (isa, values) in here.iter().zip(&of_each).skip(1) {
        let worst =
            values.iter().zip(portable).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
        assert!(values.len() == portable.len() && worst < tolerance, "{isa:?}: a difference of {worst}");
        assert!(bits(values) != bits(portable), "{isa:?}: the portable loops ran instead");
        assert!(bits(values) == bits(&of_each[1]), "{isa:?}: other bits than {:?}", here[1]);
    }
    for (&isa, values) in here.iter().zip(&of_each) {
        for threads in [1, 5] {
            assert!(bits(&results(isa, threads)) == bits(values), "{isa:?}: {threads} threads");
        }
    }
}
