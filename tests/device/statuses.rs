//! Statuses that no list has: newer drivers and libraries return them. The program ends with one line that has the
//! number.

use crate::support::{data, f32, stand_ins, stderr};
use std::process::Output;

/// The most steps that a plant waits for: the first step captures nothing yet.
const SETTINGS: &[&str] = &["solver.iterations=4"];
/// Numbers of newer drivers, and some that are none.
const UNKNOWN: [i32; 5] = [225, 721, 913, 999_999, -1];

/// A training in which `function` answers `status` from its call `first` on; none without kernels.
fn trained(function: &str, status: i32, first: usize) -> Option<Output> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = f32(stand_ins()?).train(data(), &folder.path().join("run"), SETTINGS);
    Some(command.env("SOFTCUDA_STATUS", format!("{function}={status}@{first}")).output().unwrap())
}

/// Asserts that the program ends by itself, with one line that has the number and these words.
#[track_caller]
fn ends(function: &str, status: i32, first: usize, words: &str) {
    let Some(output) = trained(function, status, first) else { return };
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{function} = {status}: {said}");
    let number = status.to_string();
    let lines: Vec<&str> =
        said.lines().filter(|line| line.starts_with("bcreid: ") && line.contains(&number)).collect();
    assert!(lines.len() == 1 && lines[0].contains(words), "{function} = {status}, {words}: {said}");
    assert!(!said.contains("panicked"), "{function} = {status}: {said}");
    assert!(!said.contains("before"), "{function} = {status}: {said}");
}

#[test]
fn of_the_driver_at_the_start() {
    for (i, (function, words)) in [
        ("cuInit", "cuInit failed with status"),
        ("cuDeviceGetCount", "cuDeviceGetCount failed with status"),
        ("cuDeviceGet", "opening CUDA device 0: unknown error (CUDA status"),
        ("cuDevicePrimaryCtxRetain", "opening CUDA device 0: unknown error (CUDA status"),
        ("cuCtxGetCurrent", "entering the CUDA context: unknown error (CUDA status"),
        (
            "cuDeviceGetAttribute",
            "reading the number of multiprocessors of the GPU: unknown error (CUDA status",
        ),
        ("cuCtxGetStreamPriorityRange", "reading the priorities of streams: unknown error (CUDA status"),
        ("cuStreamCreateWithPriority", "creating a CUDA stream: unknown error (CUDA status"),
        ("cuModuleLoadData", "loading kernels: unknown error (CUDA status"),
        ("cuMemAlloc_v2", "allocating GPU memory: unknown error (CUDA status"),
    ]
    .into_iter()
    .enumerate()
    {
        ends(function, UNKNOWN[i % UNKNOWN.len()], 1, words);
    }
}

#[test]
fn of_the_driver_in_a_step() {
    for (i, (function, first, words)) in [
        ("cuModuleGetFunction", 1, "finding the kernel"),
        ("cuLaunchKernel", 40, "starting the kernel"),
        ("cuMemAlloc_v2", 20, "allocating GPU memory"),
        ("cuMemHostAlloc", 1, "allocating pinned host memory"),
        ("cuMemcpyHtoDAsync_v2", 3, "copying to the GPU"),
        ("cuMemcpyDtoHAsync_v2", 1, "copying from the GPU"),
        ("cuEventCreate", 1, "creating an event"),
        ("cuEventRecord", 2, "copying to the GPU"),
        ("cuStreamWaitEvent", 1, "starting work beside the main stream"),
        ("cuStreamWaitEvent", 2, "starting work beside the main stream"),
        ("cuEventSynchronize", 1, "waiting for the GPU"),
        ("cuGraphLaunch", 1, "replaying a step"),
    ]
    .into_iter()
    .enumerate()
    {
        ends(function, UNKNOWN[i % UNKNOWN.len()], first, words);
    }
}

#[test]
fn of_cudnn_and_cublas() {
    for (i, (function, first, words)) in [
        ("cudnnCreate", 1, "cudnnCreate of cuDNN"),
        ("cudnnSetStream", 1, "cudnnSetStream"),
        ("cudnnSetConvolutionMathType", 1, "cudnnSetConvolutionMathType"),
        ("cudnnGetConvolutionForwardAlgorithm_v7", 1, "the query for algorithms"),
        ("cudnnGetConvolutionForwardWorkspaceSize", 1, "the query for the size of a workspace"),
        ("cudnnConvolutionForward", 3, "the forward pass"),
        ("cudnnConvolutionBackwardFilter", 1, "the filters' gradient"),
        ("cublasCreate_v2", 1, "cublasCreate of cuBLAS"),
        ("cublasSetWorkspace_v2", 1, "cublasSetWorkspace"),
        ("cublasGemmEx", 1, "product of ["),
    ]
    .into_iter()
    .enumerate()
    {
        ends(function, UNKNOWN[i % UNKNOWN.len()], first, words);
    }
}

/// Names of statuses come from the driver too, and it may fail to name one.
#[test]
fn a_known_status_has_its_name_and_its_number() {
    ends(
        "cuStreamCreateWithPriority",
        801,
        1,
        "operation not supported (CUDA_ERROR_NOT_SUPPORTED, CUDA status 801)",
    );
}

/// The release of memory has no result, so its failure ends nothing.
#[test]
fn of_functions_that_free() {
    for function in
        ["cuEventQuery", "cuEventDestroy_v2", "cuMemFree_v2", "cuGraphExecDestroy", "cudnnDestroy"]
    {
        let Some(output) = trained(function, 999_999, 1) else { return };
        assert!(output.status.success(), "{function}: {}", stderr(&output));
    }
}

/// A capture that fails is no error: the steps run plainly, and one line says why.
#[test]
fn of_a_capture() {
    for function in
        ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphGetNodes", "cuGraphInstantiateWithFlags"]
    {
        let Some(output) = trained(function, 913, 1) else { return };
        let said = stderr(&output);
        // A stream whose capture has not ended runs nothing more.
        let ends = function == "cuStreamEndCapture";
        assert_eq!(output.status.success(), !ends, "{function}: {said}");
        let lines: Vec<&str> = said.lines().filter(|line| line.contains("913")).collect();
        assert!(ends || lines.len() == 1, "{function}: {said}");
    }
}

/// A failed start drops its parts in an order in which none is used after it was freed; `ends` reads what the stand-ins
/// say about it.
#[test]
fn a_failed_start_frees_in_order() {
    for function in
        ["cuModuleLoadData", "cudnnCreate", "cudnnSetStream", "cublasSetStream_v2", "cublasSetWorkspace_v2"]
    {
        ends(function, 999_999, 1, "999999");
    }
}
