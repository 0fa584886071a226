//! Function table and constants of the CUDA driver, from `cuda.h`.
//!
//! The names are those that the driver exports and that `cuda.h` of CUDA 12.0, the oldest version that the program
//! supports, gives to its functions: a suffix `_v2` is the version that it uses under the name without the suffix.

use crate::device::cuda::libraries::declare::{c_constants, c_types, function_table};
use crate::device::cuda::libraries::driver::CUdevice;
use crate::device::cuda::libraries::versions::CUresult;
use std::ffi::{c_char, c_int, c_uint, c_void};

c_types! {
    CUcontext = *mut c_void;
    CUstream = *mut c_void;
    CUevent = *mut c_void;
    CUmodule = *mut c_void;
    CUfunction = *mut c_void;
    CUgraph = *mut c_void;
    CUgraphNode = *mut c_void;
    CUgraphExec = *mut c_void;
    CUdeviceptr = u64;
    CUdevice_attribute = c_int;
    CUfunction_attribute = c_int;
    CUstreamCaptureMode = c_int;
    CUstream_flags = c_uint;
    CUevent_flags = c_uint;
    CUevent_record_flags = c_uint;
    CUevent_wait_flags = c_uint;
}

c_constants! {
    OUT_OF_MEMORY = CUDA_ERROR_OUT_OF_MEMORY: CUresult = 2;
    ILLEGAL_ADDRESS = CUDA_ERROR_ILLEGAL_ADDRESS: CUresult = 700;
    MISALIGNED_ADDRESS = CUDA_ERROR_MISALIGNED_ADDRESS: CUresult = 716;
    LAUNCH_FAILED = CUDA_ERROR_LAUNCH_FAILED: CUresult = 719;
    MULTIPROCESSOR_COUNT = CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: CUdevice_attribute = 16;
    MAX_SHARED_MEMORY_PER_MULTIPROCESSOR = CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: CUdevice_attribute = 81;
    COOPERATIVE_LAUNCH = CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH: CUdevice_attribute = 95;
    MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: CUdevice_attribute = 97;
    MAX_DYNAMIC_SHARED_SIZE_BYTES = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: CUfunction_attribute = 8;
    NON_BLOCKING = CU_STREAM_NON_BLOCKING: CUstream_flags = 1;
    CAPTURE_THREAD_LOCAL = CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: CUstreamCaptureMode = 1;
    WAIT_DEFAULT = CU_EVENT_WAIT_DEFAULT: CUevent_wait_flags = 0;
    EVENT_DEFAULT = CU_EVENT_DEFAULT: CUevent_flags = 0;
    EVENT_RECORD_EXTERNAL = CU_EVENT_RECORD_EXTERNAL: CUevent_record_flags = 1;
    EVENT_DISABLE_TIMING = CU_EVENT_DISABLE_TIMING: CUevent_flags = 2;
}

/// The name or the description of a status; the function writes null for an unknown one.
pub(in crate::device::cuda) type Describe =
    unsafe extern "C" fn(status: CUresult, text: *mut *const c_char) -> CUresult;

