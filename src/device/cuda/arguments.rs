//! The arguments of kernels, typed by the kernels' signatures.
//!
//! The build reads the signature of each kernel in `cuda/*.cu` and makes a struct of it (`build/signatures.rs`), such as
//! `kernels::ReluForward { x, y, n }`. A missing argument or one of another kind does not compile; a tensor of a wrong
//! element type is an error before the launch.

use crate::element::DType;
use crate::{Error, Result};

/// A device pointer and the type of its elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub word: u64,
    dtype: DType,
}

/// A pointer that a kernel reads, made from a `&Tensor`.
#[derive(Clone, Copy, Debug)]
pub struct In(Address);

/// A pointer that a kernel writes, or reads and writes, made from a `&mut Tensor`.
#[derive(Clone, Copy, Debug)]
pub struct Out(Address);

impl Address {
    /// The element type.
    pub fn dtype(self) -> DType {
        self.dtype
    }
}

impl In {
    pub(super) fn inner(self) -> Address {
        self.0
    }

    /// `word` is the address of an element of type `dtype` and of those behind it.
    pub(crate) fn new(word: u64, dtype: DType) -> Self {
        In(Address { word, dtype })
    }

    /// The device address.
    pub fn address(self) -> u64 {
        self.0.word
    }
}

impl Out {
    pub(super) fn inner(self) -> Address {
        self.0
    }

    /// `word` is the address of an element of type `dtype` and of those behind it.
    pub(crate) fn new(word: u64, dtype: DType) -> Self {
        Out(Address { word, dtype })
    }

    /// The device address.
    pub fn address(self) -> u64 {
        self.0.word
    }
}

/// The same memory as an input: for a kernel that works in place.
impl From<Out> for In {
    fn from(out: Out) -> In {
        In(out.0)
    }
}

/// An argument of a kernel, of the type that its parameter has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument {
    /// A pointer; none is null.
    Pointer(Option<Address>),
    /// `int`, from a number that is never negative: a size, a flag.
    Int(usize),
    /// `size_t`.
    Size(usize),
    /// `uint64_t`.
    Word(u64),
    /// `float`.
    Float(f32),
}

impl From<In> for Argument {
    fn from(In(address): In) -> Argument {
        Argument::Pointer(Some(address))
    }
}

impl From<Out> for Argument {
    fn from(Out(address): Out) -> Argument {
        Argument::Pointer(Some(address))
    }
}

impl From<Option<In>> for Argument {
    fn from(pointer: Option<In>) -> Argument {
        Argument::Pointer(pointer.map(|pointer| pointer.0))
    }
}

impl From<Option<Out>> for Argument {
    fn from(pointer: Option<Out>) -> Argument {
        Argument::Pointer(pointer.map(|pointer| pointer.0))
    }
}

/// The arguments of a launch. The build makes an implementation for each kernel of `cuda/*.cu` from its signature
/// (`build/signatures.rs`): argument i has the type of parameter i.
pub(crate) trait Kernel {
    /// An array, one argument for each parameter.
    type Arguments: AsRef<[Argument]>;
    /// The kernels' name without element types.
    const STEM: &'static str;
    /// The kernels of this name, which differ in the element types of their pointers.
    const VARIANTS: &'static [Variant];

    /// In the order of the parameters.
    fn arguments(&self) -> Self::Arguments;
}

/// One kernel of a stem.
pub(crate) struct Variant {
    name: &'static str,
    /// In the order of the parameters.
    pointers: &'static [Pointer],
}

/// Name and element type of a pointer parameter.
struct Pointer {
    name: &'static str,
    dtype: DType,
}

impl Variant {
    /// The kernel whose pointers have the types of these arguments; a null pointer has any.
    ///
    /// # Errors
    /// There is none.
    pub fn of<K: Kernel>(arguments: &[Argument]) -> Result<&'static str> {
        let given = || {
            arguments.iter().filter_map(|argument| match argument {
                Argument::Pointer(address) => Some(address.map(|address| address.dtype)),
                _ => None,
            })
        };
        let fits = |variant: &&Variant| {
            variant
                .pointers
                .iter()
                .zip(given())
                .all(|(pointer, dtype)| dtype.is_none_or(|dtype| dtype == pointer.dtype))
        };
        K::VARIANTS.iter().find(fits).map(|variant| variant.name).ok_or_else(|| {
            let names = K::VARIANTS[0].pointers.iter().map(|pointer| pointer.name);
            let given = names.zip(given()).map(|(name, dtype)| match dtype {
                Some(dtype) => format!("{name} {dtype:?}"),
                None => format!("{name} null"),
            });
            let variants: Vec<&str> = K::VARIANTS.iter().map(|variant| variant.name).collect();
            let given: Vec<String> = given.collect();
            let (stem, given, variants) = (K::STEM, given.join(", "), variants.join(", "));
            Error::Device(format!("kernel {stem}: no variant takes {given}; there are {variants}"))
        })
    }
}

/// The structs of all kernels.
pub(crate) mod kernels {
    use super::{Argument, In, Kernel, Out, Pointer, Variant};
    use crate::element::DType;

    include!(concat!(env!("OUT_DIR"), "/signatures.rs"));
}
