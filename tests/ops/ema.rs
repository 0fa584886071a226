mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::noise;
use crate::on::{self, host};
use bcreid::autograd::{ParamSpecs, Params};
use bcreid::ops::ema::ema;

const NAMES: [&str; 2] = ["weight", "bias"];

/// Six updates of PyTorch's averaged model.
#[test]
fn golden_values() {
    on::each_precision(|device| {
        let golden = golden::read("ema");
        let row = |key: String, step: usize, n: usize| golden[&key].values[step * n..][..n].to_vec();
        let mut specs = ParamSpecs::default();
        let ids = NAMES.map(|name| (name, specs.add(name, [golden[&format!("values.{name}")].shape[1]])));
        let mut params = Params::new(device, &specs).unwrap();
        let load = |params: &mut Params, step: usize| {
            for (name, id) in ids {
                let n = params.get(id).value.shape().len();
                params.get_mut(id).load(&row(format!("values.{name}"), step, n)).unwrap();
            }
        };
        load(&mut params, 0);
        let mut average = params.duplicate().unwrap();
        for step in 0..6 {
            load(&mut params, 1 + step);
            ema(&mut average, &params, 0.9).unwrap();
            for (name, id) in ids {
                let value = host(&average.get(id).value);
                let expected = row(format!("average.{name}"), step, value.len());
                assert_close(&format!("{name}, step {step}"), &value, &expected, 1e-6);
            }
        }
    });
}

/// Parameters of odd sizes and of several tasks, and filters, which have sections of their own in bf16. An average that
/// has arrived stays where it is, bit for bit.
#[test]
fn every_element_of_every_parameter_moves() {
    on::each_precision(|device| {
        let mut specs = ParamSpecs::default();
        let mut ids = [1, 7, 8, 40_009].map(|n| specs.add(format!("p{n}"), [n])).to_vec();
        ids.push(specs.add("filters", [8, 3, 3, 8]));
        let mut params = Params::new(device, &specs).unwrap();
        let load = |params: &mut Params, seed: u64| {
            ids.iter().for_each(|id| {
                let n = params.get(*id).value.shape().len();
                params.get_mut(*id).load(&noise(seed + n as u64, n)).unwrap();
            });
        };
        load(&mut params, 1);
        let mut average = params.duplicate().unwrap();
        ema(&mut average, &params, 0.5).unwrap();
        for id in &ids {
            assert_eq!(host(&average.get(*id).value), host(&params.get(*id).value));
        }
        load(&mut params, 2);
        ema(&mut average, &params, 0.75).unwrap();
        for id in &ids {
            let n = params.get(*id).value.shape().len();
            let (before, now) = (noise(1 + n as u64, n), noise(2 + n as u64, n));
            let expected: Vec<f32> = before.iter().zip(&now).map(|(a, w)| a + 0.25 * (w - a)).collect();
            assert_close(&format!("{n} elements"), &host(&average.get(*id).value), &expected, 1e-6);
        }
    });
}

#[test]
fn other_parameters_and_decays_are_refused() {
    on::each(|device| {
        let of = |n: usize| {
            let mut specs = ParamSpecs::default();
            specs.add("w", [n]);
            Params::new(device, &specs).unwrap()
        };
        let (mut average, params) = (of(3), of(3));
        for decay in [1.0, -0.1, f32::NAN] {
            let error = ema(&mut average, &params, decay).unwrap_err().to_string();
            assert!(error.contains("outside [0, 1)"), "{error}");
        }
        assert!(ema(&mut average, &of(4), 0.5).unwrap_err().to_string().contains("other parameters"));
    });
}
