//! Kernels of other crates: a fatbin with its sources, and launches that are checked against the sources.

use super::arguments::{Address, Argument};
use super::launch::Kernels;
use super::signature::{self, Kind, Parameter, Signature};
use super::{CudaDevice, Grid, In, Out};
use crate::{Error, Result};
use aligned_vec::{AVec, ConstAlign};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// A fatbin of another crate, and the source it was compiled from. A device loads it with the first launch, which
/// must not be inside a capture, and unloads it when the device is dropped.
pub struct Module {
    fatbin: &'static [u8],
    source: &'static str,
}

impl Module {
    /// `fatbin` is a file that nvcc made (`-fatbin` or `-cubin`), `source` the text of the `.cu` file it was made from.
    /// The text is read without preprocessing. Parameters are pointers to `float`, `__nv_bfloat16`, `int` and
    /// `uint8_t`, and values of the types `int`, `size_t`, `uint64_t` and `float`. The kernel reads a `const` pointer
    /// and writes another one. Kernels are `extern "C" __global__ void` functions whose names end with their element
    /// types, such as `swish_forward_f32`.
    ///
    /// # Safety
    /// nvcc made `fatbin` from `source`: the driver trusts the bytes, and each launch is checked against the text.
    pub const unsafe fn new(fatbin: &'static [u8], source: &'static str) -> Self {
        Module { fatbin, source }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module of {} bytes from {} bytes of source", self.fatbin.len(), self.source.len())
    }
}

/// An argument of a launch, converted by `into()` from [`In`], [`Out`], an `Option` of these, `usize` (for `int` and
/// `size_t`), `u64` and `f32`.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A pointer that the kernel reads; none is null.
    In(Option<In>),
    /// A pointer that the kernel writes; none is null.
    Out(Option<Out>),
    /// A size or a flag.
    Size(usize),
    /// A 64-bit number, for example a seed.
    Word(u64),
    /// A constant.
    Float(f32),
}

macro_rules! from {
    ($($type:ty => |$value:ident| $result:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Value {
                $result
            }
        }
    )*};
}
from! {
    In => |pointer| Value::In(Some(pointer)),
    Out => |pointer| Value::Out(Some(pointer)),
    Option<In> => |pointer| Value::In(pointer),
    Option<Out> => |pointer| Value::Out(pointer),
    usize => |size| Value::Size(size),
    u64 => |word| Value::Word(word),
    f32 => |number| Value::Float(number),
}

/// A module in the context of a device.
struct Loaded {
    kernels: Kernels,
    signatures: Vec<Signature>,
}

/// The addresses and lengths of a fatbin and its source.
type Key = [(usize, usize); 2];

/// The modules of other crates in a device's context.
#[derive(Default)]
pub(super) struct Modules(Mutex<HashMap<Key, Arc<Loaded>>>);

impl CudaDevice {
    /// Launches the kernel `stem` of another crate in the device's stream. Among kernels that differ in the element
    /// types at the end of their names the arguments decide. `arguments` has each parameter once, by its name in the
    /// source, in any order.
    ///
    /// # Errors
    /// A kernel that the source does not have; an argument that is missing, of another kind or element type, or that no
    /// parameter has; a size beyond `int`; errors of the driver.
    ///
    /// # Safety
    /// With this grid and these values the kernel accesses only memory of its pointer arguments, writes no memory of an
    /// [`In`] and reads no uninitialised memory. The tensors of the pointers are on this device and not yet dropped,
    /// and no other stream or thread uses them. In a capture they outlive the graph.
    pub unsafe fn launch_from(
        &self,
        module: &Module,
        grid: Grid,
        stem: &str,
        arguments: &[(&str, Value)],
    ) -> Result<()> {
        let loaded = self.loaded(module)?;
        let (name, arguments) = resolve(&loaded.signatures, stem, arguments).map_err(Error::Device)?;
        self.enqueue(&loaded.kernels, grid, name, &arguments)
    }

    fn loaded(&self, module: &Module) -> Result<Arc<Loaded>> {
        let mut modules = self.modules.0.lock().expect("the lock is never held across a panic");
        let key =
            [module.fatbin, module.source.as_bytes()].map(|bytes| (bytes.as_ptr() as usize, bytes.len()));
        if let Some(loaded) = modules.get(&key) {
            return Ok(loaded.clone());
        }
        check_image(module.fatbin)
            .map_err(|why| Error::Device(format!("a module of another crate {why}")))?;
        let signatures = signature::parse(module.source).map_err(Error::Device)?;
        self.bind()?;
        // `include_bytes!` gives no alignment.
        let aligned: AVec<u8, ConstAlign<64>> = AVec::from_slice(64, module.fatbin);
        let loaded = Arc::new(Loaded { kernels: Kernels::load(self.driver, &aligned)?, signatures });
        modules.insert(key, loaded.clone());
        Ok(loaded)
    }
}

