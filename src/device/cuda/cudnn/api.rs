//! Function table and enum values of cuDNN 9, from `cudnn_graph.h`, `cudnn_ops.h` and `cudnn_cnn.h`.

use crate::device::cuda::libraries::function_table;
use crate::{Error, Result};
use std::ffi::{CStr, c_char, c_int, c_void};

/// `cudnnHandle_t`.
pub type Handle = *mut c_void;
/// `cudnnTensorDescriptor_t`, `cudnnFilterDescriptor_t`, `cudnnConvolutionDescriptor_t`.
pub type Descriptor = *mut c_void;

/// `CUDNN_STATUS_SUCCESS`.
pub const SUCCESS: c_int = 0;
/// `CUDNN_STATUS_NOT_SUPPORTED` and its more detailed variants.
pub const NOT_SUPPORTED: std::ops::Range<c_int> = 3000..4000;
/// `CUDNN_TENSOR_NHWC`; for a filter the layout `[k, r, s, c]`.
pub const NHWC: c_int = 1;
/// `CUDNN_DATA_FLOAT`.
pub const FLOAT: c_int = 0;
/// `CUDNN_DATA_BFLOAT16`.
pub const BFLOAT16: c_int = 9;
/// `CUDNN_CROSS_CORRELATION`: the filter is not flipped.
pub const CROSS_CORRELATION: c_int = 1;
/// `CUDNN_DEFAULT_MATH`: f32 may be rounded to TF32.
pub const DEFAULT_MATH: c_int = 0;
/// `CUDNN_TENSOR_OP_MATH`.
pub const TENSOR_OP_MATH: c_int = 1;
/// `CUDNN_FMA_MATH`: f32 stays f32.
pub const FMA_MATH: c_int = 3;
/// `CUDNN_DETERMINISTIC`.
pub const DETERMINISTIC: c_int = 1;
/// The most algorithms of a direction, each counted with and without tensor cores.
pub const MAX_ALGORITHMS: usize = 32;

/// `cudnnConvolution{Fwd,BwdData,BwdFilter}AlgoPerf_t`, which have one layout.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct AlgoPerf {
    pub algorithm: c_int,
    pub status: c_int,
    _time: f32,
    _memory: usize,
    pub determinism: c_int,
    _math_type: c_int,
    _reserved: [c_int; 3],
}

function_table! {
    Api {
        cudnnGetErrorString: unsafe extern "C" fn(c_int) -> *const c_char,
        cudnnCreate: Create,
        cudnnDestroy: Destroy,
        cudnnSetStream: unsafe extern "C" fn(Handle, *mut c_void) -> c_int,
        cudnnCreateTensorDescriptor: Create,
        cudnnDestroyTensorDescriptor: Destroy,
        cudnnSetTensor4dDescriptor: SetTensor,
        cudnnCreateFilterDescriptor: Create,
        cudnnDestroyFilterDescriptor: Destroy,
        cudnnSetFilter4dDescriptor: SetFilter,
        cudnnCreateConvolutionDescriptor: Create,
        cudnnDestroyConvolutionDescriptor: Destroy,
        cudnnSetConvolution2dDescriptor: SetConvolution,
        cudnnSetConvolutionMathType: unsafe extern "C" fn(Descriptor, c_int) -> c_int,
        cudnnGetConvolutionForwardAlgorithm_v7: GetAlgorithms,
        cudnnGetConvolutionBackwardDataAlgorithm_v7: GetAlgorithms,
        cudnnGetConvolutionBackwardFilterAlgorithm_v7: GetAlgorithms,
        cudnnGetConvolutionForwardWorkspaceSize: GetWorkspaceSize,
        cudnnGetConvolutionBackwardDataWorkspaceSize: GetWorkspaceSize,
        cudnnGetConvolutionBackwardFilterWorkspaceSize: GetWorkspaceSize,
        cudnnConvolutionForward: Convolve,
        cudnnConvolutionBackwardData: Convolve,
        cudnnConvolutionBackwardFilter: Convolve,
    }
}

/// Creates a handle or a descriptor.
pub type Create = unsafe extern "C" fn(*mut *mut c_void) -> c_int;
/// Destroys a handle or a descriptor.
pub type Destroy = unsafe extern "C" fn(*mut c_void) -> c_int;
/// Sets a tensor descriptor: descriptor, format, element; n, c, h, w.
type SetTensor = unsafe extern "C" fn(Descriptor, c_int, c_int, c_int, c_int, c_int, c_int) -> c_int;
/// Sets a filter descriptor: descriptor, element, format (in this order, unlike for a tensor); k, c, r, s.
type SetFilter = unsafe extern "C" fn(Descriptor, c_int, c_int, c_int, c_int, c_int, c_int) -> c_int;
/// Sets a convolution descriptor: descriptor; padding, stride and dilation, each down and across; mode, element of the
/// sums.
type SetConvolution =
    unsafe extern "C" fn(Descriptor, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int) -> c_int;
/// Lists algorithms: handle, the descriptors of both operands, of the convolution and of the result; capacity of the
/// array, number of entries written, array.
type GetAlgorithms = unsafe extern "C" fn(
    Handle,
    Descriptor,
    Descriptor,
    Descriptor,
    Descriptor,
    c_int,
    *mut c_int,
    *mut AlgoPerf,
) -> c_int;
/// Returns the size of a workspace: handle, descriptors as above, algorithm; the bytes.
type GetWorkspaceSize =
    unsafe extern "C" fn(Handle, Descriptor, Descriptor, Descriptor, Descriptor, c_int, *mut usize) -> c_int;
/// Runs a convolution: handle, alpha, both operands, the convolution's descriptor, algorithm, workspace and its bytes,
/// beta, result; each array follows its descriptor.
type Convolve = unsafe extern "C" fn(
    Handle,
    *const c_void,
    Descriptor,
    *const c_void,
    Descriptor,
    *const c_void,
    Descriptor,
    c_int,
    *mut c_void,
    usize,
    *const c_void,
    Descriptor,
    *mut c_void,
) -> c_int;

impl Api {
    /// The name of a status, from cuDNN.
    pub fn text(&self, status: c_int) -> String {
        // SAFETY: the function accepts any integer and returns null or a static text.
        let text = unsafe { (self.cudnnGetErrorString)(status) };
        if text.is_null() {
            return format!("status {status}");
        }
        // SAFETY: as above.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// The error of a status; `what` is the call in words.
    ///
    /// # Errors
    /// [`Error::Device`] with the name and the number of a status other than success.
    pub fn check(&self, status: c_int, what: impl FnOnce() -> String) -> Result<()> {
        if status == SUCCESS {
            return Ok(());
        }
        Err(Error::Device(format!("cuDNN: {} failed: {} ({status})", what(), self.text(status))))
    }
}
