//! The settings of a layer: what the file says beside the weights. Field numbers are those of the public
//! `caffe.proto`.

use super::wire::Fault;
use prost::bytes::Bytes;
use std::borrow::Cow;

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

    /// Rows, columns; 0 where it is not stated.
    pub fn kernel_hw(&self) -> [u64; 2] {
        both(&self.kernel_size, [self.kernel_h, self.kernel_w], 0)
    }

    /// In which setting it is not the convolution that has weights of that shape and perhaps a bias.
    pub fn contradicts(&self, shape: &[usize], has_bias: bool) -> Option<String> {
        let &[outputs, _, rows, columns] = shape else { return None };
        let kernel = self.kernel_hw();
        if self.num_output.is_some_and(|stated| stated != outputs as u64) {
            Some(format!("{} outputs", self.num_output.unwrap_or_default()))
        } else if kernel != [0; 2] && kernel != [rows as u64, columns as u64] {
            Some(format!("a kernel of {kernel:?}"))
        } else if self.bias_term == Some(false) && has_bias {
            Some("no bias".into())
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
}

impl Pooling {
    /// Whether it takes the maximum.
    pub fn is_max(&self) -> bool {
        self.pool.unwrap_or(0) == 0
    }

    /// Whether it takes the average.
    pub fn is_average(&self) -> bool {
        self.pool == Some(1)
    }

    /// Whether its kernel is the whole map.
    pub fn is_global(&self) -> bool {
        self.global_pooling == Some(true)
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

/// Sizes, slowest first: BlobShape.
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

/// NetStateRule: in which nets a layer of a prototxt is.
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
    /// Whether it holds for a net of phase TEST, level 0 and no stage, which is the one that gives features.
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
    /// Whether the matrix is kept as [in, out].
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
    /// Whether it adds what it reads, each with factor 1; Caffe does unless told otherwise.
    pub fn is_plain_sum(&self) -> bool {
        self.operation.unwrap_or(1) == 1 && self.coeff.iter().all(|&factor| factor == 1.0)
    }
}

/// ReLUParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Relu {
    /// What values below 0 are multiplied with.
    #[prost(float, tag = "1")]
    pub negative_slope: f32,
}

/// BatchNormParameter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchNorm {
    /// What is added to the variance; 1e-5 unless the file says so.
    #[prost(float, optional, tag = "3")]
    pub eps: Option<f32>,
}

/// TransformationParameter: what a data layer does to its images.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Transformation {
    #[prost(float, optional, tag = "1")]
    scale: Option<f32>,
    #[prost(uint64, tag = "3")]
    crop_size: u64,
    /// Bytes, for a path need not be UTF-8.
    #[prost(bytes = "vec", optional, tag = "4")]
    mean_file: Option<Vec<u8>>,
    #[prost(float, repeated, tag = "5")]
    mean_value: Vec<f32>,
}

impl Transformation {
    /// Reads the message and checks that its numbers can be the engine's.
    pub fn parse(bytes: Bytes) -> Result<Self, Fault> {
        let this: Self = decode("transform_param", bytes)?;
        let (scale, means) = (this.factor(), &this.mean_value);
        let what = if !(scale.is_finite() && scale > 0.0 && (1.0 / scale).is_finite()) {
            format!("has scale {scale}; a positive number is needed")
        } else if !matches!(means.len(), 0 | 1 | 3) {
            format!("has {} mean values; 1 or 3 are needed", means.len())
        } else if means.iter().any(|mean| !mean.is_finite()) {
            "has mean values that are not finite".into()
        } else if !means.is_empty() && this.mean_file.is_some() {
            "has both mean_file and mean_value; Caffe allows one of them".into()
        } else {
            return Ok(this);
        };
        Err(format!("its transform_param {what}"))
    }

    /// Whether it says anything of a pixel's value.
    pub fn states_pixels(&self) -> bool {
        self.scale.is_some() || self.mean_file.is_some() || !self.mean_value.is_empty()
    }

    /// Whether it says the same of a pixel's value.
    pub fn states_the_same(&self, other: &Self) -> bool {
        let stated = |this: &Self| (this.factor(), this.mean_file.clone(), this.means());
        stated(self) == stated(other)
    }

    /// The size to which images are cut, if they are.
    pub fn crop(&self) -> Option<u64> {
        Some(self.crop_size).filter(|&size| size > 0)
    }

    /// What pixels are multiplied with when the mean is subtracted.
    pub fn factor(&self) -> f32 {
        self.scale.unwrap_or(1.0)
    }

    /// The name of a mean image.
    pub fn mean_image(&self) -> Option<Cow<'_, str>> {
        self.mean_file.as_deref().map(String::from_utf8_lossy)
    }

    /// What is subtracted from each channel, 0 unless stated; in the order of the file's channels.
    pub fn means(&self) -> [f32; 3] {
        match self.mean_value[..] {
            [blue, green, red] => [blue, green, red],
            [all] => [all; 3],
            _ => [0.0; 3],
        }
    }
}
