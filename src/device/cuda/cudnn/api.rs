//! The functions of cuDNN 9 that are called, and the values of its enums, from `cudnn_graph.h`, `cudnn_ops.h`
//! and `cudnn_cnn.h`.

use crate::device::cuda::libraries::function_table;
use std::ffi::{c_char, c_int, c_void};

/// `cudnnHandle_t`.
pub type Handle = *mut c_void;
/// `cudnnTensorDescriptor_t`, `cudnnFilterDescriptor_t`, `cudnnConvolutionDescriptor_t`.
pub type Descriptor = *mut c_void;

/// `CUDNN_STATUS_SUCCESS`.
pub const SUCCESS: c_int = 0;
/// `CUDNN_STATUS_NOT_SUPPORTED` and what is said in more detail with it.
pub const NOT_SUPPORTED: std::ops::Range<c_int> = 3000..4000;
/// `CUDNN_TENSOR_NHWC`; of a filter it means `[k, r, s, c]`.
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
/// No direction has more algorithms, each with and without tensor cores.
pub const MOST_OFFERS: usize = 32;

/// `cudnnConvolution{Fwd,BwdData,BwdFilter}AlgoPerf_t`, which are alike.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Offer {
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
        cudnnGetConvolutionForwardAlgorithm_v7: AskAlgorithms,
        cudnnGetConvolutionBackwardDataAlgorithm_v7: AskAlgorithms,
        cudnnGetConvolutionBackwardFilterAlgorithm_v7: AskAlgorithms,
        cudnnGetConvolutionForwardWorkspaceSize: AskWorkspace,
        cudnnGetConvolutionBackwardDataWorkspaceSize: AskWorkspace,
        cudnnGetConvolutionBackwardFilterWorkspaceSize: AskWorkspace,
        cudnnConvolutionForward: Convolve,
        cudnnConvolutionBackwardData: Convolve,
        cudnnConvolutionBackwardFilter: Convolve,
    }
}

/// Of a handle or a descriptor.
pub type Create = unsafe extern "C" fn(*mut *mut c_void) -> c_int;
/// Of a handle or a descriptor.
pub type Destroy = unsafe extern "C" fn(*mut c_void) -> c_int;
/// Descriptor, format, element; n, c, h, w.
type SetTensor = unsafe extern "C" fn(Descriptor, c_int, c_int, c_int, c_int, c_int, c_int) -> c_int;
/// Descriptor, element, format (the other way round); k, c, r, s.
type SetFilter = unsafe extern "C" fn(Descriptor, c_int, c_int, c_int, c_int, c_int, c_int) -> c_int;
/// Descriptor; padding, stride and dilation, each down and across; mode, element of the sums.
type SetConvolution =
    unsafe extern "C" fn(Descriptor, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int) -> c_int;
/// Handle, the descriptors of both operands, of the convolution and of the result; room, number and place of
/// the offers.
type AskAlgorithms = unsafe extern "C" fn(
    Handle,
    Descriptor,
    Descriptor,
    Descriptor,
    Descriptor,
    c_int,
    *mut c_int,
    *mut Offer,
) -> c_int;
/// Handle, descriptors as above, algorithm; the bytes.
type AskWorkspace =
    unsafe extern "C" fn(Handle, Descriptor, Descriptor, Descriptor, Descriptor, c_int, *mut usize) -> c_int;
/// Handle, alpha, both operands, the convolution's descriptor, algorithm, workspace and its bytes, beta,
/// result; each array behind its descriptor.
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
