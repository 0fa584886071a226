pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::noise;
use crate::metric::Batch;
use crate::on::{self, host};
use bcreid::Result;
use bcreid::autograd::{Params, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::ops::attributes::{Targets, attributes};
use bcreid::tensor::Tensor;

/// The numbers of values of the attributes, and the values of each identity.
#[derive(Clone, Debug)]
pub struct Table {
    pub sizes: Vec<usize>,
    pub values: Vec<i32>,
}

impl Table {
    /// Values of `n` identities all over those of the attributes.
    pub fn of(sizes: &[usize], n: usize) -> Self {
        let value = |at: usize| (at * 7919 % sizes[at % sizes.len()]) as i32;
        Table { sizes: sizes.to_vec(), values: (0..n * sizes.len()).map(value).collect() }
    }

    pub fn columns(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// The first column of each attribute, and the number of all.
    pub fn starts(&self) -> Vec<i32> {
        let ends = self.sizes.iter().scan(0, |end, size| {
            *end += *size as i32;
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect()
    }

    /// The softmax loss of each image and attribute, and the gradient of their mean, in f64.
    pub fn definition(&self, logits: &[f64], labels: &[i32]) -> (Vec<f64>, Vec<f64>) {
        let (starts, count) = (self.starts(), self.sizes.len());
        let (mut losses, mut gradient) = (Vec::new(), vec![0.0; logits.len()]);
        for (image, &label) in labels.iter().enumerate() {
            for a in 0..count {
                let first = image * self.columns() + starts[a] as usize;
                let z = &logits[first..first + self.sizes[a]];
                let target = self.values[label as usize * count + a] as usize;
                let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let log_sum = z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
                losses.push(log_sum - (z[target] - max));
                for (k, z) in z.iter().enumerate() {
                    let one = if k == target { 1.0 } else { 0.0 };
                    gradient[first + k] = ((z - max - log_sum).exp() - one) / (labels.len() * count) as f64;
                }
            }
        }
        (losses, gradient)
    }

    fn mean(&self, logits: &[f64], labels: &[i32]) -> f64 {
        let (losses, _) = self.definition(logits, labels);
        losses.iter().sum::<f64>() / losses.len() as f64
    }
}

/// The loss by its table. It has no terms.
fn loss(table: &Table) -> impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)> + Sync {
    move |tape, logits, labels| {
        let targets = Targets::new(&tape.device(), &table.sizes, &table.values)?;
        let loss = attributes(tape, logits, labels, &targets)?;
        let value = loss.value.clone();
        Ok((loss, value))
    }
}

/// Logits of `m` images of identities all over the table.
fn batch(table: &Table, m: usize, size: f32) -> Batch {
    let n = table.values.len() / table.sizes.len();
    let labels: Vec<i32> = (0..m).map(|i| (i * 31 % n) as i32).collect();
    let logits: Vec<f32> = noise(3, m * table.columns()).iter().map(|v| size * v).collect();
    Batch::new(&logits, &labels)
}

#[test]
fn gradient() {
    on::each(|device| {
        for sizes in [&[3][..], &[2, 2], &[4, 1, 5, 2]] {
            let table = Table::of(sizes, 6);
            let batch = batch(&table, 7, 2.0);
            let dx = batch.run(device, 1.0, None, loss(&table)).dx;
            let numeric = batch.numeric_gradient(1e-4, |logits| table.mean(logits, &batch.labels));
            assert_close("dlogits", &dx, &numeric, 1e-6);
            batch.check_gradient_is_added(device, loss(&table));
        }
    });
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("attributes");
        let sizes = golden["sizes"].i32().iter().map(|&size| size as usize).collect();
        let table = Table { sizes, values: golden["table"].i32() };
        let batch = Batch::new(&golden["logits"].values, &golden["labels"].i32());
        let ours = batch.run(device, 1.75, None, loss(&table));
        assert_close("loss", &[ours.loss], &golden["loss"].values, 1e-6);
        assert_close("dlogits", &ours.dx, &golden["dlogits"].values, 1e-6);
    });
}

/// Logits of 0: each attribute costs the logarithm of the number of its values, whatever the persons are.
#[test]
fn without_knowledge_an_attribute_costs_the_logarithm_of_its_values() {
    on::each(|device| {
        let table = Table::of(&[2, 8], 3);
        let batch = Batch::new(&[0.0; 20], &[2, 0]);
        let ours = batch.run(device, 1.0, None, loss(&table));
        let want = (2.0f32.ln() + 8.0f32.ln()) / 2.0;
        assert!((ours.loss - want).abs() < 1e-6, "{}, {want}", ours.loss);
        assert!((batch.inference(device, loss(&table)) - want).abs() < 1e-6);
    });
}

/// One attribute with a value for each identity is the softmax loss of the identities.
#[test]
fn one_attribute_of_all_identities_is_the_softmax_loss() {
    use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
    on::each(|device| {
        let table = Table { sizes: vec![5], values: (0..5).collect() };
        let batch = batch(&table, 9, 20.0);
        let ours = batch.run(device, 1.5, None, loss(&table));
        let theirs = batch.run(device, 1.5, None, |tape, logits, labels| {
            let loss = softmax_cross_entropy(tape, logits, labels)?;
            let value = loss.value.clone();
            Ok((loss, value))
        });
        assert_close("loss", &[ours.loss], &[theirs.loss], 1e-6);
        assert_close("dlogits", &ours.dx, &theirs.dx, 1e-6);
    });
}

#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for (m, sizes) in [(1, vec![1]), (16, vec![2; 27]), (33, vec![4, 2, 70, 9]), (130, vec![3, 33])] {
            let table = Table::of(&sizes, 40);
            for size in [0.01, 3.0, 30.0] {
                batch(&table, m, size).check_device(device, "attributes", [2e-6, 2e-6, 3e-6], loss(&table));
            }
        }
    });
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let table = Table::of(&[2, 3, 7], 5);
    batch(&table, 13, 3.0).check_threads(loss(&table));
}

