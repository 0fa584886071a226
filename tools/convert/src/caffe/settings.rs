//! Settings of a layer, beside the weights. Field numbers are those of the public
//! `caffe.proto`.

use super::wire::Fault;
use prost::bytes::Bytes;

/// Largest accepted size of a settings message in bytes; Caffe's are below a hundred bytes.
const MAX_SETTINGS: usize = 1024;

/// Decodes a message of settings, called `what`.
pub fn decode<M: prost::Message + Default>(what: &str, bytes: Bytes) -> Result<M, Fault> {
    if bytes.len() > MAX_SETTINGS {
        return Err(format!("its {what} takes {} bytes; at most {MAX_SETTINGS} are accepted", bytes.len()));
    }
    M::decode(bytes).map_err(|_| format!("its {what} cannot be read"))
}

/// ConvolutionParameter. One value of a list stands for both axes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Convolution {
    #[prost(uint64, optional, tag = "1")]
    num_output: Option<u64>,
    #[prost(bool, optional, tag = "2")]
    bias_term: Option<bool>,
    #[prost(uint64, repeated, tag = "3")]
    pad: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    kernel_size: Vec<u64>,
    #[prost(uint64, optional, tag = "5")]
    group: Option<u64>,
    #[prost(uint64, repeated, tag = "6")]
    stride: Vec<u64>,
    #[prost(uint64, optional, tag = "9")]
    pad_h: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    pad_w: Option<u64>,
    #[prost(uint64, optional, tag = "11")]
    kernel_h: Option<u64>,
    #[prost(uint64, optional, tag = "12")]
    kernel_w: Option<u64>,
    #[prost(uint64, optional, tag = "13")]
    stride_h: Option<u64>,
    #[prost(uint64, optional, tag = "14")]
    stride_w: Option<u64>,
    #[prost(int64, optional, tag = "16")]
    axis: Option<i64>,
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

    /// Number of groups of channels.
    pub fn groups(&self) -> u64 {
        self.group.unwrap_or(1)
    }

    /// Rows, columns; 0 where it is not stated.
    pub fn kernel_hw(&self) -> [u64; 2] {
        both(&self.kernel_size, [self.kernel_h, self.kernel_w], 0)
    }

    /// Description of a setting that contradicts weights of this shape or the presence of a bias, or that the engine
    /// does not support. `bias_term` is true unless stated, as in Caffe.
    pub fn contradicts(&self, shape: &[usize], has_bias: bool) -> Option<String> {
        let &[outputs, _, rows, columns] = shape else { return None };
        let kernel = self.kernel_hw();
        let lists = [("kernel_size", &self.kernel_size), ("stride", &self.stride), ("pad", &self.pad)];
        let own =
            [self.kernel_h.or(self.kernel_w), self.stride_h.or(self.stride_w), self.pad_h.or(self.pad_w)];
        let more = ("dilation", &self.dilation);
        if let Some(stated) = self.num_output.filter(|&stated| stated != outputs as u64) {
            Some(format!("{stated} outputs"))
        } else if kernel != [0; 2] && kernel != [rows as u64, columns as u64] {
            Some(format!("a kernel of {kernel:?}"))
        } else if self.bias_term.unwrap_or(true) != has_bias {
            Some(match self.bias_term {
                Some(false) => "no bias (bias_term: false)".into(),
                Some(true) => "a bias (bias_term: true)".into(),
                None => "a bias (bias_term, which is true unless stated)".into(),
            })
        } else if let Some(axis) = self.axis.filter(|&axis| !is_channels(axis)) {
            Some(format!("axis {axis}, where channels are axis 1"))
        } else if let Some((name, list)) = lists.into_iter().chain([more]).find(|(_, list)| list.len() > 2) {
            Some(format!("{name} for {} axes, where a map has two", list.len()))
        } else {
            let twice = lists.iter().zip(own).find(|((_, list), own)| !list.is_empty() && own.is_some());
            twice.map(|((name, _), _)| {
                format!("{name} both for all axes and for one; Caffe allows one of them")
            })
        }
    }
}

/// True if an axis of a batch of maps, counted from the front or from the back, is the channel axis.
fn is_channels(axis: i64) -> bool {
    matches!(axis, 1 | -3)
}

/// ScaleParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Scale {
    #[prost(int64, optional, tag = "1")]
    axis: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    num_axes: Option<i64>,
    #[prost(bool, optional, tag = "4")]
    bias_term: Option<bool>,
}

impl Scale {
    /// Description of a setting that contradicts this number of blobs, or with which the layer does not scale channels.
    pub fn contradicts(&self, blobs: usize) -> Option<String> {
        let has_beta = self.bias_term.unwrap_or(false);
        if let Some(axis) = self.axis.filter(|&axis| !is_channels(axis)) {
            Some(format!("axis {axis}, where channels are axis 1"))
        } else if let Some(axes) = self.num_axes.filter(|&axes| axes != 1) {
            Some(format!("num_axes {axes}, where a ResNet scales the channels alone"))
        } else if blobs != 1 + usize::from(has_beta) {
            Some(match self.bias_term {
                Some(true) => "gamma and beta (bias_term: true)".into(),
                Some(false) => "gamma alone (bias_term: false)".into(),
                None => "gamma alone (bias_term, which is false unless stated)".into(),
            })
        } else {
            None
        }
    }
}

/// ReductionParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reduction {
    #[prost(uint64, optional, tag = "1")]
    operation: Option<u64>,
    #[prost(int64, optional, tag = "2")]
    axis: Option<i64>,
    #[prost(float, optional, tag = "3")]
    coeff: Option<f32>,
}

impl Reduction {
    /// Reason why the layer is not the average over the map, i.e. over all axes after the channels.
    pub fn misfit(&self) -> Option<String> {
        const OPERATIONS: [&str; 5] = ["nothing", "SUM", "ASUM", "SUMSQ", "MEAN"];
        let operation = self.operation.unwrap_or(1);
        let (axis, coeff) = (self.axis.unwrap_or(0), self.coeff.unwrap_or(1.0));
        if operation != 4 {
            let name = OPERATIONS.get(operation as usize).map_or("an unknown operation", |name| name);
            Some(format!("takes {name}"))
        } else if !matches!(axis, 2 | -2) {
            Some(format!("reduces from axis {axis} on"))
        } else if coeff != 1.0 {
            Some(format!("multiplies its mean by {coeff}"))
        } else {
            None
        }
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
    #[prost(bool, optional, tag = "12")]
    global_pooling: Option<bool>,
    #[prost(uint64, optional, tag = "13")]
    round_mode: Option<u64>,
    /// Rounding mode of some forks. Their files use the number of `round_mode`; only prototxts distinguish the two
    /// fields.
    #[prost(bool, optional, tag = "1013")]
    ceil_mode: Option<bool>,
}

impl Pooling {
    /// Pooling method, as in a prototxt.
    pub fn method(&self) -> String {
        match self.pool.unwrap_or(0) {
            0 => "MAX".into(),
            1 => "AVE".into(),
            2 => "STOCHASTIC".into(),
            other => format!("method {other}"),
        }
    }

    /// True for max pooling.
    pub fn is_max(&self) -> bool {
        self.pool.unwrap_or(0) == 0
    }

    /// True for average pooling.
    pub fn is_average(&self) -> bool {
        self.pool == Some(1)
    }

    /// True if the kernel is the whole map.
    pub fn is_global(&self) -> bool {
        self.global_pooling == Some(true)
    }

    /// True if the output size is rounded up, which is Caffe's default.
    pub fn is_ceil(&self) -> bool {
        self.ceil_mode.unwrap_or(self.round_mode.unwrap_or(0) == 0)
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

/// A setting for both axes: from the list, else from the fields of the axes, else the default.
fn both(list: &[u64], own: [Option<u64>; 2], default: u64) -> [u64; 2] {
    match list {
        [] => own.map(|value| value.unwrap_or(default)),
        [value] => [*value; 2],
        [rows, columns, ..] => [*rows, *columns],
    }
}

/// BlobShape: sizes, slowest first.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dims {
    #[prost(uint64, repeated, tag = "1")]
    dim: Vec<u64>,
}

impl Dims {
    /// Rows and columns of a batch of images.
    pub fn map(&self) -> Option<[u64; 2]> {
        match self.dim[..] {
            [_, _, rows, columns] => Some([rows, columns]),
            _ => None,
        }
    }
}

/// InputParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Images {
    #[prost(message, repeated, tag = "1")]
    shape: Vec<Dims>,
}

impl Images {
    /// Rows and columns of the first of its blobs.
    pub fn map(&self) -> Option<[u64; 2]> {
        self.shape.first().and_then(Dims::map)
    }
}

/// MemoryDataParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MemoryData {
    /// Rows.
    #[prost(uint64, tag = "3")]
    pub height: u64,
    /// Columns.
    #[prost(uint64, tag = "4")]
    pub width: u64,
}

/// NetStateRule: condition for including a layer of a prototxt.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Rule {
    #[prost(uint64, optional, tag = "1")]
    phase: Option<u64>,
    #[prost(int64, optional, tag = "2")]
    min_level: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    max_level: Option<i64>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    stage: Vec<Vec<u8>>,
}

impl Rule {
    /// True if the rule holds for a net of phase TEST, level 0 and no stage, which computes features.
    pub fn holds_in_test(&self) -> bool {
        self.phase.is_none_or(|phase| phase == 1)
            && self.min_level.is_none_or(|least| least <= 0)
            && self.max_level.is_none_or(|most| most >= 0)
            && self.stage.is_empty()
    }
}

/// InnerProductParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct InnerProduct {
    /// True if the matrix is stored as [in, out].
    #[prost(bool, tag = "6")]
    pub transpose: bool,
}

/// EltwiseParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Eltwise {
    #[prost(uint64, optional, tag = "1")]
    operation: Option<u64>,
    #[prost(float, repeated, tag = "2")]
    coeff: Vec<f32>,
}

impl Eltwise {
    /// True for a sum of the inputs with factor 1, which is Caffe's default.
    pub fn is_plain_sum(&self) -> bool {
        self.operation.unwrap_or(1) == 1 && self.coeff.iter().all(|&factor| factor == 1.0)
    }
}

/// ReLUParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Relu {
    /// Factor for values below 0.
    #[prost(float, tag = "1")]
    pub negative_slope: f32,
}

/// BatchNormParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchNorm {
    /// True to use the running statistics in every phase; by default only in phase TEST.
    #[prost(bool, optional, tag = "1")]
    pub use_global_stats: Option<bool>,
    /// Epsilon added to the variance; 1e-5 by default.
    #[prost(float, optional, tag = "3")]
    pub eps: Option<f32>,
}