/// Checks that the driver may read the bytes: it gets no length, and takes other bytes for text of PTX up to a zero.
fn check_image(bytes: &[u8]) -> std::result::Result<(), &'static str> {
    /// The first word of a fatbin. Its header goes on with the version (u16), the bytes of the header (u16) and the
    /// bytes behind it (u64), little-endian.
    const FATBIN: [u8; 4] = 0xBA55_ED50u32.to_le_bytes();
    const ELF: &[u8] = b"\x7fELF";
    const ELF_HEADER: usize = 64;
    match bytes {
        [] => Err("has no kernels: its fatbin is empty; build it with nvcc"),
        [first, header @ ..] if bytes.starts_with(&FATBIN) && header.len() >= 15 && *first == FATBIN[0] => {
            let own = u64::from(u16::from_le_bytes([bytes[6], bytes[7]]));
            let rest = u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes"));
            match own.checked_add(rest) {
                Some(size) if size <= bytes.len() as u64 => Ok(()),
                _ => Err("is cut short: its fatbin has fewer bytes than its header states"),
            }
        }
        _ if bytes.starts_with(ELF) && bytes.len() >= ELF_HEADER => Ok(()),
        _ => Err("is neither a fatbin nor a cubin; compile it with nvcc -fatbin or -cubin"),
    }
}

type Resolved<'a> = std::result::Result<(&'a str, Vec<Argument>), String>;

/// The kernel of this stem that takes these arguments, and the arguments in the order of its parameters.
fn resolve<'a>(signatures: &'a [Signature], stem: &str, arguments: &[(&str, Value)]) -> Resolved<'a> {
    let variants: Vec<&Signature> = signatures.iter().filter(|s| signature::stem(&s.name) == stem).collect();
    if variants.is_empty() {
        let names: Vec<&str> = signatures.iter().map(|s| s.name.as_str()).collect();
        return Err(format!("there is no kernel {stem}; the source has {}", names.join(", ")));
    }
    for (i, (name, _)) in arguments.iter().enumerate() {
        if arguments[..i].iter().any(|(other, _)| other == name) {
            return Err(format!("kernel {stem}: the argument {name} is given twice"));
        }
    }
    let mut faults = Vec::new();
    for variant in variants {
        let takes: Vec<&str> = variant.parameters.iter().map(|p| p.name.as_str()).collect();
        if let Some((name, _)) = arguments.iter().find(|(name, _)| !takes.contains(name)) {
            let (kernel, takes) = (&variant.name, takes.join(", "));
            faults.push(format!("kernel {kernel}: there is no parameter {name}; it takes {takes}"));
            continue;
        }
        let converted: std::result::Result<Vec<Argument>, String> = variant
            .parameters
            .iter()
            .map(|parameter| {
                let given = arguments.iter().find(|(name, _)| *name == parameter.name);
                let value = given.map(|(_, value)| *value);
                convert(parameter, value).map_err(|wrong| format!("{}: {wrong}", parameter.name))
            })
            .collect();
        match converted {
            Ok(arguments) => return Ok((&variant.name, arguments)),
            Err(fault) => faults.push(format!("kernel {}: argument {fault}", variant.name)),
        }
    }
    Err(faults.join("; "))
}

