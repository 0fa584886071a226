//! A network of two bottleneck blocks for images of one pixel, where a convolution is a matrix. A parameter has no
//! gradient if the loss does not depend on it.

use crate::answer::{FIRST_STEP, SECOND_STEP};
use crate::checks::*;

const IMAGES: usize = 12;
const CLASSES: usize = 5;

struct Param {
    name: String,
    /// Rows and columns; a vector has one column.
    shape: [usize; 2],
    values: Vec<f64>,
}

struct Network {
    params: Vec<Param>,
    pixels: Vec<f64>,
}

impl Network {
    fn new() -> Self {
        let mut numbers = Numbers::new(92);
        let mut params = Vec::new();
        let mut add = |name: String, shape: [usize; 2], constant: Option<f64>| {
            let n = shape[0] * shape[1];
            let values = constant.map_or_else(|| numbers.many(n), |value| vec![value; n]);
            params.push(Param { name, shape, values });
        };
        let mut conv_bn = |conv: &str, bn: &str, outputs: usize, inputs: usize, gamma: f64| {
            add(format!("{conv}.weight"), [outputs, inputs], None);
            add(format!("{bn}.weight"), [outputs, 1], Some(gamma));
            add(format!("{bn}.bias"), [outputs, 1], Some(0.0));
        };
        conv_bn("conv1", "bn1", 6, 3, 1.0);
        for (block, inputs) in [("layer1.0", 6), ("layer1.1", 12)] {
            let name = |layer: &str| format!("{block}.{layer}");
            conv_bn(&name("conv1"), &name("bn1"), 3, inputs, 1.0);
            conv_bn(&name("conv2"), &name("bn2"), 3, 3, 1.0);
            conv_bn(&name("conv3"), &name("bn3"), 12, 3, 0.0);
            if inputs != 12 {
                conv_bn(&name("downsample.0"), &name("downsample.1"), 12, inputs, 1.0);
            }
        }
        add("fc.weight".into(), [CLASSES, 12], None);
        add("fc.bias".into(), [CLASSES, 1], Some(0.0));
        let pixels = numbers.many(IMAGES * 3);
        Network { params, pixels }
    }

    fn param(&self, name: &str) -> &Param {
        self.params.iter().find(|param| param.name == name).unwrap()
    }

    /// x W^T.
    fn product(&self, x: &[f64], name: &str) -> Vec<f64> {
        let Param { shape: [outputs, inputs], values, .. } = self.param(name);
        let row = |x: &[f64], j: usize| x.iter().zip(&values[j * inputs..]).map(|(x, w)| x * w).sum();
        x.chunks(*inputs).flat_map(|x| (0..*outputs).map(move |j| row(x, j))).collect()
    }

    fn conv_bn(&self, x: &[f64], conv: &str, bn: &str) -> Vec<f64> {
        let mut y = self.product(x, &format!("{conv}.weight"));
        let [gamma, beta] = ["weight", "bias"].map(|part| &self.param(&format!("{bn}.{part}")).values);
        let channels = gamma.len();
        for c in 0..channels {
            let column = || y.iter().skip(c).step_by(channels);
            let mean = column().sum::<f64>() / IMAGES as f64;
            let var = column().map(|y| (y - mean).powi(2)).sum::<f64>() / IMAGES as f64;
            let normalise = |y: f64| gamma[c] * ((y - mean) / (var + 1e-5).sqrt()) + beta[c];
            let normalised: Vec<f64> = column().map(|y| normalise(*y)).collect();
            y.iter_mut().skip(c).step_by(channels).zip(normalised).for_each(|(y, value)| *y = value);
        }
        y
    }

