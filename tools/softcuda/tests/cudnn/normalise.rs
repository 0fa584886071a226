//! One batch normalisation through the stand-in's functions, and the same in f64.

use std::ptr;

use crate::common::numbers::Type;
use crate::common::stand_ins::{alloc, download, library, uploaded};
use crate::layer::{Cudnn, Handle, count, nhwc};

library! { Functions in "libcudnn.so.9":
    fn cudnnDeriveBNTensorDescriptor(Handle, Handle, i32) -> i32;
    fn cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
        Handle, i32, i32, Handle, Handle, Handle, Handle, Handle, *mut usize
    ) -> i32;
    fn cudnnGetBatchNormalizationBackwardExWorkspaceSize(
        Handle, i32, i32, Handle, Handle, Handle, Handle, Handle, Handle, Handle, *mut usize
    ) -> i32;
    fn cudnnGetBatchNormalizationTrainingExReserveSpaceSize(Handle, i32, i32, Handle, Handle, *mut usize) -> i32;
    fn cudnnBatchNormalizationForwardTrainingEx(
        Handle, i32, i32, *const f32, *const f32, Handle, u64, Handle, u64, Handle, u64, Handle, u64, u64, f64, u64,
        u64, f64, u64, u64, Handle, u64, usize, u64, usize
    ) -> i32;
    fn cudnnBatchNormalizationBackwardEx(
        Handle, i32, i32, *const f32, *const f32, *const f32, *const f32, Handle, u64, Handle, u64, Handle, u64,
        Handle, u64, Handle, u64, Handle, u64, u64, u64, u64, f64, u64, u64, Handle, u64, usize, u64, usize
    ) -> i32;
    fn cudnnBatchNormalizationForwardInference(
        Handle, i32, *const f32, *const f32, Handle, u64, Handle, u64, Handle, u64, u64, u64, u64, f64
    ) -> i32;
}

pub const SPATIAL: i32 = 1;
pub const PERSISTENT: i32 = 2;
pub const EPSILON: f64 = 1e-5;
pub const MOMENTUM: f64 = 0.1;

/// The sizes N, C, H, W of the tests.
pub const SIZE: [i32; 4] = [2, 8, 3, 5];

/// The descriptors of a batch normalisation.
pub struct Normaliser<'a> {
    pub cudnn: &'a Cudnn,
    pub call: Functions,
    pub of: Type,
    pub x: Handle,
    pub parameters: Handle,
    pub mode: i32,
    pub ops: i32,
}

/// The arrays of all calls, in device memory, and their numbers.
#[derive(Clone, Copy)]
pub struct Arrays {
    pub x: u64,
    pub y: u64,
    pub dy: u64,
    pub dx: u64,
    /// Gamma, beta, and the gradients of both.
    pub parameters: [u64; 4],
    /// Running mean and variance, saved mean and inverse deviation.
    pub statistics: [u64; 4],
    pub workspace: (u64, usize),
    pub reserve: (u64, usize),
    pub factors: [f32; 2],
    pub of_parameters: [f32; 2],
    pub epsilon: f64,
}

impl<'a> Normaliser<'a> {
    pub fn new(cudnn: &'a Cudnn, of: Type, mode: i32) -> Self {
        Self::with_strides(cudnn, of, mode, nhwc(SIZE))
    }

    pub fn with_strides(cudnn: &'a Cudnn, of: Type, mode: i32, strides: [i32; 4]) -> Self {
        let (null, call, ops) = (ptr::null_mut(), Functions::load(), 0);
        let mut normaliser = Self { cudnn, call, of, x: null, parameters: null, mode, ops };
        normaliser.x = described(cudnn, of, SIZE, strides);
        // SAFETY: a place for the descriptor, then two descriptors.
        unsafe {
            assert_eq!((cudnn.call.cudnnCreateTensorDescriptor)(&raw mut normaliser.parameters), 0);
            let (parameters, x) = (normaliser.parameters, normaliser.x);
            assert_eq!((normaliser.call.cudnnDeriveBNTensorDescriptor)(parameters, x, mode), 0);
        }
        normaliser
    }

    /// The sizes of the forward pass's workspace, of the backward pass's, and of the reserve space.
    pub fn sizes(&self) -> Result<[usize; 3], String> {
        let ([mut forward, mut backward, mut reserve], none) = ([0; 3], ptr::null_mut());
        let (handle, mode, ops, x, of) = (self.cudnn.handle, self.mode, self.ops, self.x, self.parameters);
        // SAFETY: descriptors, and places for the answers.
        let statuses = unsafe {
            [
                (self.call.cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize)(
                    handle,
                    mode,
                    ops,
                    x,
                    none,
                    x,
                    of,
                    none,
                    &raw mut forward,
                ),
                (self.call.cudnnGetBatchNormalizationBackwardExWorkspaceSize)(
                    handle,
                    mode,
                    ops,
                    x,
                    none,
                    x,
                    none,
                    x,
                    of,
                    none,
                    &raw mut backward,
                ),
                (self.call.cudnnGetBatchNormalizationTrainingExReserveSpaceSize)(
                    handle,
                    mode,
                    ops,
                    none,
                    x,
                    &raw mut reserve,
                ),
            ]
        };
        match statuses.into_iter().find(|&status| status != 0) {
            Some(status) => Err(self.cudnn.status(status)),
            None => Ok([forward, backward, reserve]),
        }
    }

