//! One convolution through the stand-in's functions, and numbers for it.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::Arc;

use crate::common::numbers::Type;
use crate::common::stand_ins::{alloc, download, library, open_stream, uploaded};
use cudarc::driver::CudaStream;

pub type Handle = *mut c_void;

/// Performance data of an algorithm: `cudnnConvolution*AlgoPerf_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Performance {
    pub algorithm: i32,
    pub status: i32,
    pub time: f32,
    pub memory: usize,
    pub determinism: i32,
    pub math: i32,
    pub reserved: [i32; 3],
}

library! { Functions in "libcudnn.so.9":
    fn cudnnGetVersion() -> usize;
    fn cudnnGetErrorString(i32) -> *const c_char;
    fn cudnnCreate(*mut Handle) -> i32;
    fn cudnnDestroy(Handle) -> i32;
    fn cudnnSetStream(Handle, Handle) -> i32;
    fn cudnnCreateTensorDescriptor(*mut Handle) -> i32;
    fn cudnnCreateFilterDescriptor(*mut Handle) -> i32;
    fn cudnnCreateConvolutionDescriptor(*mut Handle) -> i32;
    fn cudnnDestroyTensorDescriptor(Handle) -> i32;
    fn cudnnDestroyFilterDescriptor(Handle) -> i32;
    fn cudnnDestroyConvolutionDescriptor(Handle) -> i32;
    fn cudnnSetTensor4dDescriptorEx(Handle, i32, i32, i32, i32, i32, i32, i32, i32, i32) -> i32;
    fn cudnnSetFilter4dDescriptor(Handle, i32, i32, i32, i32, i32, i32) -> i32;
    fn cudnnSetConvolution2dDescriptor(Handle, i32, i32, i32, i32, i32, i32, i32, i32) -> i32;
    fn cudnnSetConvolutionMathType(Handle, i32) -> i32;
    fn cudnnGetConvolutionForwardAlgorithm_v7(
        Handle, Handle, Handle, Handle, Handle, i32, *mut i32, *mut Performance
    ) -> i32;
    fn cudnnGetConvolutionBackwardDataAlgorithm_v7(
        Handle, Handle, Handle, Handle, Handle, i32, *mut i32, *mut Performance
    ) -> i32;
    fn cudnnGetConvolutionBackwardFilterAlgorithm_v7(
        Handle, Handle, Handle, Handle, Handle, i32, *mut i32, *mut Performance
    ) -> i32;
    fn cudnnGetConvolutionForwardWorkspaceSize(Handle, Handle, Handle, Handle, Handle, i32, *mut usize) -> i32;
    fn cudnnGetConvolutionBackwardDataWorkspaceSize(Handle, Handle, Handle, Handle, Handle, i32, *mut usize) -> i32;
    fn cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle, Handle, Handle, Handle, Handle, i32, *mut usize) -> i32;
    fn cudnnConvolutionForward(
        Handle, *const f32, Handle, u64, Handle, u64, Handle, i32, u64, usize, *const f32, Handle, u64
    ) -> i32;
    fn cudnnConvolutionBackwardData(
        Handle, *const f32, Handle, u64, Handle, u64, Handle, i32, u64, usize, *const f32, Handle, u64
    ) -> i32;
    fn cudnnConvolutionBackwardFilter(
        Handle, *const f32, Handle, u64, Handle, u64, Handle, i32, u64, usize, *const f32, Handle, u64
    ) -> i32;
}

/// Sizes in the order N, C, H, W; of a filter K, C, R, S. All arrays lie as NHWC.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub of: Type,
    pub x: [i32; 4],
    pub w: [i32; 4],
    pub pad: i32,
    pub stride: i32,
}

/// In bf16 the channels would have to be multiples of 8.
pub const SMALL: Case = Case { of: Type::F32, x: [2, 3, 6, 5], w: [4, 3, 3, 3], pad: 1, stride: 1 };
pub const SMALL_BF16: Case = Case { of: Type::Bf16, x: [2, 8, 6, 5], w: [16, 8, 3, 3], pad: 1, stride: 1 };

impl Case {
    pub fn y(&self) -> [i32; 4] {
        let out = |i: usize| (self.x[i] + 2 * self.pad - self.w[i]) / self.stride + 1;
        [self.x[0], self.w[0], out(2), out(3)]
    }

