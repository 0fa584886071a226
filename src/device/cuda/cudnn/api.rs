//! Function table and constants of cuDNN 9, from `cudnn_graph.h`, `cudnn_ops.h` and `cudnn_cnn.h`.

use crate::device::cuda::libraries::declare::{c_constants, c_struct, c_types, function_table};
use crate::{Error, Result};
use std::ffi::{CStr, c_char, c_int, c_void};

/// `cudnnTensorDescriptor_t`, `cudnnFilterDescriptor_t`, `cudnnConvolutionDescriptor_t`, `cudnnActivationDescriptor_t`.
pub type Descriptor = *mut c_void;

c_types! {
    cudnnStatus_t = c_int;
    cudnnHandle_t = *mut c_void;
    cudaStream_t = *mut c_void;
    cudnnTensorDescriptor_t = *mut c_void;
    cudnnFilterDescriptor_t = *mut c_void;
    cudnnConvolutionDescriptor_t = *mut c_void;
    cudnnTensorFormat_t = c_int;
    cudnnDataType_t = c_int;
    cudnnConvolutionMode_t = c_int;
    cudnnMathType_t = c_int;
    cudnnDeterminism_t = c_int;
    cudnnConvolutionFwdAlgo_t = c_int;
    cudnnConvolutionBwdDataAlgo_t = c_int;
    cudnnConvolutionBwdFilterAlgo_t = c_int;
    cudnnBatchNormMode_t = c_int;
    cudnnBatchNormOps_t = c_int;
    cudnnActivationDescriptor_t = *mut c_void;
}

c_constants! {
    SUCCESS = CUDNN_STATUS_SUCCESS: cudnnStatus_t = 0;
    FIRST_BAD_PARAM = CUDNN_STATUS_BAD_PARAM: cudnnStatus_t = 2000;
    FIRST_NOT_SUPPORTED = CUDNN_STATUS_NOT_SUPPORTED: cudnnStatus_t = 3000;
    FIRST_INTERNAL_ERROR = CUDNN_STATUS_INTERNAL_ERROR: cudnnStatus_t = 4000;
    HOST_ALLOCATION_FAILED = CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED: cudnnStatus_t = 4003;
    DEVICE_ALLOCATION_FAILED = CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED: cudnnStatus_t = 4004;
    /// For a filter it is the layout `[k, r, s, c]`.
    NHWC = CUDNN_TENSOR_NHWC: cudnnTensorFormat_t = 1;
    FLOAT = CUDNN_DATA_FLOAT: cudnnDataType_t = 0;
    BFLOAT16 = CUDNN_DATA_BFLOAT16: cudnnDataType_t = 9;
    /// The filter is not flipped.
    CROSS_CORRELATION = CUDNN_CROSS_CORRELATION: cudnnConvolutionMode_t = 1;
    /// f32 may be rounded to TF32.
    DEFAULT_MATH = CUDNN_DEFAULT_MATH: cudnnMathType_t = 0;
    /// As above.
    TENSOR_OP_MATH = CUDNN_TENSOR_OP_MATH: cudnnMathType_t = 1;
    /// f32 stays f32.
    FMA_MATH = CUDNN_FMA_MATH: cudnnMathType_t = 3;
    DETERMINISTIC = CUDNN_DETERMINISTIC: cudnnDeterminism_t = 1;
    DATA_ALGORITHM_0 = CUDNN_CONVOLUTION_BWD_DATA_ALGO_0: cudnnConvolutionBwdDataAlgo_t = 0;
    FILTER_ALGORITHM_0 = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0: cudnnConvolutionBwdFilterAlgo_t = 0;
    FILTER_ALGORITHM_3 = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3: cudnnConvolutionBwdFilterAlgo_t = 3;
    /// Statistics over all dimensions but the channels.
    SPATIAL = CUDNN_BATCHNORM_SPATIAL: cudnnBatchNormMode_t = 1;
    /// The same by faster kernels.
    SPATIAL_PERSISTENT = CUDNN_BATCHNORM_SPATIAL_PERSISTENT: cudnnBatchNormMode_t = 2;
    /// No addition and no activation behind the normalisation.
    BATCHNORM_ALONE = CUDNN_BATCHNORM_OPS_BN: cudnnBatchNormOps_t = 0;
}

