//! Signatures of CUDA kernels, read from their sources: name, parameters, element types.
//!
//! The build script includes this file too, so that it uses no other module of this crate.
//!
//! | C++ | kind |
//! |---|---|
//! | `const T*` | pointer that the kernel reads; with the word `NULLABLE` it may be null |
//! | `T*` | pointer that the kernel writes |
//! | `int`, `size_t`, `uint64_t`, `float` | value |

type Result<T> = std::result::Result<T, String>;

/// C++ element types of pointers, and the element type of the tensor for each.
const ELEMENTS: [(&str, &str); 8] = [
    ("float", "F32"),
    ("float2", "F32"),
    ("batch_contrastive::Terms", "F32"),
    ("bf16", "BF16"),
    ("__nv_bfloat16", "BF16"),
    ("int", "I32"),
    ("Segment", "I32"),
    ("uint8_t", "U8"),
];
/// Types of values: in C++, in Rust, and the variant of `Argument`.
const VALUES: [(&str, &str, &str); 4] = [
    ("int", "usize", "Int"),
    ("size_t", "usize", "Size"),
    ("uint64_t", "u64", "Word"),
    ("float", "f32", "Float"),
];

/// The kind of a parameter. The element type of a pointer is separate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// An address of device memory.
    Pointer {
        /// The kernel writes the memory.
        written: bool,
        /// The address may be null.
        nullable: bool,
    },
    /// A number.
    Value {
        /// The Rust type.
        field: &'static str,
        /// The variant of `Argument`.
        argument: &'static str,
    },
}

/// A parameter of a kernel.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name in C++.
    pub name: String,
    /// Pointer or value.
    pub kind: Kind,
    /// The element type of a pointer, as a variant of `DType`.
    pub element: Option<&'static str>,
}

/// A kernel with its parameters.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The name in C++, such as `relu_forward_f32`.
    pub name: String,
    /// In the order of C++.
    pub parameters: Vec<Parameter>,
}

/// A kernel's name without the element types at its end.
pub fn stem(name: &str) -> &str {
    let short = name.strip_suffix("_f32").or_else(|| name.strip_suffix("_bf16"));
    short.map_or(name, stem)
}

/// All `extern "C" __global__` functions of a source file.
///
/// # Errors
/// A kernel or parameter that is not understood.
pub fn parse(text: &str) -> Result<Vec<Signature>> {
    let code = without_comments(text);
    let mut signatures = Vec::new();
    for (at, marker) in code.match_indices("extern \"C\" __global__") {
        let mut rest = code[at + marker.len()..].trim_start();
        rest = rest.strip_prefix("void").ok_or("a kernel does not return void")?.trim_start();
        if let Some(bounds) = rest.strip_prefix("__launch_bounds__") {
            rest = bounds.split_once(')').ok_or("__launch_bounds__ has no end")?.1.trim_start();
        }
        let (name, rest) = rest.split_once('(').ok_or("a kernel has no parameters")?;
        let (list, _) =
            rest.split_once(')').ok_or_else(|| format!("the parameters of {name} have no end"))?;
        let parameters: Result<_> = list.split(',').map(parameter).collect();
        let parameters = parameters.map_err(|e| format!("kernel {name}: {e}"))?;
        let name = name.trim().to_string();
        if signatures.iter().any(|other: &Signature| other.name == name) {
            return Err(format!(
                "kernel {name} is defined twice; the text is read without preprocessing, so give each kernel one \
                 definition"
            ));
        }
        signatures.push(Signature { name, parameters });
    }
    Ok(signatures)
}

/// Such as `const float* __restrict__ NULLABLE offset`.
fn parameter(text: &str) -> Result<Parameter> {
    let spaced = text.replace('*', " * ");
    let mut words: Vec<&str> = spaced.split_whitespace().filter(|word| *word != "__restrict__").collect();
    let unknown = || {
        format!(
            "parameter `{}` has an unknown type; src/device/cuda/signature.rs lists the types",
            text.trim()
        )
    };
    let name = words.pop().ok_or_else(unknown)?.to_string();
    let (kind, element) = match words[..] {
        [r#type] => {
            let (_, field, argument) = VALUES.into_iter().find(|(c, ..)| *c == r#type).ok_or_else(unknown)?;
            (Kind::Value { field, argument }, None)
        }
        _ => {
            let written = words.first() != Some(&"const");
            let nullable = words.last() == Some(&"NULLABLE");
            let middle = &words[usize::from(!written)..words.len() - usize::from(nullable)];
            let [r#type, "*"] = middle else { return Err(unknown()) };
            let (_, element) = ELEMENTS.into_iter().find(|(c, _)| c == r#type).ok_or_else(unknown)?;
            (Kind::Pointer { written, nullable }, Some(element))
        }
    };
    Ok(Parameter { name, kind, element })
}

/// The text with a space in place of each comment.
fn without_comments(text: &str) -> String {
    let (mut code, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("//").into_iter().chain(rest.find("/*")).min() {
        code.push_str(&rest[..at]);
        code.push(' ');
        let end = if rest[at..].starts_with("//") { "\n" } else { "*/" };
        let after = &rest[at + 2..];
        rest = after.find(end).map_or("", |found| &after[found + end.len()..]);
    }
    code + rest
}
