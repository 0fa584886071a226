//! Dictionaries and tensors of a checkpoint, built from its pickle.
//!
//! A tensor is a call of `torch._utils._rebuild_tensor` or `_v2` with `(storage, offset, sizes, strides, ...)`, a
//! parameter one of `_rebuild_parameter` or `Parameter` around it; in the tar format the pickle's persistent ids
//! are the tensors themselves.

use super::fault::AGAIN;
use super::pickle::{Kind, Pickle, Pile, Value};
use super::storage::{MAX_RANK, Storage, Tensor};
use crate::content::MAX_TENSORS;
use crate::display::one_line;
use crate::element::Element;
use crate::nesting::Node;
use crate::{Error, Result};
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

/// Largest nesting depth of a checkpoint's dictionaries.
const DEPTH: usize = 16;
/// Largest number of values in a checkpoint's dictionaries.
const VALUES: usize = 200_000;

/// The object of a persistent id.
#[derive(Clone, Debug)]
pub enum Leaf {
    /// A storage.
    Storage(Storage),
    /// A tensor (tar).
    Tensor(Tensor),
    /// An unreadable object with the reason; an error only if a tensor needs it.
    Unreadable(String),
}

/// Converts the pickle's values to dictionaries and tensors; `leaves` are the objects of its persistent ids.
///
/// # Errors
/// Tensors that do not fit their storages; more values or deeper nesting than any network's.
pub fn tree(path: &Path, file: &Rc<File>, pickle: &Pickle, leaves: &[Leaf]) -> Result<Node<Tensor>> {
    Tree { path, file, pickle, leaves, left: VALUES, tensors: 0 }.node(&pickle.root, 0)
}

/// A storage's element type, key and number of elements by its persistent id, `('storage', class, key,
/// location, elements, view)`, and the view's offset and elements if there is one.
pub fn storage_id<'a>(pickle: &'a Pickle, id: &Value) -> std::result::Result<StorageId<'a>, String> {
    let unknown = || "it names a storage in an unknown way".to_string();
    let [tag, Value::Global(class), key, _, elements, view @ ..] = pickle.items(id) else {
        return Err(unknown());
    };
    if *tag != Value::Text("storage".into()) {
        return Err(unknown());
    }
    let element =
        element_of(class).ok_or_else(|| format!("tensors of {} are not read", one_line(&**class)))?;
    let elements = elements.natural().ok_or_else(unknown)?;
    let view = match view.first().map(|view| pickle.items(view)) {
        Some([_, offset, elements]) => Some(offset.natural().zip(elements.natural()).ok_or_else(unknown)?),
        _ => None,
    };
    Ok(StorageId { element, key, elements, view })
}

/// A storage as described by a persistent id.
pub struct StorageId<'a> {
    /// The type of its elements.
    pub element: Element,
    /// Key in the container.
    pub key: &'a Value,
    /// Number of elements.
    pub elements: u64,
    /// Offset and number of elements of the view, if it is not the whole storage.
    pub view: Option<(u64, u64)>,
}

/// Element type of a storage class, e.g. `torch.FloatStorage`; `None` for an untyped storage.
pub fn element_of(class: &str) -> Option<Element> {
    Some(match class.rsplit('.').next()?.strip_suffix("Storage")? {
        "Double" => Element::F64,
        "Float" => Element::F32,
        "Half" => Element::F16,
        "BFloat16" => Element::BF16,
        "Long" => Element::I64,
        "Int" => Element::I32,
        "Short" => Element::I16,
        "Char" => Element::I8,
        "Byte" => Element::U8,
        "Bool" => Element::Bool,
        _ => return None,
    })
}

struct Tree<'a> {
    path: &'a Path,
    file: &'a Rc<File>,
    pickle: &'a Pickle,
    leaves: &'a [Leaf],
    /// Number of values that may still be visited, because a container may occur in many places.
    left: usize,
    /// Number of tensors so far.
    tensors: usize,
}

