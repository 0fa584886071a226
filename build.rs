//! Build script: compiles `cuda/*.cu` into a fatbin that the library embeds, and `cuda/lab/*.cu` into another one for
//! benchmarks.
//!
//! The argument types of launches come from the kernels' signatures (`build/signatures.rs`), with or without a CUDA
//! compiler. Without a compiler no kernels are embedded and the build succeeds without a warning, since most users have
//! no GPU. `bcreid doctor` prints the embedded kernels, or how to get them.

#[path = "build/architectures.rs"]
mod architectures;
#[path = "build/compile.rs"]
mod compile;
#[path = "build/generate.rs"]
mod generate;
#[path = "build/kernels.rs"]
mod kernels;
#[path = "build/ptxas.rs"]
mod ptxas;
#[path = "src/device/cuda/signature.rs"]
mod signature;
#[path = "build/signatures.rs"]
mod signatures;
#[path = "build/toolkit.rs"]
mod toolkit;

use architectures::{Targets, Wish};
use compile::Module;
use std::path::{Path, PathBuf};
use std::{env, fs};
use toolkit::Toolkit;

/// The result of a step of the build; the first line of an error message says what went wrong, and where.
type Result<T> = std::result::Result<T, String>;

fn main() {
    if let Err(message) = build() {
        // These lines make the build fail, and cargo prints only them. A non-zero exit status would make cargo print
        // the whole output of this script too.
        message.lines().for_each(|line| println!("cargo::error={line}"));
    }
}

fn build() -> Result<()> {
    // nvcc itself reads the variables NVCC_*.
    for variable in [
        "BCREID_CUDA_ARCHS",
        "NVCC",
        "CUDA_HOME",
        "PATH",
        "NVCC_CCBIN",
        "NVCC_PREPEND_FLAGS",
        "NVCC_APPEND_FLAGS",
    ] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    println!("cargo::rerun-if-changed=tools/cuda");

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    println!("cargo::rerun-if-changed=cuda");
    let kernels = sources(&root.join("cuda"))?;
    if kernels.is_empty() {
        return Err("cuda: the folder has no .cu file; the checkout is incomplete".into());
    }
    signatures::write(&kernels, &out)?;

    let wish = Wish::read(env::var_os("BCREID_CUDA_ARCHS"))?;
    if wish == Wish::Nothing {
        return generate::absent(&out, "NotWanted");
    }
    let Some(toolkit) = Toolkit::find(&root)? else {
        return generate::absent(&out, "NoCompiler");
    };
    println!("cargo::rerun-if-changed={}", toolkit.nvcc.display());

    let targets = Targets::choose(wish, &toolkit.known)?;
    let module = Module::compile(&toolkit, &targets, &kernels, &root, &out, "kernels")?;
    module.notes.iter().for_each(|note| println!("cargo::warning={note}"));
    let table = kernels::table(&module.images)?;
    for kernel in &table {
        for build in kernel.builds.iter().filter(|b| b.usage.spill_bytes + b.usage.stack_bytes > 0) {
            println!(
                "cargo::warning=kernel {} on sm_{}: {} bytes of spills, {} bytes of stack; local memory is slow",
                kernel.name, build.architecture, build.usage.spill_bytes, build.usage.stack_bytes
            );
        }
    }
    generate::embedded(&out, &toolkit, &targets, &module, &table)?;

    let lab_kernels = sources(&root.join("cuda/lab"))?;
    if !lab_kernels.is_empty() {
        let lab = Module::compile(&toolkit, &targets, &lab_kernels, &root, &out, "lab")?;
        println!("cargo::rustc-env=BCREID_LAB_FATBIN={}", lab.fatbin.display());
    }
    Ok(())
}

/// The `.cu` files of a folder, sorted so that equal sources give equal fatbins; none if the folder does not exist.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let at = |e: std::io::Error| format!("{}: {e}", folder.display());
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(at)?.collect::<std::io::Result<Vec<_>>>().map_err(at)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "cu"));
    files.sort();
    Ok(files)
}
