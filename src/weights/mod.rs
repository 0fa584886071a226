//! Weights, features and checkpoints on disk: safetensors in and out, names and shapes checked against the
//! model, whole files only.

mod features;
pub mod network;
mod tensors;

pub use features::{About, Features, Origin, normalise_rows};
pub use network::NetworkFile;
pub use tensors::{
    TensorFile, TensorOut, TensorView, Values, read_tensors, write_tensors, write_tensors_and_rows,
};

use crate::Result;
use crate::autograd::Params;
use crate::element::Shape;
use std::borrow::Cow;
use std::collections::HashSet;

/// What [`load_into`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// How many parameters and buffers took their values from the file.
    pub loaded: usize,
    /// Parameters and buffers that kept their values, because the file lacks them (or has them in another
    /// shape) and they were allowed to.
    pub kept: Vec<String>,
    /// Tensors of the file that the model has no place for and need not have.
    pub unused: Vec<String>,
}

/// All parameters, then all buffers of a model, ready for [`write_tensors`].
///
/// # Errors
/// What the device reports, of copying them to the host.
pub fn model_tensors(params: &Params) -> Result<Vec<TensorOut<'_>>> {
    let params_then_buffers = params
        .params()
        .iter()
        .map(|p| (&p.name, &p.value))
        .chain(params.buffers().iter().map(|b| (&b.name, &b.value)));
    params_then_buffers.map(|(name, value)| TensorOut::of(name, value)).collect()
}

/// Copies a file's tensors into the parameters and buffers of the same names. All are checked before the
/// first is copied: after an error the model is as it was.
///
/// `may_keep` names those that keep their values where the file has no fitting tensor: the classifier and
/// the centers, when training starts from weights of another data set. A resumed run allows none.
///
/// The file may hold a classifier, centers, momenta and PyTorch's batch counters that the model has no place
/// for. Anything else is part of another, larger network, of which a part would be a wrong one.
///
/// # Errors
/// [`crate::Error::Weights`] with the first tensor that is missing, of another shape or dtype, not finite, a variance
/// below 0, or without a place in the model, and how many there are of each kind.
///
/// # Panics
/// If somebody else holds a handle to one of the model's tensors.
pub fn load_into(params: &mut Params, file: &TensorFile, may_keep: impl Fn(&str) -> bool) -> Result<Loaded> {
    let learned = params.params().iter().map(|p| (p.name.as_str(), p.value.shape()));
    let buffers = params.buffers().iter().map(|b| (b.name.as_str(), b.value.shape()));
    let (mut values, report) = match_tensors(learned.chain(buffers), file, may_keep, "the model")?;
    let learned = params.params().len();
    let buffers = values.split_off(learned);
    for (param, values) in params.params_mut().iter_mut().zip(values) {
        values.iter().try_for_each(|v| param.load(v))?;
    }
    for (buffer, values) in params.buffers_mut().iter_mut().zip(buffers) {
        values.iter().try_for_each(|v| buffer.value.copy_from_host_f32(v))?;
    }
    Ok(report)
}

/// The values for one place of a model, none if it keeps its own.
type Found<'f> = Option<Cow<'f, [f32]>>;

/// The values of each of a model's places, none where one may keep its own; the checks of [`load_into`], whose
/// arguments it takes. `model` names in errors what the places are of.
fn match_tensors<'a, 'f>(
    places: impl Iterator<Item = (&'a str, Shape)>,
    file: &'f TensorFile,
    may_keep: impl Fn(&str) -> bool,
    model: &str,
) -> Result<(Vec<Found<'f>>, Loaded)> {
    let places: Vec<(&str, Shape)> = places.collect();
    let known: HashSet<&str> = places.iter().map(|(name, _)| *name).collect();
    let without_place = file.names().filter(|name| !known.contains(name)).map(String::from);
    let (unused, strays): (Vec<String>, Vec<String>) = without_place.partition(|name| may_be_unused(name));

    let mut report = Loaded { unused, ..Loaded::default() };
    let (mut missing, mut misshapen, mut first) = (0, 0, None);
    let mut values = Vec::with_capacity(places.len());
    for (name, wanted) in places {
        let found = file.get(name);
        let fitting = found.filter(|view| view.shape() == wanted.dims());
        values.push(match fitting {
            Some(view) => Some(possible(file, name, view.f32()?)?),
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
    let first = first.or_else(|| Some(format!("{:?} has no place in {model}", strays.first()?)));
    match first {
        None => Ok((values, report)),
        Some(first) => Err(file.fault(format!(
            "{first} (in all {missing} missing, {misshapen} of another shape, {} without a place in {model}); these \
             weights belong to another model",
            strays.len()
        ))),
    }
}

/// What a file may hold beyond the model: what belongs to other identities or to training, and PyTorch's
/// counters, which plain averages do without.
fn may_be_unused(name: &str) -> bool {
    name.starts_with("fc.")
        || name == "centers"
        || name.starts_with("momentum/")
        || name.ends_with("num_batches_tracked")
}

/// The values, or an error that says which is not finite, or is a variance below 0.
fn possible<'a>(file: &TensorFile, name: &str, values: Cow<'a, [f32]>) -> Result<Cow<'a, [f32]>> {
    let is_variance = name.ends_with("running_var");
    match values.iter().position(|v| !v.is_finite() || (is_variance && *v < 0.0)) {
        Some(i) => Err(file.fault(format!("{name}[{i}] is {}; these weights are spoilt", values[i]))),
        None => Ok(values),
    }
}