    /// Calls f(index in x, in w, in y) for every multiplication of the convolution.
    pub fn each_product(&self, mut f: impl FnMut(usize, usize, usize)) {
        let at = |size: [i32; 4], n, c, h, w| (((n * size[2] + h) * size[3] + w) * size[1] + c) as usize;
        let (y, [k_count, c_count, r_count, s_count]) = (self.y(), self.w);
        for (n, k, p, q) in each([y[0], k_count, y[2], y[3]]) {
            for (c, r, s, _) in each([c_count, r_count, s_count, 1]) {
                let (h, w) = (p * self.stride + r - self.pad, q * self.stride + s - self.pad);
                if (0..self.x[2]).contains(&h) && (0..self.x[3]).contains(&w) {
                    f(at(self.x, n, c, h, w), at(self.w, k, c, r, s), at(y, n, k, p, q));
                }
            }
        }
    }
}

/// All indices of an array of these sizes.
pub fn each(size: [i32; 4]) -> impl Iterator<Item = (i32, i32, i32, i32)> {
    (0..count(size) as i32).map(move |i| {
        let rest = [i / size[3], i / size[3] / size[2]];
        (rest[1] / size[1], rest[1] % size[1], rest[0] % size[2], i % size[3])
    })
}

pub fn count(size: [i32; 4]) -> usize {
    size.iter().product::<i32>() as usize
}

pub fn nhwc([_, c, h, w]: [i32; 4]) -> [i32; 4] {
    [h * w * c, 1, w * c, c]
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Direction {
    Forward,
    Data,
    Filter,
}
pub use Direction::{Data, Filter, Forward};

impl Direction {
    /// Both inputs and the result, of x, w and y.
    pub fn roles<T>(self, [x, w, y]: [T; 3]) -> [T; 3] {
        match self {
            Forward => [x, w, y],
            Data => [w, y, x],
            Filter => [x, y, w],
        }
    }
}

pub struct Cudnn {
    pub call: Functions,
    pub handle: Handle,
    pub stream: Arc<CudaStream>,
}

impl Cudnn {
    pub fn open() -> Self {
        let (stream, call, mut handle) = (open_stream(), Functions::load(), ptr::null_mut());
        // SAFETY: a place for the handle, then the handle and an open stream.
        unsafe {
            assert_eq!((call.cudnnCreate)(&raw mut handle), 0);
            assert_eq!((call.cudnnSetStream)(handle, stream.cu_stream().cast()), 0);
        }
        Self { call, handle, stream }
    }

    pub fn status(&self, status: i32) -> String {
        // SAFETY: the text lives as long as the library.
        unsafe { CStr::from_ptr((self.call.cudnnGetErrorString)(status)) }.to_string_lossy().into_owned()
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        // SAFETY: the handle is destroyed once.
        assert_eq!(unsafe { (self.call.cudnnDestroy)(self.handle) }, 0);
    }
}

/// A convolution's descriptors.
pub struct Layer<'a> {
    pub cudnn: &'a Cudnn,
    pub arrays: [Handle; 3],
    pub how: Handle,
}

impl<'a> Layer<'a> {
    pub fn new(cudnn: &'a Cudnn, case: &Case) -> Self {
        Self::described(cudnn, case, nhwc(case.x), case.y())
    }

    /// With strides of x and sizes of y that may be wrong.
    pub fn described(cudnn: &'a Cudnn, case: &Case, x_strides: [i32; 4], y: [i32; 4]) -> Self {
        let (call, of) = (&cudnn.call, if case.of == Type::F32 { 0 } else { 9 });
        let mut layer = Self { cudnn, arrays: [ptr::null_mut(); 3], how: ptr::null_mut() };
        let [x_is, w_is, y_is] = &mut layer.arrays;
        // SAFETY: places for the descriptors, then descriptors.
        unsafe {
            for (array, [n, c, h, w], [n_stride, c_stride, h_stride, w_stride]) in
                [(x_is, case.x, x_strides), (y_is, y, nhwc(y))]
            {
                assert_eq!((call.cudnnCreateTensorDescriptor)(array), 0);
                let set = call.cudnnSetTensor4dDescriptorEx;
                assert_eq!(set(*array, of, n, c, h, w, n_stride, c_stride, h_stride, w_stride), 0);
            }
            let ([k, c, r, s], nhwc) = (case.w, 1);
            assert_eq!((call.cudnnCreateFilterDescriptor)(w_is), 0);
            assert_eq!((call.cudnnSetFilter4dDescriptor)(*w_is, of, nhwc, k, c, r, s), 0);
            let (pad, stride, cross_correlation) = (case.pad, case.stride, 1);
            let (set, f32) = (call.cudnnSetConvolution2dDescriptor, 0);
            assert_eq!((call.cudnnCreateConvolutionDescriptor)(&raw mut layer.how), 0);
            assert_eq!(set(layer.how, pad, pad, stride, stride, 1, 1, cross_correlation, f32), 0);
            assert_eq!((call.cudnnSetConvolutionMathType)(layer.how, 3), 0);
        }
        layer
    }

