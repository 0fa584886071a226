//! Errors planted into the declarations, one at a time: the comparison with the headers must find each.

use super::{Declarations, declarations, fetched, source};
use crate::device::cuda::libraries::declare::{Constant, Field, Function, Struct, Type};

/// A declaration with an error, and the words of the compiler's message that name it.
type Planted = (fn(&mut Declarations), &'static [&'static str]);

fn constant<'a>(all: &'a mut Declarations, name: &str) -> &'a mut Constant {
    all.constants.iter_mut().find(|of| of.name == name).unwrap()
}

fn of_type<'a>(all: &'a mut Declarations, name: &str) -> &'a mut Type {
    all.types.iter_mut().find(|of| of.name == name).unwrap()
}

fn function<'a>(all: &'a mut Declarations, name: &str) -> &'a mut Function {
    all.functions.iter_mut().find(|of| of.name == name).unwrap()
}

/// Changes one field of the struct.
fn field(all: &mut Declarations, name: &str, change: fn(&mut Field)) {
    let Struct { fields, .. } = all.structs[0];
    let mut fields = fields.to_vec();
    change(fields.iter_mut().find(|of| of.name == name).unwrap());
    all.structs[0].fields = fields.leak();
}

fn with_argument(all: &mut Declarations, name: &str, at: usize, of: Option<&'static str>) {
    let function = function(all, name);
    let mut arguments = function.arguments.to_vec();
    match of {
        Some(of) => arguments[at] = of,
        None => drop(arguments.remove(at)),
    }
    function.arguments = arguments.leak();
}

const PLANTED: [Planted; 14] = [
    (|all| constant(all, "CUDNN_DATA_BFLOAT16").value = 8, &["CUDNN_DATA_BFLOAT16 is 8"]),
    (|all| constant(all, "CUBLAS_STATUS_LICENSE_ERROR").value = 17, &["CUBLAS_STATUS_LICENSE_ERROR is 17"]),
    (
        |all| constant(all, "CUDNN_TENSOR_NHWC").of = "cudnnDataType_t",
        &["CUDNN_TENSOR_NHWC is of cudnnDataType_t"],
    ),
    (|all| constant(all, "CUDNN_FMA_MATH").name = "CUDNN_FUSED_MATH", &["CUDNN_FUSED_MATH"]),
    // A missing argument, and two that are swapped.
    (|all| with_argument(all, "cublasSetWorkspace_v2", 2, None), &["cublasSetWorkspace_v2"]),
    (
        |all| {
            with_argument(all, "cudnnSetTensor4dDescriptor", 1, Some("cudnnDataType_t"));
            with_argument(all, "cudnnSetTensor4dDescriptor", 2, Some("cudnnTensorFormat_t"));
        },
        &["cudnnSetTensor4dDescriptor"],
    ),
    // A width, a pointer's target, a constant target, an enum as an integer.
    (|all| with_argument(all, "cuMemsetD32Async", 2, Some("c_uint")), &["cuMemsetD32Async"]),
    (
        |all| with_argument(all, "cudnnGetConvolutionForwardWorkspaceSize", 6, Some("*mut c_int")),
        &["WorkspaceSize"],
    ),
    (|all| with_argument(all, "cuModuleLoadData", 1, Some("*mut c_void")), &["cuModuleLoadData"]),
    (|all| with_argument(all, "cublasGemmEx", 17, Some("cudaDataType")), &["cublasGemmEx"]),
    (|all| of_type(all, "CUdeviceptr").rust = "i64", &["i64 is declared nowhere"]),
    (|all| of_type(all, "CUdeviceptr").size = 4, &["size of CUdeviceptr"]),
    // Other names: one that no header has, and one that cuda.h replaces.
    (|all| function(all, "cudnnCreate").name = "cudnnCreateHandle", &["cudnnCreateHandle"]),
    (|all| function(all, "cuMemFree_v2").name = "cuMemFree", &["cuMemFree"]),
];

#[test]
fn a_planted_error_is_found() {
    for set in fetched().into_iter().flatten() {
        for (number, (plant, words)) in PLANTED.iter().enumerate() {
            let mut planted = declarations();
            plant(&mut planted);
            let error = source::compare(&planted, &set).expect_err(&format!("error {number} is not found"));
            assert!(words.iter().all(|word| error.contains(word)), "error {number}: {error}");
        }
        for (name, words) in [("memory", "offset of"), ("determinism", "offset of")] {
            let mut planted = declarations();
            field(&mut planted, name, |field| field.offset -= 4);
            let error = source::compare(&planted, &set).unwrap_err();
            assert!(error.contains(words) && error.contains(name), "{error}");
        }
    }
}
