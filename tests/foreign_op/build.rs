//! Compiles `cuda/swish.cu` into a fatbin that the library embeds. Without nvcc the file is empty, and the operation
//! runs on the CPU only.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=cuda");
    println!("cargo::rerun-if-env-changed=NVCC");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-env-changed=BCREID_CUDA_ARCHS");
    println!("cargo::rerun-if-changed=../../tools/cuda");
    let fatbin = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("swish.fatbin");
    let Some(nvcc) = nvcc().unwrap_or_else(|error| {
        println!("cargo::error={error}");
        None
    }) else {
        fs::write(&fatbin, []).expect("OUT_DIR can be written");
        return;
    };
    // ANCHOR: nvcc
    // Machine code for each major architecture and PTX for later ones.
    let output = Command::new(&nvcc)
        .args(["-fatbin", "-std=c++17", "-O3", "-arch=all-major", "cuda/swish.cu", "-o"])
        .arg(&fatbin)
        .output();
    // ANCHOR_END: nvcc
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            String::from_utf8_lossy(&output.stderr).lines().for_each(|line| println!("cargo::error={line}"))
        }
        Err(error) => println!("cargo::error={}: {error}", nvcc.display()),
    }
}

/// The compiler that `NVCC` names, else that on `PATH`, else the one that tools/get-cuda.sh fetched. Relative folders
/// are not searched.
///
/// # Errors
/// `NVCC` is a relative path.
fn nvcc() -> Result<Option<PathBuf>, String> {
    if env::var_os("BCREID_CUDA_ARCHS").is_some_and(|wish| wish == "none") {
        return Ok(None);
    }
    let named = env::var_os("NVCC").filter(|named| !named.is_empty()).map(PathBuf::from);
    let name = match named {
        Some(path) if path.is_absolute() => return Ok(Some(path)),
        Some(path) if path.components().count() > 1 => {
            return Err(format!("NVCC={}: a relative path; write the absolute one", path.display()));
        }
        Some(name) => name,
        None => "nvcc".into(),
    };
    let folders = env::var_os("PATH").iter().flat_map(env::split_paths).collect::<Vec<_>>();
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let fetched = root.join("../../tools/cuda/toolkit/bin");
    let folders = folders.into_iter().filter(|folder| folder.is_absolute()).chain([fetched]);
    Ok(folders.map(|folder| folder.join(&name)).find(|file| file.is_file()))
}
