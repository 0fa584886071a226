//! The Protobuf messages of an event file that this program uses, with the names and tags of TensorBoard's
//! `event.proto`, `summary.proto`, `histogram.proto`, `tensor.proto` and `tensor_shape.proto`.

/// One record of an event file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Event {
    /// Time in seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// Training step.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// Content of the event.
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// Content of an event.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum What {
    /// Version of the file, `brain.Event:2`; the first event.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Values of a step.
    #[prost(message, tag = "5")]
    Summary(Summary),
    /// Start of a training session.
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// Start of a training session: readers discard earlier events of this step and later ones.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct SessionLog {
    /// Status of the session: [`SessionLog::START`].
    #[prost(int32, tag = "1")]
    pub status: i32,
}

impl SessionLog {
    /// Status of a session that starts.
    pub const START: i32 = 1;
}

/// Values of one step.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    /// Values, one for each tag.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// A tagged value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// Name of the curve; the part before a slash groups curves.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// Content of the value.
    #[prost(oneof = "Content", tags = "2, 4, 5, 8")]
    pub content: Option<Content>,
    /// Description for people; readers use the description of a tag's first value.
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<SummaryMetadata>,
}

/// Description of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SummaryMetadata {
    /// The part of TensorBoard that shows the value, for values that more than one can show.
    #[prost(message, optional, tag = "1")]
    pub plugin_data: Option<PluginData>,
    /// Markdown text shown beside the curve.
    #[prost(string, tag = "3")]
    pub summary_description: String,
    /// Class of the value: one of the constants below, or 0 for the values of older forms.
    #[prost(int32, tag = "4")]
    pub data_class: i32,
}

impl SummaryMetadata {
    /// The class of values that are numbers.
    pub const SCALAR: i32 = 1;
    /// The class of values that are tensors.
    pub const TENSOR: i32 = 2;
}

/// A part of TensorBoard.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PluginData {
    /// Its name: one of the constants below.
    #[prost(string, tag = "1")]
    pub plugin_name: String,
}

impl PluginData {
    /// The part that shows curves.
    pub const SCALARS: &str = "scalars";
    /// The part that shows texts.
    pub const TEXT: &str = "text";
}

/// Content of a value.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Content {
    /// A number.
    #[prost(float, tag = "2")]
    SimpleValue(f32),
    /// An image.
    #[prost(message, tag = "4")]
    Image(Image),
    /// A histogram.
    #[prost(message, tag = "5")]
    Histo(HistogramProto),
    /// A text.
    #[prost(message, tag = "8")]
    Tensor(TensorProto),
}

/// An image.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Image {
    /// Height in pixels.
    #[prost(int32, tag = "1")]
    pub height: i32,
    /// Width in pixels.
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// Number of channels: [`Image::RGB`].
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// Bytes of a PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded_image_string: Vec<u8>,
}

impl Image {
    /// Three channels: red, green, blue.
    pub const RGB: i32 = 3;
}

/// A histogram.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistogramProto {
    /// Smallest value.
    #[prost(double, tag = "1")]
    pub min: f64,
    /// Largest value.
    #[prost(double, tag = "2")]
    pub max: f64,
    /// Number of values.
    #[prost(double, tag = "3")]
    pub num: f64,
    /// Sum of the values.
    #[prost(double, tag = "4")]
    pub sum: f64,
    /// Sum of the squares of the values.
    #[prost(double, tag = "5")]
    pub sum_squares: f64,
    /// Upper edge of each bucket.
    #[prost(double, repeated, tag = "6")]
    pub bucket_limit: Vec<f64>,
    /// Number of values in each bucket.
    #[prost(double, repeated, tag = "7")]
    pub bucket: Vec<f64>,
}

/// A text.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorProto {
    /// Element type: [`TensorProto::STRING`].
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    /// Shape.
    #[prost(message, optional, tag = "2")]
    pub tensor_shape: Option<TensorShapeProto>,
    /// The one element, in UTF-8.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub string_val: Vec<Vec<u8>>,
}

impl TensorProto {
    /// Texts.
    pub const STRING: i32 = 7;
}

/// A shape: that of a scalar, which has no dimensions.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct TensorShapeProto {}