    /// cuDNN's number of a math type; a new layer has 3, FMA.
    pub fn set_math(&self, math: i32) {
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { (self.cudnn.call.cudnnSetConvolutionMathType)(self.how, math) }, 0);
    }

    pub fn algorithms(&self, direction: Direction) -> Vec<Performance> {
        let call = &self.cudnn.call;
        let list = match direction {
            Forward => call.cudnnGetConvolutionForwardAlgorithm_v7,
            Data => call.cudnnGetConvolutionBackwardDataAlgorithm_v7,
            Filter => call.cudnnGetConvolutionBackwardFilterAlgorithm_v7,
        };
        let ([first, second, result], mut returned) = (direction.roles(self.arrays), 0);
        let mut found = vec![Performance::default(); 4];
        // SAFETY: descriptors, and places for as many results as are asked for.
        let status = unsafe {
            list(self.cudnn.handle, first, second, self.how, result, 4, &raw mut returned, found.as_mut_ptr())
        };
        assert_eq!(status, 0);
        found.truncate(returned as usize);
        found
    }

    pub fn workspace(&self, direction: Direction, algorithm: i32) -> usize {
        let call = &self.cudnn.call;
        let ask = match direction {
            Forward => call.cudnnGetConvolutionForwardWorkspaceSize,
            Data => call.cudnnGetConvolutionBackwardDataWorkspaceSize,
            Filter => call.cudnnGetConvolutionBackwardFilterWorkspaceSize,
        };
        let ([first, second, result], mut bytes) = (direction.roles(self.arrays), 0);
        // SAFETY: descriptors, and a place for the answer.
        let status =
            unsafe { ask(self.cudnn.handle, first, second, self.how, result, algorithm, &raw mut bytes) };
        assert_eq!(status, 0);
        bytes
    }

    pub fn run(&self, direction: Direction, run: &Run) -> String {
        let call = &self.cudnn.call;
        let convolve = match direction {
            Forward => call.cudnnConvolutionForward,
            Data => call.cudnnConvolutionBackwardData,
            Filter => call.cudnnConvolutionBackwardFilter,
        };
        let [first_is, second_is, result_is] = direction.roles(self.arrays);
        let [first, second, result] = direction.roles(run.arrays);
        let (workspace, bytes) = run.workspace;
        // SAFETY: descriptors and factors of this side; what is wrong with the rest is refused.
        let status = unsafe {
            convolve(
                self.cudnn.handle,
                &raw const run.alpha,
                first_is,
                first,
                second_is,
                second,
                self.how,
                run.algorithm,
                workspace,
                bytes,
                &raw const run.beta,
                result_is,
                result,
            )
        };
        self.cudnn.status(status)
    }
}

impl Drop for Layer<'_> {
    fn drop(&mut self) {
        let (call, [x, w, y]) = (&self.cudnn.call, self.arrays);
        // SAFETY: each is destroyed once.
        let destroyed = unsafe {
            [
                (call.cudnnDestroyTensorDescriptor)(x),
                (call.cudnnDestroyFilterDescriptor)(w),
                (call.cudnnDestroyTensorDescriptor)(y),
                (call.cudnnDestroyConvolutionDescriptor)(self.how),
            ]
        };
        assert_eq!(destroyed, [0; 4]);
    }
}

/// The arguments of a call: x, w and y on the device, and where the algorithm may work.
#[derive(Clone, Copy)]
pub struct Run {
    pub arrays: [u64; 3],
    pub algorithm: i32,
    pub workspace: (u64, usize),
    pub alpha: f32,
    pub beta: f32,
}

impl Run {
    /// Numbers in all three arrays, and a workspace that is large enough for the small cases.
    pub fn of(cudnn: &Cudnn, case: &Case) -> Self {
        let [x, w, y] = noise(case).map(|values| uploaded(&cudnn.stream, &case.of.encode(&values)));
        let workspace = (alloc(1 << 16), 1 << 16);
        Self { arrays: [x, w, y], algorithm: 1, workspace, alpha: 1.0, beta: 0.0 }
    }
}

pub fn noise(case: &Case) -> [Vec<f32>; 3] {
    let values = |size, seed| case.of.noise(count(size), seed);
    [values(case.x, 1), values(case.w, 2), values(case.y(), 3)]
}

pub fn result_of(cudnn: &Cudnn, case: &Case, direction: Direction, run: &Run) -> Vec<f32> {
    let [.., size] = direction.roles([case.x, case.w, case.y()]);
    let [.., address] = direction.roles(run.arrays);
    case.of.decode(&download::<u8>(&cudnn.stream, address, count(size) * case.of.bytes()))
}

pub const SUCCESS: &str = "CUDNN_STATUS_SUCCESS";
pub const DIRECTIONS: [Direction; 3] = [Forward, Data, Filter];