/// `CUDNN_STATUS_BAD_PARAM` and its more detailed variants: the category of a status is its thousands.
pub const BAD_PARAM: std::ops::Range<cudnnStatus_t> = FIRST_BAD_PARAM..FIRST_NOT_SUPPORTED;
/// `CUDNN_STATUS_NOT_SUPPORTED` and its more detailed variants: cuDNN has enqueued nothing.
pub const NOT_SUPPORTED: std::ops::Range<cudnnStatus_t> = FIRST_NOT_SUPPORTED..FIRST_INTERNAL_ERROR;
/// Free memory changes from run to run.
pub const NO_MEMORY: [cudnnStatus_t; 2] = [HOST_ALLOCATION_FAILED, DEVICE_ALLOCATION_FAILED];
/// The number of math types. Number 2, `CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION`, is not used: it may round to 16 bits.
pub const MATH_TYPES: usize = 4;
/// The most algorithms of a direction, each counted with and without tensor cores.
pub const MAX_ALGORITHMS: usize = 32;

c_struct! {
    /// An algorithm in the answer of cuDNN's heuristics; the three directions have one layout.
    AlgoPerf = cudnnConvolutionFwdAlgoPerf_t, cudnnConvolutionBwdDataAlgoPerf_t, cudnnConvolutionBwdFilterAlgoPerf_t {
        algo: c_int,
        status: cudnnStatus_t,
        time: f32,
        memory: usize,
        determinism: cudnnDeterminism_t,
        mathType: cudnnMathType_t,
        reserved: [c_int; 3],
    }
}

