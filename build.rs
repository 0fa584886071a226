//! Compiles `cuda/*.cu` into the one fatbin that the library embeds, and `cuda/lab/*.cu` into another for benchmarks.
//!
//! Each launch is typed by its kernel's signature (`build/signatures.rs`), with or without a CUDA compiler. Without one
//! nothing is embedded and the build succeeds: most people have no GPU, and a warning at each of their builds would help
//! nobody. `bcreid doctor` says what is embedded, or how to get it.

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

/// Every message says what went wrong in its first line, and where.
type Result<T> = std::result::Result<T, String>;

fn main() {
    if let Err(message) = build() {
        // These lines make the build fail, and cargo shows nothing before them. An exit status as well would add
        // all that this script has printed.
        message.lines().for_each(|line| println!("cargo::error={line}"));
    }
}

fn build() -> Result<()> {
    // NVCC_* are read by nvcc itself.
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
        return Err("cuda: no .cu file; is the checkout complete?".into());
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

    let lessons = sources(&root.join("cuda/lab"))?;
    if !lessons.is_empty() {
        let lab = Module::compile(&toolkit, &targets, &lessons, &root, &out, "lab")?;
        println!("cargo::rustc-env=BCREID_LAB_FATBIN={}", lab.fatbin.display());
    }
    Ok(())
}

/// The `.cu` files of a folder, sorted so that equal sources give equal bytes; none if there is no such folder.
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
