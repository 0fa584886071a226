//! Sections of parameters: an update of each during the backward pass gives the bits of an update behind it.

use crate::gradient_check::noise;
use crate::on::{self, host};
use bcreid::autograd::{ParamId, ParamSpecs, Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::adam::{Adam, WeightDecay};
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::ops::sgd::{Convention, Sgd};
use bcreid::optim::{self, Averaged, MomentumSgd, Optimizer};
use bcreid::tensor::Tensor;

/// Filters of images, which have a wider copy; filters that two operations use; filters without a use; and others. The
/// sizes are such that sections have one and several of them, of both kinds.
struct Network {
    params: Params,
    filters: [ParamId; 7],
    bias: ParamId,
}

const SHAPES: [[usize; 4]; 7] = [
    [16, 3, 3, 3],
    [16, 3, 3, 16],
    [128, 3, 3, 16],
    [32, 1, 1, 128],
    [64, 1, 1, 256],
    [32, 1, 1, 32],
    [16, 1, 1, 32],
];
const UNUSED: usize = 4;
const FROZEN: usize = 5;
const WITHOUT_RATE: usize = 6;

impl Network {
    fn new(device: &Device) -> Self {
        let mut specs = ParamSpecs::default();
        let filters = SHAPES.map(|shape| specs.add("filters", shape));
        let bias = specs.add("bias", [128]);
        let mut params = Params::new(device, &specs).unwrap();
        for (seed, param) in params.params_mut().iter_mut().enumerate() {
            let n = param.value.shape().len();
            let values: Vec<f32> = noise(seed as u64, n).iter().map(|w| 0.2 * w).collect();
            param.load(&values).unwrap();
            on::set_gradient(device, param, &vec![f32::NAN; n]);
        }
        params.get_mut(filters[FROZEN]).frozen = true;
        params.get_mut(filters[WITHOUT_RATE]).lr_mult = 0.0;
        params.get_mut(filters[1]).lr_mult = 2.0;
        Network { params, filters, bias }
    }

    /// A step; returns the sections in the order of their completion.
    fn step(&mut self, optimizer: &mut dyn Optimizer, is_early: bool, number: u64) -> Vec<usize> {
        let device = self.params.device().clone();
        let mut values = StepValues::new(&device, 0).unwrap();
        values.set(number, &[]).unwrap();
        let lr = Tensor::full(&device, [1], 0.01).unwrap();
        let mut tape = Tape::new(&mut self.params, &values);
        let x = tape.constant(on::tensor(&device, [2, 5, 4, 3], &noise(20, 2 * 5 * 4 * 3)));
        let [a, b, c, d, _, f, g] = self.filters.map(|id| tape.weight(id));
        let bias = tape.param(self.bias);
        let (near, point) = (Conv { stride: 1, pad: 1 }, Conv { stride: 1, pad: 0 });
        let y = conv2d(&mut tape, x, a, None, near).unwrap();
        let y = conv2d(&mut tape, y, b.clone(), None, near).unwrap();
        let y = conv2d(&mut tape, y, b, None, near).unwrap();
        let y = conv2d(&mut tape, y, c, Some(bias), near).unwrap();
        let y = conv2d(&mut tape, y, d, None, point).unwrap();
        let y = conv2d(&mut tape, y, f, None, point).unwrap();
        let y = conv2d(&mut tape, y, g, None, point).unwrap();
        let dy = on::tensor(&device, [2, 5, 4, 16], &noise(21, 2 * 5 * 4 * 16));
        let mut order = Vec::new();
        tape.backward_by_section(vec![(y, dy)], &mut |params, section| {
            order.push(section);
            if is_early { optimizer.step_section(params, section, &lr, &values.step) } else { Ok(()) }
        })
        .unwrap();
        match is_early {
            true => optimizer.finish_step(&mut self.params).unwrap(),
            false => optimizer.step(&mut self.params, &lr, &values.step).unwrap(),
        }
        order
    }
}

fn optimizers(params: &Params) -> [Box<dyn Optimizer>; 3] {
    let convention = Convention::PyTorch;
    let sgd = Sgd { momentum: 0.9, weight_decay: 0.1, convention, nesterov: false };
    let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8);
    let adam = Adam { beta1, beta2, epsilon, weight_decay: 0.1, form: WeightDecay::Decoupled };
    let momentum = || MomentumSgd::new(params, sgd).unwrap();
    [
        Box::new(momentum()),
        Box::new(optim::Adam::new(params, adam, true).unwrap()),
        Box::new(Averaged::new(params, Box::new(momentum()), 0.5).unwrap()),
    ]
}

