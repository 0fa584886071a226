//! Weights, features and checkpoints in safetensors files: reading, atomic writing, and checks of names and shapes
//! against the model.

mod features;
mod header;
pub mod network;
pub mod provenance;
mod tensors;
mod tensors_out;

pub use features::{About, Features, Origin, normalise_rows};
pub use network::NetworkFile;
pub use provenance::Provenance;
pub use tensors::{TensorFile, TensorView, read_tensors};
pub use tensors_out::{TensorOut, Values, write_tensors, write_tensors_and_rows};

use crate::Result;
use crate::autograd::{ParamSpecs, Params};
use crate::element::Shape;
use crate::model::head::is_of_losses;
use crate::optim;
use std::borrow::Cow;
use std::collections::HashSet;

/// The result of [`load_into`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Number of parameters and buffers that were loaded from the file.
    pub loaded: usize,
    /// Parameters and buffers that kept their values, as `may_keep` allowed, because the file lacks them or has them
    /// in another shape.
    pub kept: Vec<String>,
    /// Tensors of the file that are not in the model and may be ignored.
    pub unused: Vec<String>,
}

/// All parameters, then all buffers of a model, for [`write_tensors`].
///
/// # Errors
/// Errors of the device.
pub fn model_tensors(params: &Params) -> Result<Vec<TensorOut<'_>>> {
    let params_then_buffers = params
        .params()
        .iter()
        .map(|p| (&p.name, &p.value))
        .chain(params.buffers().iter().map(|b| (&b.name, &b.value)));
    params_then_buffers.map(|(name, value)| TensorOut::of(name, value)).collect()
}

/// Copies a file's tensors into the parameters and buffers with the same names. All tensors are checked before the
/// first is copied: after an error the model is unchanged.
///
/// `may_keep` allows parameters and buffers to keep their values where the file has no tensor of their name and shape:
/// the classifier and the centers, when training starts from weights of another data set. A resumed run allows none.
///
/// The file may also hold a classifier, centers, momenta and PyTorch's batch counters that are not in the model. Any
/// other tensor is refused, because it belongs to a larger network, of which the model would be a part only.
///
/// # Errors
/// [`crate::Error::Weights`] with the first tensor that is missing, of another shape or element type, not finite, a
/// variance below 0, or not in the model, and the number of tensors of each kind.
///
/// # Panics
/// If there is another handle to one of the model's tensors.
pub fn load_into(params: &mut Params, file: &TensorFile, may_keep: impl Fn(&str) -> bool) -> Result<Loaded> {
    let learned = params.params().iter().map(|p| (p.name.as_str(), p.value.shape()));
    let buffers = params.buffers().iter().map(|b| (b.name.as_str(), b.value.shape()));
    let (values, report) = match_tensors(learned.chain(buffers), file, may_keep, "the model")?;
    fill(params, values)?;
    Ok(report)
}

/// Checks that a file holds a model's parameters and buffers, as [`load_into`] does, before the model has memory: a
/// file of a few bytes may claim a model of gigabytes.
///
/// # Errors
/// As [`load_into`].
pub fn check_tensors(specs: &ParamSpecs, file: &TensorFile, may_keep: impl Fn(&str) -> bool) -> Result<()> {
    match_tensors(specs.shapes(), file, may_keep, "the model").map(|_| ())
}

/// Copies values into the parameters, then the buffers, of a model.
fn fill(params: &mut Params, mut values: Vec<NewValues<'_>>) -> Result<()> {
    let learned = params.params().len();
    let buffers = values.split_off(learned);
    for (param, values) in params.params_mut().iter_mut().zip(values) {
        values.iter().try_for_each(|v| param.load(v))?;
    }
    for (buffer, values) in params.buffers_mut().iter_mut().zip(buffers) {
        values.iter().try_for_each(|v| buffer.value.copy_from_host_f32(v))?;
    }
    Ok(())
}

/// The new values of a parameter or buffer; none if the old values are kept.
type NewValues<'f> = Option<Cow<'f, [f32]>>;

/// Finds the new values of a model's parameters and buffers, with the checks of [`load_into`]. `entries` are their
/// names and shapes, and `model` is the model's name in errors.
fn match_tensors<'a, 'f>(
    entries: impl Iterator<Item = (&'a str, Shape)>,
    file: &'f TensorFile,
    may_keep: impl Fn(&str) -> bool,
    model: &str,
) -> Result<(Vec<NewValues<'f>>, Loaded)> {
    let entries: Vec<(&str, Shape)> = entries.collect();
    let known: HashSet<&str> = entries.iter().map(|(name, _)| *name).collect();
    let others = file.names().filter(|name| !known.contains(name)).map(String::from);
    let (unused, unexpected): (Vec<String>, Vec<String>) = others.partition(|name| may_be_unused(name));

    let mut report = Loaded { unused, ..Loaded::default() };
    let (mut missing, mut misshapen, mut first) = (0, 0, None);
    let mut values = Vec::with_capacity(entries.len());
    for (name, wanted) in entries {
        let found = file.get(name);
        let fitting = found.filter(|view| view.shape() == wanted.dims());
        values.push(match fitting {
            Some(view) => Some(check_values(file, name, view.f32()?)?),
            None => None,
        });
        match found {
            _ if fitting.is_some() => report.loaded += 1,
            _ if may_keep(name) => report.kept.push(name.to_string()),
            Some(view) => {
                misshapen += 1;
                let shape = view.shape();
                first.get_or_insert_with(|| {
                    format!("{name} is {shape:?} in the file and {wanted} in {model}")
                });
            }
            None => {
                missing += 1;
                first.get_or_insert_with(|| format!("{name} {wanted} is missing"));
            }
        }
    }
    let first = first.or_else(|| Some(format!("{:?} is not in {model}", unexpected.first()?)));
    match first {
        None => Ok((values, report)),
        Some(first) => Err(file.fault(format!(
            "{first} (in all {missing} missing, {misshapen} of another shape, {} not in {model}); these weights belong \
             to another model: give other weights, or set the model's settings to those of the weights",
            unexpected.len()
        ))),
    }
}

/// Whether a tensor that is not in the model may be ignored: classifiers and centers of other identities, heads of losses
/// that the run does not have, states of optimisers, and the batch counters of PyTorch, which only cumulative averages need.
fn may_be_unused(name: &str) -> bool {
    name.starts_with("fc.")
        || is_of_losses(name)
        || optim::is_state(name)
        || name.ends_with("num_batches_tracked")
}

/// Returns the values, or an error that names the first value that is not finite or a variance below 0.
fn check_values<'a>(file: &TensorFile, name: &str, values: Cow<'a, [f32]>) -> Result<Cow<'a, [f32]>> {
    let is_variance = name.ends_with("running_var");
    match values.iter().position(|v| !v.is_finite() || (is_variance && *v < 0.0)) {
        Some(i) => Err(file.fault(format!(
            "{name}[{i}] is {}; these weights are spoilt, give others or export them again",
            values[i]
        ))),
        None => Ok(values),
    }
}
