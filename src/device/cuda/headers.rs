//! The declarations of the CUDA libraries, compared with NVIDIA's headers and libraries.
//!
//! [`declarations`] has what the program declares of the driver, cuDNN and cuBLAS: functions, types, constants, structs
//! (the macros of `libraries::declare` describe them in tests). The first test writes all of it as C and compiles it
//! with the headers: each function is declared once more, which is an error if the header's types differ, and each
//! constant, size and offset is asserted. The compiler reads the file twice. In C an enum and an integer of its size
//! are one type; in C++ they are not, and a constant has the type of its enum. The object file shows which exported
//! names the declarations mean, because `cuda.h` replaces names by macros. The other tests look up the names in the
//! libraries' tables of exported symbols, without loading a library, and the files in the lists of the wheels.
//!
//! `tools/get-cuda-headers.sh` fetches the files, of the oldest and the newest supported versions. Without them the
//! tests say so and pass; with `BCREID_REQUIRE_HEADERS=1`, as in `.ci/run`, they fail. No wheel has the driver,
//! `libcuda.so.1`, nor a stub of it: its functions are compared with `cuda.h` only. A driver keeps the functions of
//! older ones, so the names are those that the oldest `cuda.h` uses.

mod planted;
mod source;

use super::libraries::declare::{Constant, Function, Struct, Type};
use super::libraries::specs::{CUBLAS, CUDNN};
use super::libraries::{Version, driver, versions};
use super::{cublas, cudnn};
use crate::files::hex;
use object::{Object, ObjectSymbol, SymbolKind};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const FETCHED: &str = "tools/cuda_headers/files";

/// The program's declarations of the three libraries: driver, cuBLAS and cuDNN.
#[derive(Clone, Debug)]
struct Declarations {
    types: Vec<Type>,
    constants: Vec<Constant>,
    structs: Vec<Struct>,
    functions: Vec<Function>,
}

const DRIVER_FUNCTIONS: &[&[Function]] =
    &[super::driver::Api::FUNCTIONS, driver::Devices::FUNCTIONS, versions::DriverVersion::FUNCTIONS];
const CUBLAS_FUNCTIONS: &[&[Function]] = &[cublas::api::Api::FUNCTIONS, versions::CublasVersion::FUNCTIONS];
const CUDNN_FUNCTIONS: &[&[Function]] = &[cudnn::api::Api::FUNCTIONS, versions::CudnnVersion::FUNCTIONS];

fn declarations() -> Declarations {
    let types =
        [super::driver::api::TYPES, driver::TYPES, versions::TYPES, cublas::api::TYPES, cudnn::api::TYPES];
    let constants = [
        super::driver::api::CONSTANTS,
        driver::CONSTANTS,
        versions::CONSTANTS,
        cublas::api::CONSTANTS,
        cudnn::api::CONSTANTS,
    ];
    let statuses = cublas::api::STATUSES.iter();
    let statuses =
        statuses.map(|&(value, name)| Constant { name, of: "cublasStatus_t", value: value.into() });
    let functions = DRIVER_FUNCTIONS.iter().chain(CUBLAS_FUNCTIONS).chain(CUDNN_FUNCTIONS);
    Declarations {
        types: types.concat(),
        constants: constants.concat().into_iter().chain(statuses).collect(),
        structs: vec![cudnn::api::AlgoPerf::STRUCT],
        functions: functions.flat_map(|table| table.iter().copied()).collect(),
    }
}

/// The folders of both sets of versions, or a note that they are not there.
fn fetched() -> Option<[PathBuf; 2]> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted = hex(&Sha256::digest(fs::read(root.join("tools/cuda_headers/wheels.ini")).unwrap()));
    let files = root.join(FETCHED);
    let why = match fs::read_to_string(files.join("wheels.sha256")) {
        Ok(stamp) if stamp.starts_with(&wanted) => {
            return Some(["oldest", "newest"].map(|set| files.join(set)));
        }
        Ok(_) => "is of other wheels",
        Err(_) => "does not exist",
    };
    let required = std::env::var_os("BCREID_REQUIRE_HEADERS").is_some_and(|value| value == "1");
    assert!(!required, "BCREID_REQUIRE_HEADERS=1, but {FETCHED} {why}; run tools/get-cuda-headers.sh");
    // Past the test's capture, which would hide it.
    let note = format!("skipped: {FETCHED} {why} (tools/get-cuda-headers.sh)\n");
    std::io::stderr().write_all(note.as_bytes()).unwrap();
    None
}

#[test]
fn the_declarations_are_those_of_the_headers() {
    for set in fetched().into_iter().flatten() {
        source::compare(&declarations(), &set).unwrap_or_else(|error| panic!("{}\n{error}", set.display()));
    }
}

/// The functions that a library exports, from its table of dynamic symbols. No code of the library is run.
fn exports(library: &Path) -> BTreeSet<String> {
    let bytes = fs::read(library).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
    let elf = object::File::parse(&*bytes).unwrap();
    let symbols = elf.dynamic_symbols().filter(|s| s.is_definition() && s.kind() == SymbolKind::Text);
    symbols.map(|symbol| symbol.name().unwrap().to_string()).collect()
}

fn missing(tables: &[&[Function]], exports: &BTreeSet<String>) -> Vec<&'static str> {
    let names = tables.iter().flat_map(|table| table.iter().map(|function| function.name));
    names.filter(|name| !exports.contains(*name)).collect()
}