/// All weights, their copies, the state, and the average with its copies, after three steps.
fn trained(device: &Device, kind: usize, is_early: bool) -> Vec<Vec<f32>> {
    let mut network = Network::new(device);
    let mut optimizer = optimizers(&network.params).into_iter().nth(kind).unwrap();
    optimizer.prepare(&network.params).unwrap();
    let sections: Vec<usize> = (0..network.params.sections()).collect();
    for number in 0..3 {
        let mut order = network.step(&mut *optimizer, is_early, number);
        order.sort_unstable();
        assert_eq!(order, sections, "each section is complete once");
    }
    let mut all: Vec<Vec<f32>> =
        optimizer.state(&network.params).into_iter().map(|(_, state)| host(state)).collect();
    let weights = |params: &Params, all: &mut Vec<Vec<f32>>| {
        for param in params.params() {
            on::check_copy(device, param, "copy");
            all.push(host(&param.value));
        }
    };
    weights(&network.params, &mut all);
    if let Some(average) = optimizer.average(&network.params).unwrap() {
        weights(average, &mut all);
    }
    assert!(all.iter().flatten().all(|value| value.is_finite()));
    let untouched = Network::new(device).params;
    for index in 0..SHAPES.len() {
        let [before, after] = [&untouched, &network.params].map(|params| host(&params.params()[index].value));
        let stays = [FROZEN, WITHOUT_RATE].contains(&index);
        assert_eq!(before == after, stays, "filters {index} (without a use: {UNUSED}, by the decay alone)");
    }
    all
}

#[test]
fn an_early_update_gives_the_bits_of_a_late_one() {
    on::each_precision(|device| {
        let network = Network::new(device);
        let most = if on::is_cuda(device) { 3 } else { 1 };
        assert!(network.params.sections() >= most, "{} sections", network.params.sections());
        for kind in 0..3 {
            let late = trained(device, kind, false);
            assert_eq!(trained(device, kind, true), late, "optimiser {kind}");
            device.use_one_stream(true);
            assert_eq!(trained(device, kind, true), late, "optimiser {kind}, one stream");
            device.use_one_stream(false);
        }
    });
}

/// An error of an update ends the backward pass; the device goes on, with the memory of the pass back in the pool.
#[test]
fn an_error_of_an_update_ends_the_pass() {
    on::each(|device| {
        let mut network = Network::new(device);
        let values = StepValues::new(device, 0).unwrap();
        let mut tape = Tape::new(&mut network.params, &values);
        let x = tape.constant(on::tensor(device, [1, 2, 2, 3], &noise(1, 12)));
        let w = tape.weight(network.filters[0]);
        let y = conv2d(&mut tape, x, w, None, Conv { stride: 1, pad: 1 }).unwrap();
        let dy = Tensor::full(device, [1, 2, 2, 16], 1.0).unwrap();
        let mut calls = 0;
        let error = tape.backward_by_section(vec![(y, dy)], &mut |_, _| {
            calls += 1;
            Err(bcreid::Error::Device("planted".into()))
        });
        assert!(error.unwrap_err().to_string().contains("planted"));
        assert_eq!(calls, 1);
        let mut optimizer = optimizers(&network.params).into_iter().next().unwrap();
        network.step(&mut *optimizer, true, 0);
    });
}

/// Filters of images enter a tape as the device reads them; as a parameter of three channels they have no gradient on a
/// GPU, which an error says.
#[test]
fn filters_of_images_are_used_through_their_copy() {
    on::cuda_in_each_precision(|device| {
        let mut network = Network::new(device);
        let values = StepValues::new(device, 0).unwrap();
        let mut tape = Tape::new(&mut network.params, &values);
        let w = tape.param(network.filters[0]);
        let dw = w.value.duplicate(device).unwrap();
        let error = tape.backward(vec![(w, dw)]).map(drop).unwrap_err().to_string();
        assert!(error.contains("filters is used as f32 [16, 3, 3, 3]"), "{error}");
        assert!(error.contains("use Tape::weight"), "{error}");
    });
}