impl Tree<'_> {
    fn broken(&self, what: impl std::fmt::Display) -> Error {
        Error::weights(self.path, format!("{what}; {AGAIN}"))
    }

    fn node(&mut self, value: &Value, depth: usize) -> Result<Node<Tensor>> {
        self.left = self.left.saturating_sub(1);
        if depth > DEPTH || self.left == 0 {
            return Err(Error::weights(
                self.path,
                "nests more values than any network; save model.state_dict() alone",
            ));
        }
        let pickle = self.pickle;
        let pile = match value {
            Value::Persistent(id) => return self.leaf(*id),
            Value::Pile(pile) => &pickle.piles[*pile],
            _ => return Ok(Node::Other),
        };
        match &pile.kind {
            Kind::Sequence => Ok(Node::Other),
            Kind::Dict => {
                let named = pickle.entries(value).filter_map(|(key, value)| Some((key.key()?, value)));
                let nodes = named.map(|(key, value)| Ok((key, self.node(value, depth + 1)?)));
                nodes.collect::<Result<_>>().map(Node::Dict)
            }
            Kind::Object(class) => match &**class {
                "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => self.tensor(pile),
                "torch._utils._rebuild_parameter" | "torch.nn.parameter.Parameter" => {
                    self.parameter(pile, depth)
                }
                _ => Ok(Node::Other),
            },
        }
    }

    /// Reads a parameter; its data come first, as an argument or in its state.
    fn parameter(&mut self, pile: &Pile, depth: usize) -> Result<Node<Tensor>> {
        for item in &pile.items {
            if let tensor @ Node::Tensor(_) = self.node(item, depth + 1)? {
                return Ok(tensor);
            }
        }
        Ok(Node::Other)
    }

    fn counted(&mut self, tensor: Tensor) -> Result<Node<Tensor>> {
        self.tensors += 1;
        match self.tensors > MAX_TENSORS {
            true => Err(too_many(self.path)),
            false => Ok(Node::Tensor(tensor)),
        }
    }

    fn leaf(&mut self, id: usize) -> Result<Node<Tensor>> {
        match &self.leaves[id] {
            Leaf::Storage(_) => Ok(Node::Other),
            Leaf::Tensor(tensor) => self.counted(tensor.clone()),
            Leaf::Unreadable(why) => Err(self.broken(why)),
        }
    }

    fn tensor(&mut self, call: &Pile) -> Result<Node<Tensor>> {
        let unknown = || self.broken("its pickle makes a tensor in an unknown way");
        let [Value::Persistent(id), offset, sizes, strides, ..] = &call.items[..] else {
            return Err(unknown());
        };
        let storage = match &self.leaves[*id] {
            Leaf::Storage(storage) => storage,
            Leaf::Tensor(_) => return Err(unknown()),
            Leaf::Unreadable(why) => return Err(self.broken(why)),
        };
        let (sizes, strides) = (self.pickle.items(sizes), self.pickle.items(strides));
        if sizes.len() > MAX_RANK {
            return Err(self.broken(format!("a tensor claims {} dimensions", sizes.len())));
        }
        let numbers = |values: &[Value]| values.iter().map(Value::natural).collect::<Option<Vec<u64>>>();
        let (Some(offset), Some(sizes), Some(strides)) = (offset.natural(), numbers(sizes), numbers(strides))
        else {
            return Err(self.broken("a tensor has a size, stride or offset that is negative or no number"));
        };
        match storage.tensor(self.file, &sizes, &strides, offset) {
            Some(tensor) => self.counted(tensor),
            None => Err(self.broken(beyond(&sizes, &strides, offset, storage))),
        }
    }
}

/// Error for a checkpoint of more tensors or storages than those of any network.
pub fn too_many(path: &Path) -> Error {
    let detail = format!("has more than {MAX_TENSORS} tensors or storages; save model.state_dict() alone");
    Error::weights(path, detail)
}

/// Message about a tensor that reaches beyond its storage.
pub fn beyond(sizes: &[u64], strides: &[u64], offset: u64, storage: &Storage) -> String {
    format!(
        "a tensor of sizes {sizes:?}, strides {strides:?} and offset {offset} reaches beyond its storage of {} \
         elements",
        storage.elements
    )
}
