//! The arguments of kernels, typed by the kernels' signatures.
//!
//! The build generates a struct from the signature of each kernel in `cuda/*.cu` (`build/signatures.rs`), such as
//! `kernels::ReluForward { x, y, n }`. A missing argument or one of another kind does not compile; a tensor of a wrong
//! element type is an error before the launch.
//!
//! Book: [chapter 14](../../../../../../docs/book/src/14-launches.md).

use super::DeviceId;
use super::streams::Use;
use crate::element::DType;
use crate::{Error, Result};

/// A device pointer, the bytes from there on that may be used, the device object of the memory, and the type of the
/// elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub word: u64,
    bytes: usize,
    is_written: bool,
    device: DeviceId,
    dtype: DType,
}

/// A device pointer that a kernel reads, made from a `&Tensor`.
#[derive(Clone, Copy, Debug)]
pub struct In(Address);

/// A device pointer that a kernel writes, or reads and writes, made from a `&mut Tensor`.
#[derive(Clone, Copy, Debug)]
pub struct Out(Address);

impl Address {
    /// The element type.
    pub fn dtype(self) -> DType {
        self.dtype
    }

    /// The memory behind the pointer, as it is used.
    pub(super) fn usage(self) -> Use {
        if self.is_written { Use::write(self.word, self.bytes) } else { Use::read(self.word, self.bytes) }
    }

    /// The device object that allocated the memory.
    pub fn device(self) -> DeviceId {
        self.device
    }
}

impl In {
    pub(super) fn inner(self) -> Address {
        self.0
    }

    /// A pointer to an array of `bytes` bytes in memory of `device`: `word` is the device address of its first element,
    /// `dtype` the element type.
    pub(crate) fn new(word: u64, bytes: usize, device: DeviceId, dtype: DType) -> Self {
        In(Address { word, bytes, is_written: false, device, dtype })
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

    /// A pointer to an array of `bytes` bytes in memory of `device`: `word` is the device address of its first element,
    /// `dtype` the element type.
    pub(crate) fn new(word: u64, bytes: usize, device: DeviceId, dtype: DType) -> Self {
        Out(Address { word, bytes, is_written: true, device, dtype })
    }

    /// The device address.
    pub fn address(self) -> u64 {
        self.0.word
    }
}

/// Converts an output pointer to an input pointer, for a kernel that works in place.
impl From<Out> for In {
    fn from(out: Out) -> In {
        In(out.0)
    }
}

/// An argument of a kernel; the variant is the type of the parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument {
    /// A pointer; `None` is the null pointer.
    Pointer(Option<Address>),
    /// `int`: a size or a flag, never negative.
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

/// The arguments of a launch. The build generates an implementation for each kernel of `cuda/*.cu` from its
/// signature (`build/signatures.rs`): argument i has the type of parameter i.
pub(crate) trait Kernel {
    /// The array type of the arguments, one for each parameter.
    type Arguments: AsRef<[Argument]>;
    /// The name of the kernel without element types.
    const STEM: &'static str;
    /// The variants of the kernel, which differ in the element types of their pointers.
    const VARIANTS: &'static [Variant];

    /// The arguments in the order of the parameters.
    fn arguments(&self) -> Self::Arguments;
}

/// One variant of a kernel.
pub(crate) struct Variant {
    name: &'static str,
    /// The pointer parameters, in order.
    pointers: &'static [Pointer],
}

/// The name and element type of a pointer parameter.
struct Pointer {
    name: &'static str,
    dtype: DType,
}

impl Variant {
    /// The name of the variant whose pointers have the element types of these arguments; a null pointer fits any type.
    ///
    /// # Errors
    /// No variant has these element types.
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
                Some(dtype) => format!("{name} {dtype}"),
                None => format!("{name} null"),
            });
            let variants: Vec<&str> = K::VARIANTS.iter().map(|variant| variant.name).collect();
            let given: Vec<String> = given.collect();
            let (stem, given, variants) = (K::STEM, given.join(", "), variants.join(", "));
            Error::Device(format!("kernel {stem}: no variant takes {given}; there are {variants}"))
        })
    }
}

/// The generated argument structs of all kernels.
pub(crate) mod kernels {
    use super::{Argument, In, Kernel, Out, Pointer, Variant};
    use crate::element::DType;

    include!(concat!(env!("OUT_DIR"), "/signatures.rs"));
}
