// Handles and descriptors.
#include "descriptors.h"

using namespace cudnn;

namespace {

bool type_of(int value, standin::Type& type) {
    constexpr int data_float = 0, data_bfloat16 = 9;
    type = value == data_float ? standin::Type::F32 : standin::Type::BF16;
    return value == data_float || value == data_bfloat16;
}

Status set(Array* array, int type, const int (&size)[4], const int (&stride)[4]) {
    if (!array) return BAD_PARAM;
    if (!type_of(type, array->type)) return NOT_SUPPORTED;
    for (int i = 0; i < 4; i++) {
        if (size[i] <= 0 || stride[i] <= 0) return BAD_PARAM;
        array->size[i] = size[i];
        array->stride[i] = stride[i];
    }
    array->is_set = true;
    return OK;
}

template <class T> Status make(T** made) {
    *made = new T;
    return OK;
}
template <class T> Status destroy(T* made) {
    delete made;
    return OK;
}

}

STANDIN_API size_t cudnnGetVersion() { return standin::number_from_environment("SOFTCUDA_CUDNN_VERSION", 91000); }

STANDIN_API const char* cudnnGetErrorString(Status status) {
    switch (status) {
        case OK: return "CUDNN_STATUS_SUCCESS";
        case NOT_INITIALIZED: return "CUDNN_STATUS_NOT_INITIALIZED";
        case BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
        case MISALIGNED: return "CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER";
        case SIZE_INSUFFICIENT: return "CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT";
        case SHAPE_MISMATCH: return "CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH";
        case NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
        case UNSUPPORTED_LAYOUT: return "CUDNN_STATUS_NOT_SUPPORTED_LAYOUT";
        case EXECUTION_FAILED: return "CUDNN_STATUS_EXECUTION_FAILED";
    }
    return "CUDNN_UNKNOWN_STATUS";
}

STANDIN_API Status cudnnCreate(Handle** handle) {
    ANSWER_PLANTED(Status);
    return make(handle);
}
STANDIN_API Status cudnnDestroy(Handle* handle) {
    ANSWER_PLANTED(Status);
    return destroy(handle);
}
STANDIN_API Status cudnnSetStream(Handle* handle, void* stream) {
    ANSWER_PLANTED(Status);
    handle->stream = stream;
    return OK;
}

STANDIN_API Status cudnnCreateTensorDescriptor(Array** array) {
    ANSWER_PLANTED(Status);
    return make(array);
}
STANDIN_API Status cudnnDestroyTensorDescriptor(Array* array) {
    ANSWER_PLANTED(Status);
    return destroy(array);
}
STANDIN_API Status cudnnSetTensor4dDescriptorEx(Array* array, int type, int n, int c, int h, int w, int n_stride,
                                                int c_stride,
                                                int h_stride, int w_stride) {
    ANSWER_PLANTED(Status);
    return set(array, type, {n, c, h, w}, {n_stride, c_stride, h_stride, w_stride});
}
STANDIN_API Status cudnnSetTensor4dDescriptor(Array* array, int format, int type, int n, int c, int h, int w) {
    ANSWER_PLANTED(Status);
    constexpr int nchw = 0, nhwc = 1;
    if (format == nchw) return set(array, type, {n, c, h, w}, {c * h * w, h * w, w, 1});
    return format == nhwc ? set(array, type, {n, c, h, w}, {c * h * w, 1, w * c, c}) : NOT_SUPPORTED;
}

STANDIN_API Status cudnnCreateFilterDescriptor(Array** array) {
    ANSWER_PLANTED(Status);
    return make(array);
}
STANDIN_API Status cudnnDestroyFilterDescriptor(Array* array) {
    ANSWER_PLANTED(Status);
    return destroy(array);
}
// With the format NHWC a filter lies as K, R, S, C.
STANDIN_API Status cudnnSetFilter4dDescriptor(Array* array, int type, int format, int k, int c, int r, int s) {
    ANSWER_PLANTED(Status);
    return cudnnSetTensor4dDescriptor(array, format, type, k, c, r, s);
}

STANDIN_API Status cudnnCreateConvolutionDescriptor(Convolution** convolution) {
    ANSWER_PLANTED(Status);
    return make(convolution);
}
STANDIN_API Status cudnnDestroyConvolutionDescriptor(Convolution* convolution) {
    ANSWER_PLANTED(Status);
    return destroy(convolution);
}
STANDIN_API Status cudnnSetConvolution2dDescriptor(Convolution* convolution, int pad_h, int pad_w, int stride_h,
                                                   int stride_w,
                                                   int dilation_h, int dilation_w, int mode, int compute_type) {
    ANSWER_PLANTED(Status);
    constexpr int cross_correlation = 1, data_float = 0;
    if (!convolution || pad_h < 0 || pad_w < 0 || stride_h <= 0 || stride_w <= 0 || dilation_h <= 0
        || dilation_w <= 0) return BAD_PARAM;
    if (mode != cross_correlation || compute_type != data_float) return NOT_SUPPORTED;
    *convolution = {{pad_h, pad_w}, {stride_h, stride_w}, {dilation_h, dilation_w}, 1, convolution->math, true};
    return OK;
}
STANDIN_API Status cudnnSetConvolutionGroupCount(Convolution* convolution, int groups) {
    ANSWER_PLANTED(Status);
    convolution->groups = groups;
    return groups == 1 ? OK : NOT_SUPPORTED;
}
STANDIN_API Status cudnnSetConvolutionMathType(Convolution* convolution, int math) {
    ANSWER_PLANTED(Status);
    if (math < 0 || math > 3) return BAD_PARAM;
    convolution->math = math;
    return OK;
}
