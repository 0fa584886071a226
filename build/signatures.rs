//! Generation of typed launches: a Rust struct for each kernel of `cuda/*.cu`, in the file `signatures.rs` that
//! src/device/cuda/arguments.rs includes.
//!
//! The signature of a kernel is parsed from its source, so that nvcc is not needed. Kernels that differ only in the
//! element types of their pointers, such as `relu_forward_f32` and `relu_forward_bf16`, become one struct,
//! `ReluForward`; the launch selects the kernel by the types of the tensors. Fields have the names of the parameters.
//!
//! | C++ | field |
//! |---|---|
//! | `const T*` | `In`, or `Option<In>` with the word `NULLABLE` |
//! | `T*` | `Out`, or `Option<Out>` |
//! | `int`, `size_t` | `usize` |
//! | `uint64_t` | `u64` |
//! | `float` | `f32` |

use crate::Result;
use crate::signature::{Kind, Parameter, Signature, parse, stem};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes `signatures.rs` into `out`.
///
/// # Errors
/// A kernel with a parameter of an unknown type; kernels of one stem that differ in more than element types.
pub fn write(sources: &[PathBuf], out: &Path) -> Result<()> {
    let mut rust = String::new();
    for source in sources {
        let at = |what: String| format!("{}: {what}", source.display());
        let text = fs::read_to_string(source).map_err(|e| at(e.to_string()))?;
        let mut families: BTreeMap<String, Vec<Signature>> = BTreeMap::new();
        for signature in parse(&text).map_err(at)? {
            families.entry(stem(&signature.name).into()).or_default().push(signature);
        }
        for (stem, variants) in &families {
            let file = source.file_name().expect("it is a file").to_string_lossy();
            rust.push_str(&family(&file, stem, variants).map_err(at)?);
        }
    }
    let path = out.join("signatures.rs");
    fs::write(&path, rust).map_err(|e| format!("{}: {e}", path.display()))
}

/// Generates the struct of the kernels of one stem.
fn family(file: &str, stem: &str, variants: &[Signature]) -> Result<String> {
    let first = &variants[0];
    for other in &variants[1..] {
        let alike = |(a, b): (&Parameter, &Parameter)| a.name == b.name && a.kind == b.kind;
        let pairs = first.parameters.iter().zip(&other.parameters);
        if first.parameters.len() != other.parameters.len() || !pairs.clone().all(alike) {
            return Err(format!("{} and {} differ in more than element types", first.name, other.name));
        }
        if pairs.clone().all(|(a, b)| a.element == b.element) {
            return Err(format!("{} and {} take the same element types", first.name, other.name));
        }
    }
    let names: Vec<&str> = variants.iter().map(|variant| variant.name.as_str()).collect();
    let mut fields = String::new();
    let mut arguments = String::new();
    for Parameter { name, kind, .. } in &first.parameters {
        let (field, argument) = match *kind {
            Kind::Value { field, argument } => {
                (field.to_string(), format!("Argument::{argument}(self.{name})"))
            }
            Kind::Pointer { written, nullable } => {
                let pointer = if written { "Out" } else { "In" };
                let field = if nullable { format!("Option<{pointer}>") } else { pointer.into() };
                (field, format!("self.{name}.into()"))
            }
        };
        // The fields have the names of the kernel's parameters, whose documentation is in the .cu file.
        let _ = writeln!(fields, "    pub {name}: {field},");
        let _ = writeln!(arguments, "            {argument},");
    }
    let mut table = String::new();
    for variant in variants {
        let pointers: Vec<String> = variant
            .parameters
            .iter()
            .filter_map(|parameter| {
                let element = parameter.element?;
                Some(format!("Pointer {{ name: {:?}, dtype: DType::{element} }}", parameter.name))
            })
            .collect();
        let _ = writeln!(
            table,
            "        Variant {{ name: {:?}, pointers: &[{}] }},",
            variant.name,
            pointers.join(", ")
        );
    }
    let (count, kernel, names) = (first.parameters.len(), camel(stem), names.join("`, `"));
    Ok(format!(
        "/// `{names}` of `cuda/{file}`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct {kernel} {{
{fields}}}

impl Kernel for {kernel} {{
    type Arguments = [Argument; {count}];
    const STEM: &'static str = {stem:?};
    const VARIANTS: &'static [Variant] = &[
{table}    ];

    fn arguments(&self) -> Self::Arguments {{
        [
{arguments}        ]
    }}
}}

"
    ))
}

/// Converts `relu_forward` to `ReluForward`.
fn camel(stem: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    stem.split('_').map(word).collect()
}
