//! The second stream: gradients of filters are computed beside the rest of the backward pass.
//!
//! The stand-ins report two pieces of work that share bytes and that no event orders, in any order in which they run,
//! so these tests cover what a timing would have to show on a GPU.

use crate::bits::{BATCH, assert_same_bits, trained};
use crate::capture::output;
use crate::support::{On, on_device, stand_ins, succeed};
use bcreid::autograd::{Backward, ParamId, ParamSpecs, Params, Sinks, StepValues, Tape};
use bcreid::device::Device;
use bcreid::device::cuda::CudaDevice;
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::ops::sgd::{Convention, Sgd};
use bcreid::optim::{MomentumSgd, Optimizer};
use bcreid::tensor::Tensor;
use bcreid::train::step_runner::StepRunner;
use bcreid::{Error, Result};
use serde_json::Value;
use std::sync::Arc;

/// One stream and two, captured and plain steps, every order of the streams: the same losses and weights.
#[test]
fn a_second_stream_changes_no_bit() {
    let Some(stand_ins) = stand_ins() else { return };
    for precision in ["f32", "tf32", "bf16"] {
        let on = On::Gpu(stand_ins, precision);
        let first = on.trained_once(&[BATCH]);
        let with = |options: &[&str], streams: &str, seed: &str| {
            let run = trained(on, &[BATCH], |command| {
                command.args(options).env("SOFTCUDA_STREAMS", streams).env("SOFTCUDA_SEED", seed);
            });
            assert_same_bits(&run, first, &format!("{precision}, {options:?}, {streams}, seed {seed}"));
        };
        with(&["--one-stream"], "needed", "0");
        if precision == "tf32" {
            with(&[], "mixed", "2");
            continue;
        }
        with(&["--one-stream", "--no-graph"], "mixed", "3");
        with(&["--no-graph"], "others", "1");
        for (streams, seed) in [("others", "1"), ("mixed", "2"), ("mixed", "5")] {
            with(&[], streams, seed);
        }
    }
}

/// Groups of parameters, an average, and layers that are frozen at first: each has its own set of filters with
/// gradients.
#[test]
fn a_second_stream_changes_no_bit_of_other_runs() {
    let Some(stand_ins) = stand_ins() else { return };
    let groups = [
        BATCH,
        "solver.iterations=8",
        "solver.optimizer=adam",
        "solver.lr=1e-5",
        "solver.ema=0.5",
        "solver.freeze=[\"conv1.*\", \"bn1.*\", \"layer1.*\"]",
        "solver.freeze_iterations=4",
    ];
    let pairs = [BATCH, "loss.verification.weight=0.5", "model.ibn=true"];
    for settings in [&groups[..], &pairs[..]] {
        for precision in ["f32", "bf16"] {
            let on = On::Gpu(stand_ins, precision);
            let one = trained(on, settings, |command| {
                command.arg("--one-stream");
            });
            let two = trained(on, settings, |command| {
                command.env("SOFTCUDA_STREAMS", "others");
            });
            assert_same_bits(&two, &one, precision);
        }
    }
}

/// The nodes of a captured step are the same; what waits for the second stream is a part of the peak.
#[test]
fn a_benchmark_says_how_many_streams_there_were() {
    let Some(stand_ins) = stand_ins() else { return };
    let bench = |more: &[&str]| -> Value {
        let mut bench = On::Gpu(stand_ins, "f32").bcreid("bench");
        bench.args(["--classes", "6", "--steps", "1", "--json"]).args(more);
        for setting in crate::methods::TINY {
            bench.args(["--set", setting]);
        }
        serde_json::from_str(&succeed(&mut bench)).unwrap()
    };
    let [one, two] = [&["--one-stream"][..], &[]].map(bench);
    assert_eq!([&one["streams"], &two["streams"]], [1, 2]);
    for times in ["plain", "graph"] {
        assert_eq!(one[times]["launches"], two[times]["launches"], "events are no launches and no nodes");
    }
    assert_eq!(one["waiting_bytes"], 0);
    let [waiting, peak] = ["waiting_bytes", "peak_bytes"].map(|bytes| two[bytes].as_u64().unwrap());
    assert!(0 < waiting && waiting < peak, "{two}");
}

/// An operation that passes its gradient on, and calls a function with what it has saved.
struct Then<F: FnOnce(Tensor) -> Result<()> + Send>(Tensor, F);

impl<F: FnOnce(Tensor) -> Result<()> + Send> Backward for Then<F> {
    fn op(&self) -> &'static str {
        "then"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let Then(saved, then) = *self;
        then(saved)?;
        sinks.give(0, dy)
    }
}

const X: [usize; 4] = [2, 6, 5, 4];
const W: [usize; 4] = [4, 3, 3, 4];