/// The value as an argument of this parameter.
fn convert(parameter: &Parameter, value: Option<Value>) -> std::result::Result<Argument, String> {
    let pointer = |address: Option<Address>, nullable: bool| match address {
        None if nullable => Ok(Argument::Pointer(None)),
        None => Err("a null pointer is given, and the parameter is not NULLABLE".into()),
        Some(address) => {
            let (given, takes) = (format!("{:?}", address.dtype()), parameter.element.unwrap_or_default());
            match given == takes {
                true => Ok(Argument::Pointer(Some(address))),
                false => Err(format!("a tensor of {given} is given, the kernel takes {takes}")),
            }
        }
    };
    let expected = |what: &str| match value {
        None => Err(format!("missing; the kernel takes {what}")),
        Some(value) => Err(format!("the kernel takes {what}, not {value:?}")),
    };
    match (parameter.kind, value) {
        (Kind::Pointer { written: false, nullable }, Some(Value::In(input))) => {
            pointer(input.map(In::inner), nullable)
        }
        (Kind::Pointer { written: true, nullable }, Some(Value::Out(output))) => {
            pointer(output.map(Out::inner), nullable)
        }
        (Kind::Pointer { written: false, .. }, _) => expected("a pointer to read (In)"),
        (Kind::Pointer { written: true, .. }, _) => expected("a pointer to write (Out)"),
        (Kind::Value { argument: "Int", .. }, Some(Value::Size(size))) => Ok(Argument::Int(size)),
        (Kind::Value { argument: "Size", .. }, Some(Value::Size(size))) => Ok(Argument::Size(size)),
        (Kind::Value { argument: "Word", .. }, Some(Value::Word(word))) => Ok(Argument::Word(word)),
        (Kind::Value { argument: "Float", .. }, Some(Value::Float(number))) => Ok(Argument::Float(number)),
        (Kind::Value { field, .. }, _) => expected(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cuda::DeviceId;
    use crate::element::DType;

    const SOURCE: &str = r#"
        extern "C" __global__ void scale_f32(const float* x, float* y, float by, int n) {}
        extern "C" __global__ void scale_bf16(const __nv_bfloat16* x, __nv_bfloat16* y, float by, int n) {}
        /* extern "C" __global__ void gone_f32(const float* x) {} */
        extern "C" __global__ void draw(float* NULLABLE y, uint64_t seed, size_t n) {}
        extern "C" __global__ void odd_f32(const float* x, float by) {}
        extern "C" __global__ void odd_bf16(const __nv_bfloat16* x) {}
    "#;

    fn resolved(stem: &str, arguments: &[(&str, Value)]) -> std::result::Result<String, String> {
        let signatures = signature::parse(SOURCE).unwrap();
        resolve(&signatures, stem, arguments).map(|(name, arguments)| format!("{name} {}", arguments.len()))
    }

    #[test]
    fn element_types_choose_the_kernel_and_names_the_order() {
        for (dtype, name) in [(DType::F32, "scale_f32 4"), (DType::BF16, "scale_bf16 4")] {
            let (x, y) = (In::new(16, 16, DeviceId(1), dtype), Out::new(32, 16, DeviceId(1), dtype));
            let arguments = [("n", 3usize.into()), ("y", y.into()), ("by", 0.5f32.into()), ("x", x.into())];
            assert_eq!(resolved("scale", &arguments).unwrap(), name);
        }
        let nothing: Option<Out> = None;
        let drawn = resolved("draw", &[("y", nothing.into()), ("seed", 7u64.into()), ("n", 3usize.into())]);
        assert_eq!(drawn.unwrap(), "draw 3");
    }

    #[test]
    fn only_a_whole_fatbin_or_cubin_reaches_the_driver() {
        let mut whole = 0xBA55_ED50u32.to_le_bytes().to_vec();
        whole.extend([1, 0, 16, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
        whole.extend([0; 8]);
        check_image(&whole).unwrap();
        check_image(&[b"\x7fELF".as_slice(), &[0; 60]].concat()).unwrap();
        assert!(check_image(&[]).unwrap_err().contains("empty"));
        for (bytes, words) in [
            (&whole[..23], "cut short"),
            (&whole[..12], "neither a fatbin nor a cubin"),
            (b"\x7fELF", "neither"),
            (b".version 9.0", "neither"),
            (b"abc", "neither"),
        ] {
            assert!(check_image(bytes).unwrap_err().contains(words), "{bytes:?}");
        }
    }

    #[test]
    fn a_kernel_that_is_defined_twice_is_refused() {
        let kernel = "extern \"C\" __global__ void f(float* x) {}\n";
        let error =
            signature::parse(&["#if A\n", kernel, "#else\n", kernel, "#endif\n"].concat()).unwrap_err();
        assert!(error.contains("kernel f is defined twice"), "{error}");
    }

    #[test]
    fn a_wrong_argument_is_named() {
        let (x, y) = (In::new(16, 16, DeviceId(1), DType::F32), Out::new(32, 16, DeviceId(1), DType::F32));
        let good: [(&str, Value); 4] =
            [("x", x.into()), ("y", y.into()), ("by", 0.5f32.into()), ("n", 3usize.into())];
        let with = |name: &'static str, value: Value| {
            let mut arguments = good;
            *arguments.iter_mut().find(|(own, _)| *own == name).unwrap() = (name, value);
            resolved("scale", &arguments).unwrap_err()
        };
        for (error, words) in [
            (resolved("scale", &good[..3]).unwrap_err(), "argument n: missing; the kernel takes usize"),
            (with("x", y.into()), "argument x: the kernel takes a pointer to read (In)"),
            (with("y", x.into()), "argument y: the kernel takes a pointer to write (Out)"),
            (
                with("y", Out::new(32, 16, DeviceId(1), DType::BF16).into()),
                "argument y: a tensor of BF16 is given",
            ),
            (with("x", None::<In>.into()), "argument x: a null pointer is given"),
            (with("by", 3usize.into()), "argument by: the kernel takes f32, not Size(3)"),
            (with("n", 3.0f32.into()), "argument n: the kernel takes usize, not Float(3.0)"),
            (resolved("scale", &[("z", 1usize.into())]).unwrap_err(), "no parameter z; it takes x, y, by, n"),
            (resolved("scale", &[good[0], good[0]]).unwrap_err(), "the argument x is given twice"),
            (
                resolved(
                    "odd",
                    &[("x", In::new(16, 16, DeviceId(1), DType::BF16).into()), ("by", 1.0f32.into())],
                )
                .unwrap_err(),
                "kernel odd_bf16: there is no parameter by; it takes x",
            ),
            (resolved("gone", &[]).unwrap_err(), "there is no kernel gone; the source has scale_f32"),
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
