//! Specifications of the libraries: file names, folders of wheels, version queries, installation advice.

use super::{Library, Version, versions};

/// The specification of a library: how to find it. File names are those of the operating system.
pub(in crate::device::cuda) struct LibrarySpec {
    pub name: &'static str,
    /// The files of the supported versions, best first.
    pub files: &'static [&'static str],
    /// The files of versions that are too old; they are searched only for the error message.
    pub old: &'static [&'static str],
    /// A part that must open before the library is used: `libcudnn.so.9` only forwards to its parts, and its first call
    /// aborts the process, instead of returning an error, when `libcudnn_graph.so.9` cannot be opened.
    pub required_part: Option<&'static str>,
    /// Parts to open before the library, on systems that do not search the library's own folder.
    pub parts: &'static [&'static str],
    /// The folders of wheels below `site-packages`; empty if only the loader can find the library.
    pub wheel_folders: &'static [&'static str],
    pub version: fn(&Library) -> Option<Version>,
    /// The installation advice for messages.
    pub fix: &'static str,
}

#[cfg(not(windows))]
pub(in crate::device::cuda) static DRIVER: LibrarySpec = LibrarySpec {
    name: "driver",
    files: &["libcuda.so.1"],
    old: &[],
    required_part: None,
    parts: &[],
    wheel_folders: &[],
    version: versions::of_driver,
    fix: "install the NVIDIA driver, 580 or newer (a container must be started with the GPUs: \
           docker run --gpus all)",
};
#[cfg(not(windows))]
pub(in crate::device::cuda) static CUBLAS: LibrarySpec = LibrarySpec {
    name: "cuBLAS",
    files: &["libcublas.so.13", "libcublas.so.12"],
    old: &["libcublas.so.11", "libcublas.so.10"],
    required_part: None,
    parts: &[],
    wheel_folders: &["nvidia/cu13/lib", "nvidia/cublas/lib"],
    version: versions::of_cublas,
    fix: "to get it: pip install nvidia-cublas",
};
#[cfg(not(windows))]
pub(in crate::device::cuda) static CUDNN: LibrarySpec = LibrarySpec {
    name: "cuDNN",
    files: &["libcudnn.so.9"],
    old: &["libcudnn.so.8", "libcudnn.so.7"],
    required_part: Some("libcudnn_graph.so.9"),
    parts: &[],
    wheel_folders: &["nvidia/cudnn/lib"],
    version: versions::of_cudnn,
    fix: "to get it: pip install nvidia-cudnn-cu13",
};

#[cfg(windows)]
pub(in crate::device::cuda) static DRIVER: LibrarySpec = LibrarySpec {
    name: "driver",
    files: &["nvcuda.dll"],
    old: &[],
    required_part: None,
    parts: &[],
    wheel_folders: &[],
    version: versions::of_driver,
    fix: "install the NVIDIA driver, 580 or newer",
};
#[cfg(windows)]
pub(in crate::device::cuda) static CUBLAS: LibrarySpec = LibrarySpec {
    name: "cuBLAS",
    files: &["cublas64_13.dll", "cublas64_12.dll"],
    old: &["cublas64_11.dll", "cublas64_10.dll"],
    required_part: None,
    parts: &["cublasLt64_13.dll", "cublasLt64_12.dll"],
    wheel_folders: &["nvidia/cu13/bin/x86_64", "nvidia/cublas/bin"],
    version: versions::of_cublas,
    fix: "to get it: pip install nvidia-cublas",
};
#[cfg(windows)]
pub(in crate::device::cuda) static CUDNN: LibrarySpec = LibrarySpec {
    name: "cuDNN",
    files: &["cudnn64_9.dll"],
    old: &["cudnn64_8.dll", "cudnn64_7.dll"],
    required_part: Some("cudnn_graph64_9.dll"),
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
    version: versions::of_cudnn,
    fix: "to get it: pip install nvidia-cudnn-cu13",
};