fn noise(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| (((i + 7 * seed) * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0).collect()
}

struct Network {
    params: Params,
    values: StepValues,
    w: ParamId,
    x: Tensor,
    dy: Tensor,
}

impl Network {
    fn new(device: &Device) -> Self {
        let mut specs = ParamSpecs::default();
        let w = specs.add("w", W);
        let mut params = Params::new(device, &specs).unwrap();
        params.get_mut(w).load(&noise(W.iter().product(), 1)).unwrap();
        let [x, dy] =
            [2, 3].map(|seed| Tensor::from_f32(device, X, &noise(X.iter().product(), seed)).unwrap());
        Network { params, values: StepValues::new(device, 0).unwrap(), w, x, dy }
    }

    /// Two convolutions with the same filters, the input of which `then` gets in the backward pass, behind the
    /// gradients of the filters.
    fn step(
        &mut self,
        device: &Device,
        then: impl FnOnce(Tensor) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let mut tape = Tape::new(&mut self.params, &self.values);
        let leaf = tape.leaf(self.x.duplicate(device)?);
        let handle = leaf.handle();
        let x = tape.record(leaf.value, &[handle], |x| Then(x, then));
        let conv = Conv { stride: 1, pad: 1 };
        let w = tape.weight(self.w);
        let y = conv2d(&mut tape, x, w.clone(), None, conv)?;
        let y = conv2d(&mut tape, y, w, None, conv)?;
        tape.backward(vec![(y, self.dy.duplicate(device)?)]).map(drop)
    }

    fn gradient(&self) -> Vec<f32> {
        self.params.get(self.w).grad.to_host_f32().unwrap()
    }
}

/// The gradient of the filters after a step without anything unusual.
fn calm(device: &Device) -> Vec<f32> {
    let mut network = Network::new(device);
    network.step(device, |_| Ok(())).unwrap();
    network.gradient()
}

/// Filters that are used twice: the second gradient is added to the first one.
#[test]
fn filters_that_are_used_twice_have_the_sum_of_both_gradients() {
    on_device("streams::filters_that_are_used_twice_have_the_sum_of_both_gradients", |device, gpu| {
        let (cpu, two) = (calm(&Device::cpu()), calm(device));
        let far = cpu.iter().zip(&two).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-4, "{far:.1e}");
        gpu.use_one_stream(true);
        assert_eq!(calm(device), two);
    });
}

/// Two filters that are used and one that is not, each a section. Two steps; returns the sections in the order of their
/// completion, and the weights.
fn trained_by_section(device: &Device, is_early: bool) -> (Vec<usize>, [Vec<f32>; 3]) {
    const SHAPES: [[usize; 4]; 3] = [[64, 3, 3, 32], [64, 3, 3, 64], [64, 1, 1, 256]];
    let mut specs = ParamSpecs::default();
    let ids = SHAPES.map(|shape| specs.add("w", shape));
    let mut params = Params::new(device, &specs).unwrap();
    for (seed, id) in ids.into_iter().enumerate() {
        let count: usize = SHAPES[seed].iter().product();
        params.get_mut(id).load(&noise(count, seed)).unwrap();
        params.get_mut(id).grad.copy_from_host_f32(&vec![f32::NAN; count]).unwrap();
    }
    let convention = Convention::PyTorch;
    let constants = Sgd { momentum: 0.9, weight_decay: 0.1, convention, nesterov: false };
    let mut optimizer = MomentumSgd::new(&params, constants).unwrap();
    optimizer.prepare(&params).unwrap();
    let values = StepValues::new(device, 0).unwrap();
    let lr = Tensor::full(device, [1], 0.01).unwrap();
    let mut order = Vec::new();
    for _ in 0..2 {
        let mut tape = Tape::new(&mut params, &values);
        let x = tape.constant(Tensor::from_f32(device, [1, 4, 3, 32], &noise(384, 5)).unwrap());
        let (a, b) = (tape.weight(ids[0]), tape.weight(ids[1]));
        let conv = Conv { stride: 1, pad: 1 };
        let y = conv2d(&mut tape, x, a, None, conv).unwrap();
        let y = conv2d(&mut tape, y, b, None, conv).unwrap();
        let dy = Tensor::from_f32(device, [1, 4, 3, 64], &noise(768, 6)).unwrap();
        tape.backward_by_section(vec![(y, dy)], &mut |params, section| {
            order.push(section);
            if is_early { optimizer.step_section(params, section, &lr, &values.step) } else { Ok(()) }
        })
        .unwrap();
        if is_early {
            optimizer.finish_step(&mut params).unwrap();
        } else {
            optimizer.step(&mut params, &lr, &values.step).unwrap();
        }
    }
    (order, ids.map(|id| params.get(id).value.to_host_f32().unwrap()))
}

