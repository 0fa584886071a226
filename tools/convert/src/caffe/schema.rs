//! Fields of `caffe.proto` that are read from a prototxt: name, number, type. The numbers are those of the public
//! `caffe.proto`; fields that are not here, of which forks of Caffe have many, are skipped.

use Kind::{Choice, Flag, Integer, LayerType, Message, Real, Text, Whole};

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// Name in a prototxt.
    pub name: &'static str,
    /// Number in the binary format.
    pub number: u32,
    /// Type.
    pub kind: Kind,
    /// True if the field may occur several times.
    pub repeated: bool,
}

/// The type of a field.
#[derive(Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// An unsigned integer.
    Whole,
    /// A signed integer.
    Integer,
    /// A float.
    Real,
    /// A bool.
    Flag,
    /// An enum: names and numbers.
    Choice(&'static [(&'static str, u64)]),
    /// The enum of [`super::v1`].
    LayerType,
    /// A message.
    Message(&'static [Field]),
}

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: false }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, repeated: true }
}

/// NetParameter.
pub const NET: &[Field] = &[
    one("name", 1, Text),
    many("layers", 2, Message(V1_LAYER)),
    many("input", 3, Text),
    many("input_dim", 4, Whole),
    many("input_shape", 8, Message(SHAPE)),
    many("layer", 100, Message(LAYER)),
];

/// Phase.
const PHASE: Kind = Choice(&[("TRAIN", 0), ("TEST", 1)]);

/// LayerParameter.
const LAYER: &[Field] = &[
    one("name", 1, Text),
    one("type", 2, Text),
    many("bottom", 3, Text),
    many("top", 4, Text),
    many("include", 8, Message(RULE)),
    many("exclude", 9, Message(RULE)),
    one("phase", 10, PHASE),
    one("transform_param", 100, Message(TRANSFORMATION)),
    one("convolution_param", 106, Message(CONVOLUTION)),
    one("data_param", 107, Message(OLDER_DATA)),
    one("eltwise_param", 110, Message(ELTWISE)),
    one("image_data_param", 115, Message(OLDER_DATA)),
    one("inner_product_param", 117, Message(INNER_PRODUCT)),
    one("memory_data_param", 119, Message(MEMORY_DATA)),
    one("pooling_param", 121, Message(POOLING)),
    one("relu_param", 123, Message(RELU)),
    one("window_data_param", 129, Message(OLDER_DATA)),
    one("reduction_param", 136, Message(REDUCTION)),
    one("batch_norm_param", 139, Message(BATCH_NORM)),
    one("scale_param", 142, Message(SCALE)),
    one("input_param", 143, Message(INPUT)),
];

/// V1LayerParameter.
const V1_LAYER: &[Field] = &[
    many("bottom", 2, Text),
    many("top", 3, Text),
    one("name", 4, Text),
    one("type", 5, LayerType),
    one("convolution_param", 10, Message(CONVOLUTION)),
    one("data_param", 11, Message(OLDER_DATA)),
    one("image_data_param", 15, Message(OLDER_DATA)),
    one("inner_product_param", 17, Message(INNER_PRODUCT)),
    one("pooling_param", 19, Message(POOLING)),
    one("window_data_param", 20, Message(OLDER_DATA)),
    one("memory_data_param", 22, Message(MEMORY_DATA)),
    one("eltwise_param", 24, Message(ELTWISE)),
    one("relu_param", 30, Message(RELU)),
    many("include", 32, Message(RULE)),
    many("exclude", 33, Message(RULE)),
    one("transform_param", 36, Message(TRANSFORMATION)),
];

/// BlobShape.
const SHAPE: &[Field] = &[many("dim", 1, Whole)];

/// InputParameter.
const INPUT: &[Field] = &[many("shape", 1, Message(SHAPE))];

/// MemoryDataParameter.
const MEMORY_DATA: &[Field] = &[one("height", 3, Whole), one("width", 4, Whole)];

/// NetStateRule.
const RULE: &[Field] = &[
    one("phase", 1, PHASE),
    one("min_level", 2, Integer),
    one("max_level", 3, Integer),
    many("stage", 4, Text),
    many("not_stage", 5, Text),
];

/// TransformationParameter.
const TRANSFORMATION: &[Field] = &[
    one("scale", 1, Real),
    one("crop_size", 3, Whole),
    one("mean_file", 4, Text),
    many("mean_value", 5, Real),
    one("force_gray", 7, Flag),
];

/// DataParameter, ImageDataParameter and WindowDataParameter, as far as they state pixels.
const OLDER_DATA: &[Field] = &[one("scale", 2, Real), one("mean_file", 3, Text), one("crop_size", 5, Whole)];

/// ConvolutionParameter.
const CONVOLUTION: &[Field] = &[
    one("num_output", 1, Whole),
    one("bias_term", 2, Flag),
    many("pad", 3, Whole),
    many("kernel_size", 4, Whole),
    one("group", 5, Whole),
    many("stride", 6, Whole),
    one("pad_h", 9, Whole),
    one("pad_w", 10, Whole),
    one("kernel_h", 11, Whole),
    one("kernel_w", 12, Whole),
    one("stride_h", 13, Whole),
    one("stride_w", 14, Whole),
    one("axis", 16, Integer),
    many("dilation", 18, Whole),
];

/// PoolingParameter.
const POOLING: &[Field] = &[
    one("pool", 1, Choice(&[("MAX", 0), ("AVE", 1), ("STOCHASTIC", 2)])),
    one("kernel_size", 2, Whole),
    one("stride", 3, Whole),
    one("pad", 4, Whole),
    one("kernel_h", 5, Whole),
    one("kernel_w", 6, Whole),
    one("stride_h", 7, Whole),
    one("stride_w", 8, Whole),
    one("pad_h", 9, Whole),
    one("pad_w", 10, Whole),
    one("global_pooling", 12, Flag),
    one("round_mode", 13, Choice(&[("CEIL", 0), ("FLOOR", 1)])),
    one("ceil_mode", 1013, Flag),
];

/// EltwiseParameter.
const ELTWISE: &[Field] =
    &[one("operation", 1, Choice(&[("PROD", 0), ("SUM", 1), ("MAX", 2)])), many("coeff", 2, Real)];

/// InnerProductParameter.
const INNER_PRODUCT: &[Field] = &[one("transpose", 6, Flag)];

/// ReLUParameter.
const RELU: &[Field] = &[one("negative_slope", 1, Real)];

/// BatchNormParameter.
const BATCH_NORM: &[Field] = &[one("use_global_stats", 1, Flag), one("eps", 3, Real)];

/// ScaleParameter.
const SCALE: &[Field] = &[one("axis", 1, Integer), one("num_axes", 2, Integer), one("bias_term", 4, Flag)];

/// ReductionParameter.
const REDUCTION: &[Field] = &[
    one("operation", 1, Choice(&[("SUM", 1), ("ASUM", 2), ("SUMSQ", 3), ("MEAN", 4)])),
    one("axis", 2, Integer),
    one("coeff", 3, Real),
];