function_table! {
    Api {
        cuInit(flags: c_uint) -> CUresult;
        cuGetErrorName(status: CUresult, text: *mut *const c_char) -> CUresult;
        cuGetErrorString(status: CUresult, text: *mut *const c_char) -> CUresult;
        cuDeviceGet(device: *mut CUdevice, ordinal: c_int) -> CUresult;
        cuDeviceGetAttribute(value: *mut c_int, attribute: CUdevice_attribute, device: CUdevice) -> CUresult;
        cuDevicePrimaryCtxRetain(context: *mut CUcontext, device: CUdevice) -> CUresult;
        cuDevicePrimaryCtxRelease_v2(device: CUdevice) -> CUresult;
        cuCtxGetCurrent(context: *mut CUcontext) -> CUresult;
        cuCtxSetCurrent(context: CUcontext) -> CUresult;
        cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) -> CUresult;
        cuStreamCreateWithPriority(stream: *mut CUstream, flags: c_uint, priority: c_int) -> CUresult;
        cuStreamDestroy_v2(stream: CUstream) -> CUresult;
        cuStreamSynchronize(stream: CUstream) -> CUresult;
        cuStreamWaitEvent(stream: CUstream, event: CUevent, flags: c_uint) -> CUresult;
        cuStreamBeginCapture_v2(stream: CUstream, mode: CUstreamCaptureMode) -> CUresult;
        cuStreamEndCapture(stream: CUstream, graph: *mut CUgraph) -> CUresult;
        cuEventCreate(event: *mut CUevent, flags: c_uint) -> CUresult;
        cuEventDestroy_v2(event: CUevent) -> CUresult;
        cuEventRecord(event: CUevent, stream: CUstream) -> CUresult;
        cuEventRecordWithFlags(event: CUevent, stream: CUstream, flags: c_uint) -> CUresult;
        cuEventQuery(event: CUevent) -> CUresult;
        cuEventSynchronize(event: CUevent) -> CUresult;
        cuEventElapsedTime(milliseconds: *mut f32, start: CUevent, end: CUevent) -> CUresult;
        cuGraphGetNodes(graph: CUgraph, nodes: *mut CUgraphNode, count: *mut usize) -> CUresult;
        cuGraphInstantiateWithFlags(executable: *mut CUgraphExec, graph: CUgraph, flags: u64) -> CUresult;
        cuGraphLaunch(executable: CUgraphExec, stream: CUstream) -> CUresult;
        cuGraphExecDestroy(executable: CUgraphExec) -> CUresult;
        cuGraphDestroy(graph: CUgraph) -> CUresult;
        cuModuleLoadData(module: *mut CUmodule, image: *const c_void) -> CUresult;
        cuModuleUnload(module: CUmodule) -> CUresult;
        cuModuleGetFunction(function: *mut CUfunction, module: CUmodule, name: *const c_char) -> CUresult;
        cuFuncSetAttribute(function: CUfunction, attribute: CUfunction_attribute, value: c_int) -> CUresult;
        cuLaunchKernel(
            function: CUfunction,
            blocks_x: c_uint,
            blocks_y: c_uint,
            blocks_z: c_uint,
            threads_x: c_uint,
            threads_y: c_uint,
            threads_z: c_uint,
            shared_bytes: c_uint,
            stream: CUstream,
            parameters: *mut *mut c_void,
            extra: *mut *mut c_void,
        ) -> CUresult;
        cuLaunchCooperativeKernel(
            function: CUfunction,
            blocks_x: c_uint,
            blocks_y: c_uint,
            blocks_z: c_uint,
            threads_x: c_uint,
            threads_y: c_uint,
            threads_z: c_uint,
            shared_bytes: c_uint,
            stream: CUstream,
            parameters: *mut *mut c_void,
        ) -> CUresult;
        cuOccupancyMaxActiveBlocksPerMultiprocessor(
            blocks: *mut c_int,
            function: CUfunction,
            threads: c_int,
            shared_bytes: usize,
        ) -> CUresult;
        cuMemAlloc_v2(address: *mut CUdeviceptr, bytes: usize) -> CUresult;
        cuMemFree_v2(address: CUdeviceptr) -> CUresult;
        cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> CUresult;
        cuMemHostAlloc(host: *mut *mut c_void, bytes: usize, flags: c_uint) -> CUresult;
        cuMemFreeHost(host: *mut c_void) -> CUresult;
        cuMemcpyHtoDAsync_v2(to: CUdeviceptr, from: *const c_void, bytes: usize, stream: CUstream) -> CUresult;
        cuMemcpyDtoHAsync_v2(to: *mut c_void, from: CUdeviceptr, bytes: usize, stream: CUstream) -> CUresult;
        cuMemcpyDtoDAsync_v2(to: CUdeviceptr, from: CUdeviceptr, bytes: usize, stream: CUstream) -> CUresult;
        cuMemsetD8Async(to: CUdeviceptr, value: u8, bytes: usize, stream: CUstream) -> CUresult;
        cuMemsetD32Async(to: CUdeviceptr, value: c_uint, words: usize, stream: CUstream) -> CUresult;
    }
}
