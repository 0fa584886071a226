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
    let Some(nvcc) = nvcc() else {
        fs::write(&fatbin, []).expect("OUT_DIR can be written");
        return;
    };
    // Machine code for each major architecture and PTX for later ones.
    let output = Command::new(&nvcc)
        .args(["-fatbin", "-std=c++17", "-O3", "-arch=all-major", "cuda/swish.cu", "-o"])
        .arg(&fatbin)
        .output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            String::from_utf8_lossy(&output.stderr).lines().for_each(|line| println!("cargo::error={line}"))
        }
        Err(error) => println!("cargo::error={}: {error}", nvcc.display()),
    }
}

/// The compiler that `NVCC` names, else that on `PATH`, else the one that tools/get-cuda.sh fetched.
fn nvcc() -> Option<PathBuf> {
    if env::var_os("BCREID_CUDA_ARCHS").is_some_and(|wish| wish == "none") {
        return None;
    }
    if let Some(named) = env::var_os("NVCC") {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    let fetched = PathBuf::from("../../tools/cuda/toolkit/bin");
    let mut files = folders.into_iter().chain([fetched]).map(|folder| folder.join("nvcc"));
    files.find(|file| file.is_file()).and_then(|file| std::path::absolute(file).ok())
}