    /// Numbers in all arrays that are read, and large spaces.
    pub fn arrays(&self) -> Arrays {
        let stream = &self.cudnn.stream;
        let data = |seed| uploaded(stream, &self.of.encode(&self.of.noise(count(SIZE), seed)));
        let of_channels = |seed, shift: f32| {
            let values: Vec<f32> =
                Type::F32.noise(SIZE[1] as usize, seed).iter().map(|v| v + shift).collect();
            uploaded(stream, &values)
        };
        Arrays {
            x: data(1),
            y: data(2),
            dy: data(3),
            dx: data(4),
            parameters: [of_channels(5, 2.0), of_channels(6, 0.0), of_channels(7, 0.0), of_channels(8, 0.0)],
            statistics: [of_channels(9, 0.0), of_channels(10, 2.0), alloc(32), alloc(32)],
            workspace: (alloc(1 << 14), 1 << 14),
            reserve: (alloc(1 << 10), 1 << 10),
            factors: [1.0, 0.0],
            of_parameters: [1.0, 0.0],
            epsilon: EPSILON,
        }
    }

    pub fn forward(&self, arrays: &Arrays) -> String {
        let Arrays { x, y, parameters, statistics, workspace, reserve, ref factors, epsilon, .. } = *arrays;
        let none = ptr::null_mut();
        // SAFETY: descriptors and factors of this side; what is wrong with the rest is refused.
        let status = unsafe {
            (self.call.cudnnBatchNormalizationForwardTrainingEx)(
                self.cudnn.handle,
                self.mode,
                self.ops,
                &raw const factors[0],
                &raw const factors[1],
                self.x,
                x,
                none,
                0,
                self.x,
                y,
                self.parameters,
                parameters[0],
                parameters[1],
                MOMENTUM,
                statistics[0],
                statistics[1],
                epsilon,
                statistics[2],
                statistics[3],
                none,
                workspace.0,
                workspace.1,
                reserve.0,
                reserve.1,
            )
        };
        self.cudnn.status(status)
    }

    pub fn backward(&self, arrays: &Arrays) -> String {
        let Arrays { x, dy, dx, parameters, statistics, workspace, reserve, epsilon, .. } = *arrays;
        let none = ptr::null_mut();
        // SAFETY: as above.
        let status = unsafe {
            (self.call.cudnnBatchNormalizationBackwardEx)(
                self.cudnn.handle,
                self.mode,
                self.ops,
                &raw const arrays.factors[0],
                &raw const arrays.factors[1],
                &raw const arrays.of_parameters[0],
                &raw const arrays.of_parameters[1],
                self.x,
                x,
                none,
                0,
                self.x,
                dy,
                none,
                0,
                self.x,
                dx,
                self.parameters,
                parameters[0],
                0,
                parameters[2],
                parameters[3],
                epsilon,
                statistics[2],
                statistics[3],
                none,
                workspace.0,
                workspace.1,
                reserve.0,
                reserve.1,
            )
        };
        self.cudnn.status(status)
    }

    pub fn inference(&self, arrays: &Arrays) -> String {
        let Arrays { x, y, parameters, statistics, epsilon, .. } = *arrays;
        // SAFETY: as above.
        let status = unsafe {
            (self.call.cudnnBatchNormalizationForwardInference)(
                self.cudnn.handle,
                self.mode,
                &raw const arrays.factors[0],
                &raw const arrays.factors[1],
                self.x,
                x,
                self.x,
                y,
                self.parameters,
                parameters[0],
                parameters[1],
                statistics[0],
                statistics[1],
                epsilon,
            )
        };
        self.cudnn.status(status)
    }

    /// An array of x's sizes.
    pub fn data(&self, address: u64) -> Vec<f32> {
        self.of.decode(&download::<u8>(&self.cudnn.stream, address, count(SIZE) * self.of.bytes()))
    }

    /// An array with a value for each channel.
    pub fn channels(&self, address: u64) -> Vec<f32> {
        download(&self.cudnn.stream, address, SIZE[1] as usize)
    }
}

impl Drop for Normaliser<'_> {
    fn drop(&mut self) {
        for descriptor in [self.x, self.parameters] {
            // SAFETY: each is destroyed once.
            assert_eq!(unsafe { (self.cudnn.call.cudnnDestroyTensorDescriptor)(descriptor) }, 0);
        }
    }
}

/// A descriptor of an array.
pub fn described(
    cudnn: &Cudnn,
    of: Type,
    [n, c, h, w]: [i32; 4],
    [n_step, c_step, h_step, w_step]: [i32; 4],
) -> Handle {
    let (mut made, of) = (ptr::null_mut(), if of == Type::F32 { 0 } else { 9 });
    // SAFETY: a place for the descriptor, then the descriptor.
    unsafe {
        assert_eq!((cudnn.call.cudnnCreateTensorDescriptor)(&raw mut made), 0);
        let set = cudnn.call.cudnnSetTensor4dDescriptorEx;
        assert_eq!(set(made, of, n, c, h, w, n_step, c_step, h_step, w_step), 0);
    }
    made
}

/// The values of one channel after another, of an array in the order N, H, W, C.
pub fn columns(values: &[f32]) -> Vec<Vec<f64>> {
    let c = SIZE[1] as usize;
    (0..c).map(|channel| values.iter().skip(channel).step_by(c).map(|&v| f64::from(v)).collect()).collect()
}

/// The inverse of [`columns`].
pub fn rows(columns: &[Vec<f64>]) -> Vec<f64> {
    (0..columns[0].len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect()
}

/// Mean, biased and unbiased variance.
pub fn moments(values: &[f64]) -> [f64; 3] {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    [mean, squares / n, squares / (n - 1.0)]
}