#[test]
fn wrong_tables_labels_and_shapes_are_refused() {
    let refused = |sizes: &[usize], values: &[i32], words: &str| {
        let error = Targets::new(&Device::cpu(), sizes, values).unwrap_err().to_string();
        assert!(error.starts_with("attributes: ") && error.contains(words), "{words}: {error}");
    };
    refused(&[], &[0], "[] values");
    refused(&[2, 0], &[0, 0], "[2, 0] values");
    refused(&[2, 2], &[], "no rows of 2 attributes");
    refused(&[2, 2], &[0, 1, 0], "3 values has no rows of 2 attributes");
    refused(&[2, 3], &[0, 2, 1, 3], "identity 1 has the value 3 of attribute 1, whose values are 0..3");
    refused(&[2, 3], &[0, 2, -1, 0], "identity 1 has the value -1 of attribute 0");
    refused(&[usize::MAX / 2, 3], &[0, 2], "more than 2^31");
    refused(&[i32::MAX as usize, 3], &[0, 2], "more than 2^31");

    let table = Table::of(&[2, 3], 4);
    let check = |x: [usize; 2], labels: &[i32], words: &[&str]| {
        Batch::check_refused("attributes", x, labels, words, loss(&table));
    };
    check([2, 5], &[0, 4], &["label 4 of image 1"]);
    check([2, 4], &[0, 1], &["4 columns", "5 values"]);
    check([2, 5], &[0], &["i32 [2]"]);
    // A GPU does not look at the labels: the loss says it.
    on::cuda(|device| {
        let table = Table::of(&[2, 3], 4);
        let mut params = Params::none(device);
        let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
        let logits = tape.leaf(Tensor::zeros(device, [2, 5]).unwrap());
        let labels = Tensor::from_i32(device, [2], &[0, 4]).unwrap();
        let (_, value) = loss(&table)(&mut tape, logits, &labels).unwrap();
        assert!(host(&value)[0].is_nan());
    });
}