    fn loss(&self) -> f64 {
        let relu = |x: Vec<f64>| x.into_iter().map(|x| x.max(0.0)).collect::<Vec<_>>();
        let mut h = relu(self.conv_bn(&self.pixels, "conv1", "bn1"));
        for block in ["layer1.0", "layer1.1"] {
            let layer =
                |x: &[f64], n: usize| self.conv_bn(x, &format!("{block}.conv{n}"), &format!("{block}.bn{n}"));
            let inner = relu(layer(&relu(layer(&h, 1)), 2));
            let shortcut = match block {
                "layer1.0" => self.conv_bn(&h, "layer1.0.downsample.0", "layer1.0.downsample.1"),
                _ => h.clone(),
            };
            h = relu(layer(&inner, 3).iter().zip(shortcut).map(|(y, x)| y + x).collect());
        }
        let bias = &self.param("fc.bias").values;
        let scores = self.product(&h, "fc.weight");
        let of_image = |(image, z): (usize, &[f64])| {
            let z: Vec<f64> = z.iter().zip(bias).map(|(z, b)| z + b).collect();
            z.iter().map(|z| z.exp()).sum::<f64>().ln() - z[image % CLASSES]
        };
        scores.chunks(CLASSES).enumerate().map(of_image).sum::<f64>() / IMAGES as f64
    }

    /// The loss with an element moved by `delta`.
    fn moved(&mut self, param: usize, at: usize, delta: f64) -> f64 {
        let before = self.params[param].values[at];
        self.params[param].values[at] += delta;
        let loss = self.loss();
        self.params[param].values[at] = before;
        loss
    }

    /// The gradient of a parameter, by central differences.
    fn gradient(&mut self, param: usize) -> Vec<f64> {
        const STEP: f64 = 1e-5;
        let n = self.params[param].values.len();
        (0..n).map(|at| (self.moved(param, at, STEP) - self.moved(param, at, -STEP)) / (2.0 * STEP)).collect()
    }

    /// The gradients of all parameters. Those on which the loss does not depend have exactly 0: the moved element is
    /// multiplied by 0.
    fn gradients(&mut self) -> Vec<Vec<f64>> {
        (0..self.params.len()).map(|param| self.gradient(param)).collect()
    }
}

fn compare(list: &str, names: &[&str], network: &Network, gradients: &[Vec<f64>]) -> Finding {
    that(!names.contains(&"?"), || format!("{list} still is the hole, \"?\": write the names"))?;
    for (place, name) in names.iter().enumerate() {
        that(network.params.iter().any(|param| param.name == *name), || {
            format!("{list}: the network has no parameter `{name}`")
        })?;
        that(!names[..place].contains(name), || format!("{list}: `{name}` is there twice"))?;
    }
    for (param, gradient) in network.params.iter().zip(gradients) {
        let (name, is_zero) = (&param.name, gradient.iter().all(|g| *g == 0.0));
        let size = gradient.iter().map(|g| g.powi(2)).sum::<f64>().sqrt();
        let is_listed = names.contains(&name.as_str());
        that(is_listed || !is_zero, || {
            format!("{list}: `{name}` is missing: between it and the loss all paths have a factor gamma = 0")
        })?;
        that(!is_listed || is_zero, || {
            let why = match () {
                () if list == "SECOND_STEP" => "after a step gamma of bn3 is no longer 0",
                () if name.contains("bn3") => "gamma is 0, but dgamma = sum dy x^ and dbeta = sum dy are not",
                () => "a path from it to the loss has no factor gamma = 0",
            };
            format!("{list}: the gradient of `{name}` has the size {}: {why}", short(size))
        })?;
    }
    Ok(())
}

pub fn grade(checks: &mut Checks) {
    let mut network = Network::new();
    let gradients = network.gradients();
    checks.check("the first step", || compare("FIRST_STEP", FIRST_STEP, &network, &gradients));
    for (param, gradient) in network.params.iter_mut().zip(&gradients) {
        param.values.iter_mut().zip(gradient).for_each(|(value, g)| *value -= 0.1 * g);
    }
    let gradients = network.gradients();
    checks.check("the second step", || compare("SECOND_STEP", SECOND_STEP, &network, &gradients));
}
