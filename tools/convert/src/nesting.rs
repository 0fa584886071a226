//! Search for the state dict in a checkpoint, and removal of name prefixes.

use crate::Result;
use crate::display::quoted;
use bcreid::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A value of a checkpoint.
#[derive(Debug)]
pub enum Node<T> {
    /// A tensor.
    Tensor(T),
    /// A dictionary.
    Dict(BTreeMap<String, Node<T>>),
    /// A value that is neither a tensor nor a dictionary.
    Other,
}

/// Keys under which training programs save a state dict, the most common first.
const KEYS: [&str; 6] = ["state_dict", "model", "model_state_dict", "net", "module", "network"];

/// Prefixes that wrappers add to every name.
const PREFIXES: [&str; 6] = ["module.", "_orig_mod.", "model.", "backbone.", "bottom_up.", "base."];

/// First parts of the names of a ResNet's trunk: torchvision's and detectron2's.
const TRUNK: [&str; 11] =
    ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "stem", "res2", "res3", "res4", "res5"];

/// Error for a checkpoint without a dictionary, for example a single tensor.
pub const NO_DICTIONARY: &str = "holds no dictionary of tensors; save model.state_dict()";

/// Largest nesting depth of a state dict, and of the wrappers around a model.
const DEPTH: usize = 8;

impl<T> Node<T> {
    fn has_tensors(&self) -> bool {
        match self {
            Node::Tensor(_) => true,
            Node::Dict(items) => items.values().any(Node::has_tensors),
            Node::Other => false,
        }
    }

    fn is_state_dict(&self) -> bool {
        matches!(self, Node::Dict(items) if items.values().any(|v| matches!(v, Node::Tensor(_))))
    }
}

/// Finds the state dict of a checkpoint; also returns notes about the choice.
///
/// # Errors
/// No tensors, or several state dicts of which none is called `state_dict`; the error names them.
pub fn choose<T>(path: &Path, root: Node<T>) -> Result<(BTreeMap<String, T>, Vec<String>)> {
    let Node::Dict(mut items) = root else {
        return Err(Error::weights(path, NO_DICTIONARY));
    };
    let mut notes = Vec::new();
    for _ in 0..DEPTH {
        let Some(key) = nested_key(path, &items)? else {
            let tensors = items.into_iter().filter_map(|(name, value)| match value {
                Node::Tensor(tensor) => Some((name, tensor)),
                _ => None,
            });
            return Ok((tensors.collect(), notes));
        };
        let Some(Node::Dict(inner)) = items.remove(&key) else {
            unreachable!("a nested key is a dictionary's")
        };
        let others: Vec<&str> =
            items.iter().filter(|(_, v)| v.has_tensors()).map(|(k, _)| k.as_str()).collect();
        let others = if others.is_empty() { String::new() } else { format!("; not used: {}", list(&others)) };
        notes.push(format!("took the tensors under {}{others}", quoted(&key)));
        items = inner;
    }
    Err(Error::weights(
        path,
        format!("nests its tensors more than {DEPTH} deep; save model.state_dict() alone"),
    ))
}

/// The key of the dictionary that holds the state dict; `None` if `items` is the state dict.
fn nested_key<T>(path: &Path, items: &BTreeMap<String, Node<T>>) -> Result<Option<String>> {
    let nested = |fits: fn(&Node<T>) -> bool| -> Vec<&str> {
        let dicts = items.iter().filter(|(_, v)| matches!(v, Node::Dict(_)) && fits(v));
        dicts.map(|(key, _)| key.as_str()).collect()
    };
    let with_tensors = nested(Node::has_tensors);
    let known: Vec<&str> = KEYS.into_iter().filter(|key| with_tensors.contains(key)).collect();
    if known.first() == Some(&KEYS[0]) || known.len() == 1 {
        return Ok(Some(known[0].to_string()));
    }
    let state_dicts = if known.is_empty() { nested(Node::is_state_dict) } else { known };
    // A state dict's names have a dot, module.parameter; a lone tensor beside it, say an accuracy, has none.
    let mut own = items.iter().filter(|(_, v)| matches!(v, Node::Tensor(_))).map(|(key, _)| key).peekable();
    let is_state_dict = own.peek().is_some() && (with_tensors.is_empty() || own.any(|key| key.contains('.')));
    match (is_state_dict, &state_dicts[..], &with_tensors[..]) {
        (true, [], _) => Ok(None),
        (false, [one], _) | (false, [], [one]) => Ok(Some(one.to_string())),
        (false, [], []) => Err(Error::weights(path, "holds no tensors; save model.state_dict()")),
        (_, state_dicts, with_tensors) => {
            let mut candidates = if state_dicts.is_empty() { with_tensors } else { state_dicts }.to_vec();
            if is_state_dict {
                candidates.push("its top level");
            }
            let candidates = list(&candidates);
            let detail = format!(
                "holds tensors under {candidates}; save the one you mean as \"state_dict\", or alone"
            );
            Err(Error::weights(path, detail))
        }
    }
}

/// Removes the prefixes of wrappers from the names, and adds notes about this.
pub fn strip<T>(mut tensors: BTreeMap<String, T>, notes: &mut Vec<String>) -> BTreeMap<String, T> {
    for _ in 0..DEPTH {
        let Some(prefix) = PREFIXES.into_iter().find(|prefix| is_common(&tensors, prefix)) else { break };
        let taken: BTreeSet<String> = tensors.keys().cloned().collect();
        let short = |name: String| match name.strip_prefix(prefix) {
            // A head beside the trunk may already have the name.
            Some(rest) if !rest.is_empty() && !taken.contains(rest) => rest.to_string(),
            _ => name,
        };
        tensors = tensors.into_iter().map(|(name, tensor)| (short(name), tensor)).collect();
        notes.push(removed(prefix));
    }
    tensors
}

/// The note about a prefix that was removed.
pub(crate) fn removed(prefix: &str) -> String {
    format!("removed the prefix {prefix:?} from the names")
}

/// True if all tensors of the trunk have the prefix, or all tensors if there is no trunk.
fn is_common<T>(tensors: &BTreeMap<String, T>, prefix: &str) -> bool {
    let mut trunk = tensors.keys().filter(|name| is_of_the_trunk(name)).peekable();
    match trunk.peek() {
        Some(_) => trunk.all(|name| name.starts_with(prefix)),
        None => {
            !tensors.is_empty()
                && tensors.keys().all(|name| name.len() > prefix.len() && name.starts_with(prefix))
        }
    }
}

fn is_of_the_trunk(name: &str) -> bool {
    let mut rest = name;
    while let Some(shorter) = PREFIXES.into_iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = shorter;
    }
    rest.split_once('.').is_some_and(|(first, _)| TRUNK.contains(&first))
}

/// Lists at most six names for a message.
pub fn list(names: &[&str]) -> String {
    let some: Vec<String> = names.iter().take(6).map(|name| quoted(name)).collect();
    let more = names.len().saturating_sub(some.len());
    if more == 0 { some.join(", ") } else { format!("{} and {more} more", some.join(", ")) }
}