#[test]
fn cublas_and_cudnn_export_every_function() {
    for set in fetched().into_iter().flatten() {
        for (spec, tables) in [(&CUBLAS, CUBLAS_FUNCTIONS), (&CUDNN, CUDNN_FUNCTIONS)] {
            let present =
                spec.files.iter().map(|file| set.join("lib").join(file)).filter(|file| file.exists());
            let present: Vec<PathBuf> = present.collect();
            assert_eq!(present.len(), 1, "{}: {:?}", set.display(), spec.files);
            let exports = exports(&present[0]);
            assert!(exports.len() > 100, "{}: {} functions", present[0].display(), exports.len());
            assert_eq!(missing(tables, &exports), [""; 0], "{}", present[0].display());
            // The same look-up finds that the other library's functions are absent.
            let driver = DRIVER_FUNCTIONS.concat().len();
            assert_eq!(missing(DRIVER_FUNCTIONS, &exports).len(), driver, "{}", present[0].display());
        }
    }
}

/// Every wheel lists its files in RECORD, which `pip` unpacks below `site-packages`.
#[test]
fn the_libraries_are_where_the_program_looks_for_them() {
    for set in fetched().into_iter().flatten() {
        let records = fs::read_dir(set.join("records")).unwrap();
        let records: Vec<String> =
            records.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
        for spec in [&CUBLAS, &CUDNN] {
            let contains = |record: &String, folder: &str, file: &str| {
                record.lines().any(|line| line.starts_with(&format!("{folder}/{file},")))
            };
            let found = spec.wheel_folders.iter().any(|folder| {
                let here = |file: &str| records.iter().any(|record| contains(record, folder, file));
                spec.files.iter().any(|file| here(file)) && spec.required_part.is_none_or(here)
            });
            assert!(
                found,
                "{}: no wheel has {:?} and {:?} in {:?}",
                set.display(),
                spec.files,
                spec.required_part,
                spec.wheel_folders
            );
        }
    }
}

/// The value of `#define name value` in a header.
fn defined(header: &Path, name: &str) -> u32 {
    let text = fs::read_to_string(header).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("#define ")?.strip_prefix(name));
    lines
        .find_map(|value| value.trim().parse().ok())
        .unwrap_or_else(|| panic!("{}: {name}", header.display()))
}

#[test]
fn version_numbers_are_read_as_the_headers_write_them() {
    for set in fetched().into_iter().flatten() {
        let include = set.join("include");
        let cudnn = ["CUDNN_MAJOR", "CUDNN_MINOR", "CUDNN_PATCHLEVEL"]
            .map(|part| defined(&include.join("cudnn_version.h"), part));
        let cudnn = Version(cudnn[0], cudnn[1], cudnn[2]);
        // CUDNN_VERSION is an expression of the parts; the compiler says whether it is the number that is read so.
        let number = (0..1_000_000).find(|number| versions::cudnn(*number) == cudnn).unwrap();
        let assertion = Constant { name: "CUDNN_VERSION", of: "c_int", value: number.into() };
        let version =
            Declarations { types: vec![], constants: vec![assertion], structs: vec![], functions: vec![] };
        source::compare(&version, &set).unwrap_or_else(|error| panic!("{}\n{error}", set.display()));
        let cuda = versions::cuda(defined(&include.join("cuda.h"), "CUDA_VERSION"));
        let runtime = fs::read_dir(set.join("records")).unwrap().map(|entry| entry.unwrap().path());
        let runtime = runtime.map(|path| fs::read_to_string(path).unwrap()).find_map(|record| {
            let folder = record.lines().find(|line| line.starts_with("nvidia_cuda_runtime"))?.to_string();
            Some(folder.split('-').nth(1)?.to_string())
        });
        let runtime = runtime.unwrap();
        assert!(
            runtime.starts_with(&format!("{}.{}.", cuda.0, cuda.1)),
            "CUDA_VERSION {cuda}, wheel {runtime}"
        );
    }
}

/// All functions are looked up through tables, and all numbers of the headers are in lists, so the tests above see
/// them.
#[test]
fn nothing_is_declared_outside_of_the_lists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/device/cuda");
    let (mut folders, mut seen) = (vec![folder], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("headers")) {
                continue;
            }
            seen += 1;
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let stray: Vec<&str> = code.filter(|line| is_declaration(line)).collect();
            // `asked.rs` looks up a function of the stand-ins, which no header has.
            let own = ["declare.rs", "libraries.rs", "asked.rs"].iter().any(|file| path.ends_with(file));
            assert!(own || stray.is_empty(), "{}: outside of the lists: {stray:?}", path.display());
        }
    }
    assert!(seen > 20, "{seen} files");
    for line in
        ["const A: c_int = 1;", "pub const B: cudnnStatus_t = 1;", "library.function::<F>(\"cuInit\")"]
    {
        assert!(is_declaration(line), "{line}");
    }
}

/// Whether a line looks up a function by name, or defines a number of a type of C.
fn is_declaration(line: &str) -> bool {
    let constant = line.split_once("const ").and_then(|(_, rest)| rest.split_once(": "));
    let of_c = |(_, rest): (&str, &str)| {
        let of = rest.split_once(" =").map_or(rest, |(of, _)| of);
        ["c_int", "c_uint"].contains(&of) || declarations().types.iter().any(|declared| declared.name == of)
    };
    line.contains(".function::<") || line.contains(".function(") || constant.is_some_and(of_c)
}
