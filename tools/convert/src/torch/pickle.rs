//! Values of a pickle, and the budget for reading it.
//!
//! Containers are in one list and are referred to by index, so cycles and deep nesting are cheap, and a value fetched
//! from the memo is shared, not copied.

use std::io;
use std::rc::Rc;

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A string.
    Text(Rc<str>),
    /// An integer of at most 64 bits, or a truth value.
    Int(i64),
    /// A class or function, as `module.name`.
    Global(Rc<str>),
    /// A container, by its index in [`Pickle::piles`].
    Pile(usize),
    /// A persistent id, by its index in [`Pickle::persistent`].
    Persistent(usize),
    /// Any other value: None, floats, bytes.
    Opaque,
}

/// Kind of a container.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A tuple, list or set; items in order.
    Sequence,
    /// A dictionary; keys and values in turn.
    Dict,
    /// An object of this class; its arguments, then its state.
    Object(Rc<str>),
}

/// A container.
#[derive(Debug)]
pub struct Pile {
    /// Kind.
    pub kind: Kind,
    /// Items.
    pub items: Vec<Value>,
}

/// A completely interpreted pickle.
#[derive(Debug)]
pub struct Pickle {
    /// All containers.
    pub piles: Vec<Pile>,
    /// All persistent ids, in the order of their use.
    pub persistent: Vec<Value>,
    /// Value of the pickle.
    pub root: Value,
}

impl Value {
    /// Longest key in bytes: a long one in many places would need much time and memory.
    const LONGEST_KEY: usize = 500;

    /// The value as a key: a number, or a text that is not too long for one.
    pub fn key(&self) -> Option<String> {
        match self {
            Value::Text(text) if text.len() <= Self::LONGEST_KEY => Some(text.to_string()),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The value as a size, stride, offset or count.
    pub fn natural(&self) -> Option<u64> {
        match self {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }
}

impl Pickle {
    /// Items of a container; empty for other values.
    pub fn items(&self, value: &Value) -> &[Value] {
        match value {
            Value::Pile(pile) => &self.piles[*pile].items,
            _ => &[],
        }
    }

    /// Keys and values of a dictionary.
    pub fn entries(&self, value: &Value) -> impl Iterator<Item = (&Value, &Value)> {
        self.items(value).as_chunks().0.iter().map(|[key, value]| (key, value))
    }

    /// True if the description of the system that saved the file says big-endian.
    pub fn is_of_big_endian_system(&self) -> bool {
        let order = Value::Text("little_endian".into());
        self.entries(&self.root).any(|(key, value)| *key == order && *value == Value::Int(0))
    }
}

/// Reason why interpretation ended early.
#[derive(Debug)]
pub enum Fault {
    /// The bytes ended.
    End,
    /// An error of the file system.
    Io(io::Error),
    /// The pickle names a class or function that weights do not need.
    Forbidden(String),
    /// The pickle exceeds a limit of the budget.
    Large(&'static str),
    /// The bytes are no pickle that PyTorch writes.
    Broken(String),
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::UnexpectedEof { Fault::End } else { Fault::Io(e) }
    }
}

/// Budget of all pickles of one file together. An optimiser's checkpoint of ResNet-152 takes some
/// 70,000 steps and half a megabyte.
#[derive(Debug)]
pub struct Budget {
    steps: u32,
    bytes: u64,
}

impl Budget {
    /// The most bytes that the pickles of one file may have.
    pub const BYTES: u64 = 16 << 20;

    /// Number of bytes left.
    pub fn left(&self) -> u64 {
        self.bytes
    }

    /// Creates the budget of one file.
    pub fn new() -> Self {
        Budget { steps: 500_000, bytes: Self::BYTES }
    }

    /// Charges one step of a pickle.
    pub fn step(&mut self) -> Result<(), Fault> {
        let spent = || Fault::Large("takes more steps");
        self.steps = self.steps.checked_sub(1).ok_or_else(spent)?;
        self.spend(1)
    }

    /// Charges bytes of a pickle that are read or copied.
    pub fn spend(&mut self, bytes: u64) -> Result<(), Fault> {
        let spent = || Fault::Large("is longer");
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(spent)?;
        Ok(())
    }
}
