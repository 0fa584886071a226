//! The settings of a layer: what the file says beside the weights. Field numbers are those of the public
//! `caffe.proto`.

use super::wire::Fault;
use prost::bytes::Bytes;

/// The longest message of settings that is believed; Caffe's are below a hundred bytes.
const MAX_SETTINGS: usize = 1024;

/// Decodes a message of settings, called `what`. They are small, so they are decoded whole.
pub fn decode<M: prost::Message + Default>(what: &str, bytes: Bytes) -> Result<M, Fault> {
    if bytes.len() > MAX_SETTINGS {
        return Err(format!("its {what} takes {} bytes; {MAX_SETTINGS} are believed", bytes.len()));
    }
    M::decode(bytes).map_err(|_| format!("its {what} cannot be read"))
}

/// ConvolutionParameter. One value of a list stands for both axes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Convolution {
    #[prost(uint64, repeated, tag = "3")]
    pad: Vec<u64>,
    #[prost(uint64, optional, tag = "5")]
    group: Option<u64>,
    #[prost(uint64, repeated, tag = "6")]
    stride: Vec<u64>,
    #[prost(uint64, optional, tag = "9")]
    pad_h: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    pad_w: Option<u64>,
    #[prost(uint64, optional, tag = "13")]
    stride_h: Option<u64>,
    #[prost(uint64, optional, tag = "14")]
    stride_w: Option<u64>,
    #[prost(uint64, repeated, tag = "18")]
    dilation: Vec<u64>,
}

impl Convolution {
    /// Rows, columns.
    pub fn stride_hw(&self) -> [u64; 2] {
        both(&self.stride, [self.stride_h, self.stride_w], 1)
    }

    /// Rows, columns.
    pub fn pad_hw(&self) -> [u64; 2] {
        both(&self.pad, [self.pad_h, self.pad_w], 0)
    }

    /// Rows, columns.
    pub fn dilation_hw(&self) -> [u64; 2] {
        both(&self.dilation, [None, None], 1)
    }

    /// Groups of channels.
    pub fn groups(&self) -> u64 {
        self.group.unwrap_or(1)
    }
}

/// PoolingParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pooling {
    #[prost(uint64, optional, tag = "1")]
    pool: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    kernel_size: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    stride: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    pad: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    kernel_h: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    kernel_w: Option<u64>,
    #[prost(uint64, optional, tag = "7")]
    stride_h: Option<u64>,
    #[prost(uint64, optional, tag = "8")]
    stride_w: Option<u64>,
    #[prost(uint64, optional, tag = "9")]
    pad_h: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    pad_w: Option<u64>,
    #[prost(uint64, optional, tag = "13")]
    round_mode: Option<u64>,
}

impl Pooling {
    /// Whether it takes the maximum.
    pub fn is_max(&self) -> bool {
        self.pool.unwrap_or(0) == 0
    }

    /// Whether the output size is rounded up, as Caffe does unless told otherwise.
    pub fn is_ceil(&self) -> bool {
        self.round_mode.unwrap_or(0) == 0
    }

    /// Rows, columns.
    pub fn kernel_hw(&self) -> [u64; 2] {
        both(self.kernel_size.as_slice(), [self.kernel_h, self.kernel_w], 0)
    }

    /// Rows, columns.
    pub fn stride_hw(&self) -> [u64; 2] {
        both(self.stride.as_slice(), [self.stride_h, self.stride_w], 1)
    }

    /// Rows, columns.
    pub fn pad_hw(&self) -> [u64; 2] {
        both(self.pad.as_slice(), [self.pad_h, self.pad_w], 0)
    }
}

/// A setting for both axes: the list's, else the axes' own, else the default.
fn both(list: &[u64], own: [Option<u64>; 2], default: u64) -> [u64; 2] {
    match list {
        [] => own.map(|value| value.unwrap_or(default)),
        [value] => [*value; 2],
        [rows, columns, ..] => [*rows, *columns],
    }
}

/// InnerProductParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InnerProduct {
    /// Whether the matrix is kept as [in, out].
    #[prost(bool, tag = "6")]
    pub transpose: bool,
}

/// BatchNormParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchNorm {
    /// What is added to the variance; 1e-5 unless the file says so.
    #[prost(float, optional, tag = "3")]
    pub eps: Option<f32>,
}
