//! What the libraries are called, where wheels put them, and how each tells its version.

use super::{Library, Version};
use std::ffi::c_int;

/// A library to look for. File names are those of one system.
pub(super) struct Wanted {
    pub name: &'static str,
    /// The versions this program works with, best first.
    pub files: &'static [&'static str],
    /// Versions too old to work with, looked for only to say so.
    pub old: &'static [&'static str],
    /// A part without which the library ends the process at its first call, where it should return an error:
    /// `libcudnn.so.9` only forwards to its parts, and aborts when `libcudnn_graph.so.9` cannot be opened.
    pub heart: Option<&'static str>,
    /// Parts to open first where the system would not find them beside the library.
    pub parts: &'static [&'static str],
    /// Where wheels unpack it, below `site-packages`; none if the loader alone knows it.
    pub wheel_folders: &'static [&'static str],
    pub version: fn(&Library) -> Option<Version>,
    pub mend: &'static str,
}

#[cfg(not(windows))]
pub(super) static DRIVER: Wanted = Wanted {
    name: "driver",
    files: &["libcuda.so.1"],
    old: &[],
    heart: None,
    parts: &[],
    wheel_folders: &[],
    version: driver_version,
    mend: "install the NVIDIA driver, 580 or newer (a container must be started with the GPUs: \
           docker run --gpus all)",
};
#[cfg(not(windows))]
pub(super) static CUBLAS: Wanted = Wanted {
    name: "cuBLAS",
    files: &["libcublas.so.13", "libcublas.so.12"],
    old: &["libcublas.so.11", "libcublas.so.10"],
    heart: None,
    parts: &[],
    wheel_folders: &["nvidia/cu13/lib", "nvidia/cublas/lib"],
    version: cublas_version,
    mend: "to get it: pip install nvidia-cublas",
};
#[cfg(not(windows))]
pub(super) static CUDNN: Wanted = Wanted {
    name: "cuDNN",
    files: &["libcudnn.so.9"],
    old: &["libcudnn.so.8", "libcudnn.so.7"],
    heart: Some("libcudnn_graph.so.9"),
    parts: &[],
    wheel_folders: &["nvidia/cudnn/lib"],
    version: cudnn_version,
    mend: "to get it: pip install nvidia-cudnn-cu13",
};

#[cfg(windows)]
pub(super) static DRIVER: Wanted = Wanted {
    name: "driver",
    files: &["nvcuda.dll"],
    old: &[],
    heart: None,
    parts: &[],
    wheel_folders: &[],
    version: driver_version,
    mend: "install the NVIDIA driver, 580 or newer",
};
#[cfg(windows)]
pub(super) static CUBLAS: Wanted = Wanted {
    name: "cuBLAS",
    files: &["cublas64_13.dll", "cublas64_12.dll"],
    old: &["cublas64_11.dll", "cublas64_10.dll"],
    heart: None,
    parts: &["cublasLt64_13.dll", "cublasLt64_12.dll"],
    wheel_folders: &["nvidia/cu13/bin/x86_64", "nvidia/cublas/bin"],
    version: cublas_version,
    mend: "to get it: pip install nvidia-cublas",
};
#[cfg(windows)]
pub(super) static CUDNN: Wanted = Wanted {
    name: "cuDNN",
    files: &["cudnn64_9.dll"],
    old: &["cudnn64_8.dll", "cudnn64_7.dll"],
    heart: Some("cudnn_graph64_9.dll"),
    parts: &[
        "cudnn_ops64_9.dll",
        "cudnn_cnn64_9.dll",
        "cudnn_adv64_9.dll",
        "cudnn_ext64_9.dll",
        "cudnn_heuristic64_9.dll",
        "cudnn_engines_precompiled64_9.dll",
        "cudnn_engines_runtime_compiled64_9.dll",
        "cudnn_engines_tensor_ir64_9.dll",
    ],
    wheel_folders: &["nvidia/cudnn/bin"],
    version: cudnn_version,
    mend: "to get it: pip install nvidia-cudnn-cu13",
};

fn driver_version(library: &Library) -> Option<Version> {
    // SAFETY: the type is that of the driver's manual; it may be called before cuInit.
    let get = unsafe { library.function::<unsafe extern "C" fn(*mut c_int) -> c_int>("cuDriverGetVersion") }
        .ok()?;
    let mut version: c_int = 0;
    // SAFETY: a place for the one value that is written.
    let status = unsafe { get(&raw mut version) };
    let version = u32::try_from(version).ok().filter(|_| status == 0)?;
    Some(Version(version / 1000, version % 1000 / 10, 0))
}

fn cudnn_version(library: &Library) -> Option<Version> {
    // SAFETY: the type is that of cuDNN's manual, and the part that answers is open.
    let version = unsafe { library.function::<unsafe extern "C" fn() -> usize>("cudnnGetVersion").ok()?() };
    let version = u32::try_from(version).ok()?;
    Some(Version(version / 10_000, version / 100 % 100, version % 100))
}

fn cublas_version(library: &Library) -> Option<Version> {
    type Get = unsafe extern "C" fn(c_int, *mut c_int) -> c_int;
    // SAFETY: the type is that of cuBLAS's manual.
    let get = unsafe { library.function::<Get>("cublasGetProperty") }.ok()?;
    let part = |which: c_int| {
        let mut value: c_int = 0;
        // SAFETY: a place for the one value that is written.
        let status = unsafe { get(which, &raw mut value) };
        u32::try_from(value).ok().filter(|_| status == 0)
    };
    // libraryPropertyType: major 0, minor 1, patch 2.
    Some(Version(part(0)?, part(1)?, part(2)?))
}
