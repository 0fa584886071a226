//! What a pickle holds, and what reading one may cost.
//!
//! Containers lie in one list and are referred to by index, so cycles and deep nesting cost nothing, and a
//! value fetched from the memo is shared, never copied.

use std::io;
use std::rc::Rc;

/// What a pickle's value is to us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A string.
    Text(Rc<str>),
    /// An integer of at most 64 bits, or a truth value.
    Int(i64),
    /// A class or function, as `module.name`.
    Global(Rc<str>),
    /// A container: its place in [`Pickle::piles`].
    Pile(usize),
    /// What a persistent id stands for: its place in [`Pickle::persistent`].
    Persistent(usize),
    /// Anything else: None, floats, bytes.
    Opaque,
}

/// What a container is.
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
    /// What it is.
    pub kind: Kind,
    /// What it holds.
    pub items: Vec<Value>,
}

/// A pickle that was walked to its end.
#[derive(Debug)]
pub struct Pickle {
    /// All containers.
    pub piles: Vec<Pile>,
    /// All persistent ids, in the order of their use.
    pub persistent: Vec<Value>,
    /// What the pickle stands for.
    pub root: Value,
}

impl Value {
    /// A key, which may be a text or a number.
    pub fn key(&self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text.to_string()),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Whether it is a text of more than `length` bytes.
    pub fn is_text_beyond(&self, length: usize) -> bool {
        matches!(self, Value::Text(text) if text.len() > length)
    }

    /// A size, stride, offset or count.
    pub fn natural(&self) -> Option<u64> {
        match self {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }
}

impl Pickle {
    /// What a container holds; nothing if the value is none.
    pub fn items(&self, value: &Value) -> &[Value] {
        match value {
            Value::Pile(pile) => &self.piles[*pile].items,
            _ => &[],
        }
    }

    /// A dictionary's keys and values.
    pub fn entries(&self, value: &Value) -> impl Iterator<Item = (&Value, &Value)> {
        self.items(value).as_chunks().0.iter().map(|[key, value]| (key, value))
    }

    /// Whether the description of the system that saved a file says that its numbers are big-endian.
    pub fn is_of_big_endian_system(&self) -> bool {
        let order = Value::Text("little_endian".into());
        self.entries(&self.root).any(|(key, value)| *key == order && *value == Value::Int(0))
    }
}

/// Why a walk ended early.
#[derive(Debug)]
pub enum Fault {
    /// The bytes ended.
    End,
    /// The system's fault.
    Io(io::Error),
    /// It names something that weights do not need.
    Forbidden(String),
    /// It takes more of something than the pickle of any network.
    Large(&'static str),
    /// It is no pickle that PyTorch writes.
    Broken(String),
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::UnexpectedEof { Fault::End } else { Fault::Io(e) }
    }
}

/// What all pickles of one file together may cost. An optimiser's checkpoint of ResNet-152 takes some
/// 70,000 steps and half a megabyte.
#[derive(Debug)]
pub struct Budget {
    steps: u32,
    bytes: u64,
}

impl Budget {
    /// The most bytes that the pickles of one file may have.
    pub const BYTES: u64 = 16 << 20;

    /// How many bytes are left.
    pub fn left(&self) -> u64 {
        self.bytes
    }

    /// For one file.
    pub fn new() -> Self {
        Budget { steps: 500_000, bytes: Self::BYTES }
    }

    /// One step of a pickle.
    pub fn step(&mut self) -> Result<(), Fault> {
        let spent = || Fault::Large("takes more steps");
        self.steps = self.steps.checked_sub(1).ok_or_else(spent)?;
        self.spend(1)
    }

    /// Bytes of a pickle, read or copied.
    pub fn spend(&mut self, bytes: u64) -> Result<(), Fault> {
        let spent = || Fault::Large("is longer");
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(spent)?;
        Ok(())
    }
}
