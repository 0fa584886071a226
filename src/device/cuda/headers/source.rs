//! Declarations as C, and their compilation with the headers.

use super::Declarations;
use crate::device::cuda::libraries::declare::{Function, Struct, Type};
use object::{Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::ffi::{c_char, c_int, c_uint};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The headers, and for C++ the relation of a type of a header and the C type of its Rust type: they are one type, or
/// an enum and an integer of its size, or a handle (a pointer to an unknown struct) and `void *`.
const BEGINNING: &str = r#"
#include <cudnn.h>
#include <cublas_v2.h>
#include <library_types.h>
#ifdef ALL_NAMES
/* cuda.h then declares every exported function under its exported name, older versions of functions too. */
#define __CUDA_API_VERSION_INTERNAL
#endif
#include <cuda.h>
#include <assert.h>
#include <stddef.h>
#ifdef __cplusplus
#include <type_traits>
template <class Real, class Ours>
constexpr bool stands_for = std::is_same_v<Real, Ours>
    || (std::is_enum_v<Real> && std::is_integral_v<Ours> && sizeof(Real) == sizeof(Ours))
    || (std::is_pointer_v<Real> && std::is_class_v<std::remove_pointer_t<Real>> && std::is_same_v<Ours, void *>);
extern "C" {
#endif
"#;

/// The types of Rust that declarations may use beside those of the headers, in C, with their sizes.
const PLAIN: [(&str, &str, usize); 9] = [
    ("c_int", "int", size_of::<c_int>()),
    ("c_uint", "unsigned int", size_of::<c_uint>()),
    ("c_char", "char", size_of::<c_char>()),
    ("u8", "unsigned char", 1),
    ("u64", "unsigned long long", 8),
    ("usize", "size_t", size_of::<usize>()),
    ("f32", "float", 4),
    ("f64", "double", 8),
    ("c_void", "void", 0),
];

/// The C type of a Rust type as it is written: `*mut *const c_char` is `char const * *`.
///
/// # Errors
/// A name that is neither plain nor declared.
fn c_type(rust: &str, declared: &[&str]) -> Result<String, String> {
    let rust = rust.trim();
    if let Some(pointer) = rust.strip_prefix('*') {
        let pointer = pointer.trim_start();
        let (pointee, constant) = match (pointer.strip_prefix("mut "), pointer.strip_prefix("const ")) {
            (Some(pointee), _) => (pointee, ""),
            (_, Some(pointee)) => (pointee, " const"),
            _ => return Err(format!("{rust} is no pointer")),
        };
        return Ok(format!("{}{constant} *", c_type(pointee, declared)?));
    }
    if let Some((element, count)) =
        rust.strip_prefix('[').and_then(|array| array.trim_end_matches(']').split_once(';'))
    {
        return Ok(format!("{}[{}]", c_type(element, declared)?, count.trim()));
    }
    let plain = PLAIN.iter().find(|(name, ..)| *name == rust).map(|(_, c, _)| (*c).to_string());
    let known = plain.or_else(|| declared.contains(&rust).then(|| rust.to_string()));
    known.ok_or_else(|| format!("{rust} is declared nowhere: c_types! or c_struct! should have it"))
}

fn write_type(out: &mut String, of: &Type) -> Result<(), String> {
    let Type { name, rust, size, alignment } = of;
    let rust = c_type(rust, &[])?;
    let _ = writeln!(out, "static_assert(sizeof({name}) == {size}, \"size of {name}\");");
    let _ = writeln!(out, "static_assert(_Alignof({name}) == {alignment}, \"alignment of {name}\");");
    let _ = writeln!(out, "IN_CXX(static_assert(stands_for<{name}, {rust}>, \"{name} is {rust}\");)");
    Ok(())
}

fn write_struct(out: &mut String, of: &Struct, declared: &[&str]) -> Result<(), String> {
    for name in of.names {
        let (size, alignment) = (of.size, of.alignment);
        let _ = writeln!(out, "static_assert(sizeof({name}) == {size}, \"size of {name}\");");
        let _ = writeln!(out, "static_assert(_Alignof({name}) == {alignment}, \"alignment of {name}\");");
        for field in of.fields {
            let (at, rust) = (format!("{name}.{}", field.name), c_type(field.of, declared)?);
            let (offset, size, field) = (field.offset, field.size, field.name);
            let _ =
                writeln!(out, "static_assert(offsetof({name}, {field}) == {offset}, \"offset of {at}\");");
            let _ =
                writeln!(out, "static_assert(sizeof((({name} *)0)->{field}) == {size}, \"size of {at}\");");
            let real = format!("decltype({name}::{field})");
            let _ = writeln!(out, "IN_CXX(static_assert(stands_for<{real}, {rust}>, \"{at} is {rust}\");)");
        }
    }
    Ok(())
}

fn write_function(out: &mut String, of: &Function, declared: &[&str]) -> Result<(), String> {
    let arguments =
        of.arguments.iter().map(|argument| c_type(argument, declared)).collect::<Result<Vec<_>, _>>()?;
    let arguments = if arguments.is_empty() { "void".into() } else { arguments.join(", ") };
    // Without the first line a name that no header has would be declared here for the first time. (In C++ the address of
    // an overloaded function has no type.)
    let _ = writeln!(out, "IN_C(static_assert(sizeof(&{0}) > 0, \"{0} is declared\");)", of.name);
    let _ = writeln!(out, "extern {} {}({arguments});", c_type(of.result, declared)?, of.name);
    Ok(())
}

/// The declarations as one file that is C and C++.
///
/// # Errors
/// A type that is declared nowhere.
fn write(declarations: &Declarations) -> Result<String, String> {
    let Declarations { types, constants, structs, functions } = declarations;
    let names = types.iter().map(|of| of.name).chain(structs.iter().flat_map(|of| of.names.iter().copied()));
    let declared: Vec<&str> = names.collect();
    let mut out = BEGINNING.to_string();
    out +=
        "#ifdef __cplusplus\n#define IN_CXX(...) __VA_ARGS__\n#define IN_C(...)\n#define _Alignof alignof\n";
    out += "#else\n#define IN_CXX(...)\n#define IN_C(...) __VA_ARGS__\n#endif\n";
    for (_, c, size) in PLAIN.iter().filter(|(.., size)| *size > 0) {
        let _ = writeln!(out, "static_assert(sizeof({c}) == {size}, \"size of {c}\");");
    }
    types.iter().try_for_each(|of| write_type(&mut out, of))?;
    for constant in constants {
        let (name, value, of) = (constant.name, constant.value, c_type(constant.of, &declared)?);
        let _ = writeln!(out, "static_assert({name} == {value}, \"{name} is {value}\");");
        let real = format!("std::remove_cv_t<decltype({name})>");
        let _ = writeln!(out, "IN_CXX(static_assert(std::is_same_v<{real}, {of}>, \"{name} is of {of}\");)");
    }
    structs.iter().try_for_each(|of| write_struct(&mut out, of, &declared))?;
    functions.iter().try_for_each(|of| write_function(&mut out, of, &declared))?;
    // C only: the object file is made of it.
    out += "#ifdef __cplusplus\n}\n#else\nvoid (*const functions[])(void) = {\n";
    for function in functions {
        let _ = writeln!(out, "    (void (*)(void))&{},", function.name);
    }
    out += "    0\n};\n#endif\n";
    Ok(out)
}

/// Compiles the declarations with the headers of a set, as C and as C++, and compares the names of functions.
///
/// # Errors
/// The compiler's messages; the functions that the headers give another name; a type that is declared nowhere.
pub(super) fn compare(declarations: &Declarations, set: &Path) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let (file, object) = (folder.path().join("declarations.c"), folder.path().join("declarations.o"));
    fs::write(&file, write(declarations)?).unwrap();
    let compile = |arguments: &[&str]| {
        let program = std::env::var("CXX").ok().filter(|program| !program.is_empty());
        let mut command = Command::new(program.as_deref().unwrap_or("c++"));
        command.args(arguments).arg("-isystem").arg(set.join("include"));
        // The program uses cuDNN's older interface, which the headers call deprecated.
        command.args(["-O1", "-Wall", "-Wextra", "-Werror", "-Wno-deprecated-declarations"]);
        // Names as the oldest cuda.h maps them; the newest maps one of them to a function that older drivers lack.
        if set.ends_with("newest") {
            command.arg("-DALL_NAMES");
        }
        let output = command.arg("-c").arg(&file).arg("-o").arg(&object).output().expect("a C++ compiler");
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    compile(&["-x", "c++", "-std=c++17"])?;
    compile(&["-x", "c", "-std=c11"])?;
    let bytes = fs::read(&object).unwrap();
    let object = object::File::parse(&*bytes).unwrap();
    let needed =
        object.symbols().filter(ObjectSymbol::is_undefined).filter_map(|s| Some(s.name().ok()?.to_string()));
    let needed: BTreeSet<String> = needed.filter(|name| !name.is_empty()).collect();
    let looked_up: BTreeSet<String> = declarations.functions.iter().map(|of| of.name.to_string()).collect();
    if needed != looked_up {
        let ours: Vec<_> = looked_up.difference(&needed).collect();
        let theirs: Vec<_> = needed.difference(&looked_up).collect();
        return Err(format!("the program looks up {ours:?}, which the headers call {theirs:?}"));
    }
    Ok(())
}