/// The backward pass completes sections from the last to the first, and an update of each behind its last gradient gives
/// the weights of an update behind the whole pass.
#[test]
fn weights_are_updated_as_soon_as_their_gradients_are_complete() {
    on_device("streams::weights_are_updated_as_soon_as_their_gradients_are_complete", |device, gpu| {
        let (order, cpu) = trained_by_section(&Device::cpu(), false);
        assert_eq!(order, [0, 0], "the CPU has one section");
        let (order, late) = trained_by_section(device, false);
        assert_eq!(order, [2, 1, 0, 2, 1, 0]);
        let far = |(a, b): (&f32, &f32)| (a - b).abs() / (1.0 + b.abs());
        let far = late.iter().flatten().zip(cpu.iter().flatten()).map(far).fold(0.0, f32::max);
        assert!(far < 1e-4, "{far:.1e}");
        assert_eq!(trained_by_section(device, true), (order.clone(), late.clone()));
        gpu.use_one_stream(true);
        assert_eq!(trained_by_section(device, true), (order, late));
    });
}

/// The main stream waits if it writes what the second stream reads.
#[test]
fn what_the_second_stream_reads_is_overwritten_behind_it() {
    on_device("streams::what_the_second_stream_reads_is_overwritten_behind_it", |device, _| {
        let mut network = Network::new(device);
        // The convolution has dropped its handle to its input, so that there is no other.
        network.step(device, |mut x| x.clear()).unwrap();
        assert_eq!(network.gradient(), calm(device));
    });
}

/// Freed memory that the second stream uses has no new owner in the main stream before a wait.
#[test]
fn what_the_second_stream_uses_is_not_reused_before_it() {
    on_device("streams::what_the_second_stream_uses_is_not_reused_before_it", |device, gpu| {
        let bytes = X.iter().product::<usize>() * size_of::<f32>();
        let reuse = |device: &Device, gpu: &Arc<CudaDevice>, waits: bool| {
            let (here, gpu) = (device.clone(), gpu.clone());
            let then = move |x: Tensor| {
                let before = gpu.usage();
                drop(x);
                let taker = Tensor::full(&here, X, f32::NAN)?;
                let after = gpu.usage();
                assert_eq!(after.current > before.current, waits, "{before:?}, {after:?}");
                drop(taker);
                Ok(())
            };
            let mut network = Network::new(device);
            network.step(device, then).unwrap();
            network.gradient()
        };
        let expected = calm(device);
        assert_eq!(reuse(device, gpu, true), expected);
        assert!(gpu.usage().waiting >= bytes);
        gpu.use_one_stream(true);
        assert_eq!(reuse(device, gpu, false), expected);
    });
}

/// An error between the gradients leaves a device that computes.
#[test]
fn an_error_in_the_backward_pass_leaves_a_usable_device() {
    on_device("streams::an_error_in_the_backward_pass_leaves_a_usable_device", |device, gpu| {
        let expected = calm(device);
        let mut network = Network::new(device);
        for _ in 0..3 {
            let error = network.step(device, |_| Err(Error::Run("in the middle".into()))).unwrap_err();
            assert!(error.to_string().contains("in the middle"), "{error}");
            // Work of the second stream is under way, or waits.
            network.step(device, |_| Ok(())).unwrap();
            assert_eq!(network.gradient(), expected);
        }
        let full = gpu.free_memory().unwrap();
        let here = device.clone();
        let too_much = move |_| Tensor::zeros(&here, [full / 2]).map(drop);
        let error = network.step(device, too_much).unwrap_err().to_string();
        assert!(error.contains("no room for"), "{error}");
        network.step(device, |_| Ok(())).unwrap();
        assert_eq!(network.gradient(), expected);
    });
}

/// A capture that ends with an error behind the first work of the second stream, and one that ends well.
#[test]
fn an_error_in_a_capture_leaves_a_usable_device() {
    on_device("streams::an_error_in_a_capture_leaves_a_usable_device", |device, _| {
        let expected = calm(device);
        for fails in [true, false] {
            let (mut network, mut runner) = (Network::new(device), StepRunner::new(device, true));
            let mut calls = 0;
            for _ in 0..6 {
                let pending = runner.run(|| {
                    calls += 1;
                    // The steps before the third find no settled memory.
                    let fails = fails && calls == 3;
                    let then = move |_| if fails { Err(Error::Run("in the middle".into())) } else { Ok(()) };
                    network.step(device, then)?;
                    output(device)
                });
                pending.unwrap().softmax.wait().unwrap();
            }
            assert_eq!(runner.take_capture_error().is_some(), fails);
            assert_eq!(runner.nodes().is_none(), fails);
            assert_eq!(network.gradient(), expected);
        }
    });
}
