//! Classes and functions that a checkpoint's pickle may name.
//!
//! They make tensors, or plain data that training programs keep beside them. Nothing here would run if it were
//! called; the list is short so that a file which names anything else can be refused as what it is: a program.

/// True if a class or function creates tensors or plain data and so may be named.
pub fn is_harmless(module: &str, name: &str) -> bool {
    match module {
        "collections" => matches!(name, "OrderedDict" | "Counter"),
        "torch._utils" => {
            matches!(name, "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_parameter")
        }
        "torch" => {
            matches!(name, "Size" | "device")
                || ["Storage", "Tensor"].iter().any(|end| name.strip_suffix(end).is_some_and(is_element_kind))
                || is_dtype(name)
        }
        "torch.storage" => name.strip_suffix("Storage").is_some_and(is_element_kind),
        "torch.nn.parameter" => name == "Parameter",
        "_codecs" => name == "encode",
        "builtins" | "__builtin__" => matches!(name, "set" | "frozenset"),
        "numpy.core.multiarray" | "numpy._core.multiarray" => name == "scalar",
        "numpy" => name == "dtype",
        _ => false,
    }
}

/// True for the element kinds before `Storage`, and before `Tensor` in the tar format.
fn is_element_kind(kind: &str) -> bool {
    matches!(
        kind,
        "Float"
            | "Double"
            | "Half"
            | "BFloat16"
            | "Long"
            | "Int"
            | "Short"
            | "Char"
            | "Byte"
            | "Bool"
            | "Untyped"
    )
}

fn is_dtype(name: &str) -> bool {
    matches!(
        name,
        "float64"
            | "double"
            | "float32"
            | "float"
            | "float16"
            | "half"
            | "bfloat16"
            | "int64"
            | "long"
            | "int32"
            | "int"
            | "int16"
            | "short"
            | "int8"
            | "uint8"
            | "bool"
    )
}