function_table! {
    Api {
        cudnnGetErrorString(status: cudnnStatus_t) -> *const c_char;
        cudnnCreate(handle: *mut cudnnHandle_t) -> cudnnStatus_t;
        cudnnDestroy(handle: cudnnHandle_t) -> cudnnStatus_t;
        cudnnSetStream(handle: cudnnHandle_t, stream: cudaStream_t) -> cudnnStatus_t;
        cudnnCreateTensorDescriptor(tensor: *mut cudnnTensorDescriptor_t) -> cudnnStatus_t;
        cudnnDestroyTensorDescriptor(tensor: cudnnTensorDescriptor_t) -> cudnnStatus_t;
        cudnnSetTensor4dDescriptor(
            tensor: cudnnTensorDescriptor_t,
            format: cudnnTensorFormat_t,
            element: cudnnDataType_t,
            n: c_int,
            c: c_int,
            h: c_int,
            w: c_int,
        ) -> cudnnStatus_t;
        cudnnCreateFilterDescriptor(filter: *mut cudnnFilterDescriptor_t) -> cudnnStatus_t;
        cudnnDestroyFilterDescriptor(filter: cudnnFilterDescriptor_t) -> cudnnStatus_t;
        // The element comes before the format, unlike for a tensor.
        cudnnSetFilter4dDescriptor(
            filter: cudnnFilterDescriptor_t,
            element: cudnnDataType_t,
            format: cudnnTensorFormat_t,
            k: c_int,
            c: c_int,
            r: c_int,
            s: c_int,
        ) -> cudnnStatus_t;
        cudnnCreateConvolutionDescriptor(convolution: *mut cudnnConvolutionDescriptor_t) -> cudnnStatus_t;
        cudnnDestroyConvolutionDescriptor(convolution: cudnnConvolutionDescriptor_t) -> cudnnStatus_t;
        cudnnSetConvolution2dDescriptor(
            convolution: cudnnConvolutionDescriptor_t,
            pad_down: c_int,
            pad_across: c_int,
            stride_down: c_int,
            stride_across: c_int,
            dilation_down: c_int,
            dilation_across: c_int,
            mode: cudnnConvolutionMode_t,
            element_of_sums: cudnnDataType_t,
        ) -> cudnnStatus_t;
        cudnnSetConvolutionMathType(
            convolution: cudnnConvolutionDescriptor_t,
            math: cudnnMathType_t,
        ) -> cudnnStatus_t;
        cudnnGetConvolutionForwardAlgorithm_v7(
            handle: cudnnHandle_t,
            x: cudnnTensorDescriptor_t,
            w: cudnnFilterDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            y: cudnnTensorDescriptor_t,
            capacity: c_int,
            count: *mut c_int,
            algorithms: *mut cudnnConvolutionFwdAlgoPerf_t,
        ) -> cudnnStatus_t;
        cudnnGetConvolutionBackwardDataAlgorithm_v7(
            handle: cudnnHandle_t,
            w: cudnnFilterDescriptor_t,
            dy: cudnnTensorDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            dx: cudnnTensorDescriptor_t,
            capacity: c_int,
            count: *mut c_int,
            algorithms: *mut cudnnConvolutionBwdDataAlgoPerf_t,
        ) -> cudnnStatus_t;
        cudnnGetConvolutionBackwardFilterAlgorithm_v7(
            handle: cudnnHandle_t,
            x: cudnnTensorDescriptor_t,
            dy: cudnnTensorDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            dw: cudnnFilterDescriptor_t,
            capacity: c_int,
            count: *mut c_int,
            algorithms: *mut cudnnConvolutionBwdFilterAlgoPerf_t,
        ) -> cudnnStatus_t;
        cudnnGetConvolutionForwardWorkspaceSize(
            handle: cudnnHandle_t,
            x: cudnnTensorDescriptor_t,
            w: cudnnFilterDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            y: cudnnTensorDescriptor_t,
            algorithm: cudnnConvolutionFwdAlgo_t,
            bytes: *mut usize,
        ) -> cudnnStatus_t;
        cudnnGetConvolutionBackwardDataWorkspaceSize(
            handle: cudnnHandle_t,
            w: cudnnFilterDescriptor_t,
            dy: cudnnTensorDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            dx: cudnnTensorDescriptor_t,
            algorithm: cudnnConvolutionBwdDataAlgo_t,
            bytes: *mut usize,
        ) -> cudnnStatus_t;
        cudnnGetConvolutionBackwardFilterWorkspaceSize(
            handle: cudnnHandle_t,
            x: cudnnTensorDescriptor_t,
            dy: cudnnTensorDescriptor_t,
            convolution: cudnnConvolutionDescriptor_t,
            dw: cudnnFilterDescriptor_t,
            algorithm: cudnnConvolutionBwdFilterAlgo_t,
            bytes: *mut usize,
        ) -> cudnnStatus_t;
        cudnnConvolutionForward(
            handle: cudnnHandle_t,
            alpha: *const c_void,
            x: cudnnTensorDescriptor_t,
            x_data: *const c_void,
            w: cudnnFilterDescriptor_t,
            w_data: *const c_void,
            convolution: cudnnConvolutionDescriptor_t,
            algorithm: cudnnConvolutionFwdAlgo_t,
            workspace: *mut c_void,
            workspace_bytes: usize,
            beta: *const c_void,
            y: cudnnTensorDescriptor_t,
            y_data: *mut c_void,
        ) -> cudnnStatus_t;
        cudnnConvolutionBackwardData(
            handle: cudnnHandle_t,
            alpha: *const c_void,
            w: cudnnFilterDescriptor_t,
            w_data: *const c_void,
            dy: cudnnTensorDescriptor_t,
            dy_data: *const c_void,
            convolution: cudnnConvolutionDescriptor_t,
            algorithm: cudnnConvolutionBwdDataAlgo_t,
            workspace: *mut c_void,
            workspace_bytes: usize,
            beta: *const c_void,
            dx: cudnnTensorDescriptor_t,
            dx_data: *mut c_void,
        ) -> cudnnStatus_t;
        cudnnConvolutionBackwardFilter(
            handle: cudnnHandle_t,
            alpha: *const c_void,
            x: cudnnTensorDescriptor_t,
            x_data: *const c_void,
            dy: cudnnTensorDescriptor_t,
            dy_data: *const c_void,
            convolution: cudnnConvolutionDescriptor_t,
            algorithm: cudnnConvolutionBwdFilterAlgo_t,
            workspace: *mut c_void,
            workspace_bytes: usize,
            beta: *const c_void,
            dw: cudnnFilterDescriptor_t,
            dw_data: *mut c_void,
        ) -> cudnnStatus_t;
        cudnnDeriveBNTensorDescriptor(
            parameters: cudnnTensorDescriptor_t,
            x: cudnnTensorDescriptor_t,
            mode: cudnnBatchNormMode_t,
        ) -> cudnnStatus_t;
        cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
            handle: cudnnHandle_t,
            mode: cudnnBatchNormMode_t,
            ops: cudnnBatchNormOps_t,
            x: cudnnTensorDescriptor_t,
            z: cudnnTensorDescriptor_t,
            y: cudnnTensorDescriptor_t,
            parameters: cudnnTensorDescriptor_t,
            activation: cudnnActivationDescriptor_t,
            bytes: *mut usize,
        ) -> cudnnStatus_t;
        cudnnGetBatchNormalizationBackwardExWorkspaceSize(
            handle: cudnnHandle_t,
            mode: cudnnBatchNormMode_t,
            ops: cudnnBatchNormOps_t,
            x: cudnnTensorDescriptor_t,
            y: cudnnTensorDescriptor_t,
            dy: cudnnTensorDescriptor_t,
            dz: cudnnTensorDescriptor_t,
            dx: cudnnTensorDescriptor_t,
            parameters: cudnnTensorDescriptor_t,
            activation: cudnnActivationDescriptor_t,
            bytes: *mut usize,
        ) -> cudnnStatus_t;
        // The activation comes before x, unlike above.
        cudnnGetBatchNormalizationTrainingExReserveSpaceSize(
            handle: cudnnHandle_t,
            mode: cudnnBatchNormMode_t,
            ops: cudnnBatchNormOps_t,
            activation: cudnnActivationDescriptor_t,
            x: cudnnTensorDescriptor_t,
            bytes: *mut usize,
        ) -> cudnnStatus_t;
        cudnnBatchNormalizationForwardTrainingEx(
            handle: cudnnHandle_t,
            mode: cudnnBatchNormMode_t,
            ops: cudnnBatchNormOps_t,
            alpha: *const c_void,
            beta: *const c_void,
            x: cudnnTensorDescriptor_t,
            x_data: *const c_void,
            z: cudnnTensorDescriptor_t,
            z_data: *const c_void,
            y: cudnnTensorDescriptor_t,
            y_data: *mut c_void,
            parameters: cudnnTensorDescriptor_t,
            gamma: *const c_void,
            shift: *const c_void,
            momentum: f64,
            running_mean: *mut c_void,
            running_variance: *mut c_void,
            epsilon: f64,
            saved_mean: *mut c_void,
            saved_inverse_deviation: *mut c_void,
            activation: cudnnActivationDescriptor_t,
            workspace: *mut c_void,
            workspace_bytes: usize,
            reserve: *mut c_void,
            reserve_bytes: usize,
        ) -> cudnnStatus_t;
        cudnnBatchNormalizationBackwardEx(
            handle: cudnnHandle_t,
            mode: cudnnBatchNormMode_t,
            ops: cudnnBatchNormOps_t,
            alpha_data: *const c_void,
            beta_data: *const c_void,
            alpha_parameters: *const c_void,
            beta_parameters: *const c_void,
            x: cudnnTensorDescriptor_t,
            x_data: *const c_void,
            y: cudnnTensorDescriptor_t,
            y_data: *const c_void,
            dy: cudnnTensorDescriptor_t,
            dy_data: *const c_void,
            dz: cudnnTensorDescriptor_t,
            dz_data: *mut c_void,
            dx: cudnnTensorDescriptor_t,
            dx_data: *mut c_void,
            parameters: cudnnTensorDescriptor_t,
            gamma: *const c_void,
            shift: *const c_void,
            dgamma: *mut c_void,
            dshift: *mut c_void,
            epsilon: f64,
            saved_mean: *const c_void,
            saved_inverse_deviation: *const c_void,
            activation: cudnnActivationDescriptor_t,
            workspace: *mut c_void,
            workspace_bytes: usize,
            reserve: *mut c_void,
            reserve_bytes: usize,
        ) -> cudnnStatus_t;
        cudnnBatchNormalizationForwardInference(
            handle: cudnnHandle_t,
            mode: cudnnBatchNormMode_t,
            alpha: *const c_void,
            beta: *const c_void,
            x: cudnnTensorDescriptor_t,
            x_data: *const c_void,
            y: cudnnTensorDescriptor_t,
            y_data: *mut c_void,
            parameters: cudnnTensorDescriptor_t,
            gamma: *const c_void,
            shift: *const c_void,
            mean: *const c_void,
            variance: *const c_void,
            epsilon: f64,
        ) -> cudnnStatus_t;
    }
}

impl Api {
    /// The name of a status, from cuDNN.
    pub fn text(&self, status: cudnnStatus_t) -> String {
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
    pub fn check(&self, status: cudnnStatus_t, what: impl FnOnce() -> String) -> Result<()> {
        if status == SUCCESS {
            return Ok(());
        }
        Err(Error::Device(format!("cuDNN: {} failed: {} ({status})", what(), self.text(status))))
    }
}
