//! The messages of an event file, as far as this program uses them: names and tags of TensorBoard's `event.proto`,
//! `summary.proto` and `histogram.proto`.

/// One record of an event file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// The training step.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// What it is about.
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// What an event is about.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum What {
    /// The first event of a file: `brain.Event:2`.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Values.
    #[prost(message, tag = "5")]
    Summary(Summary),
    /// Training starts or goes on.
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// Training starts: what a reader holds of this step and later ones is void.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct SessionLog {
    /// [`SessionLog::START`].
    #[prost(int32, tag = "1")]
    pub status: i32,
}

impl SessionLog {
    /// The status of a start.
    pub const START: i32 = 1;
}

/// Values of one step.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    /// One a tag.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// A value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// Its name; what stands before a slash groups it with others.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// What it is.
    #[prost(oneof = "Content", tags = "2, 4, 5")]
    pub content: Option<Content>,
    /// What a person should know of it; readers take that of a tag's first value.
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<SummaryMetadata>,
}

/// What a person should know of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SummaryMetadata {
    /// Shown beside the curve, as Markdown.
    #[prost(string, tag = "3")]
    pub summary_description: String,
}

/// What a value is.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Content {
    /// A number.
    #[prost(float, tag = "2")]
    SimpleValue(f32),
    /// A picture.
    #[prost(message, tag = "4")]
    Image(Image),
    /// A distribution.
    #[prost(message, tag = "5")]
    Histo(HistogramProto),
}

/// A picture.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Image {
    /// Rows.
    #[prost(int32, tag = "1")]
    pub height: i32,
    /// Columns.
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// How many channels it has: [`Image::RGB`].
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// A PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded_image_string: Vec<u8>,
}

impl Image {
    /// Red, green, blue.
    pub const RGB: i32 = 3;
}

/// Counted values.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistogramProto {
    /// The smallest.
    #[prost(double, tag = "1")]
    pub min: f64,
    /// The largest.
    #[prost(double, tag = "2")]
    pub max: f64,
    /// How many.
    #[prost(double, tag = "3")]
    pub num: f64,
    /// Their sum.
    #[prost(double, tag = "4")]
    pub sum: f64,
    /// The sum of their squares.
    #[prost(double, tag = "5")]
    pub sum_squares: f64,
    /// The upper end of each bucket.
    #[prost(double, repeated, tag = "6")]
    pub bucket_limit: Vec<f64>,
    /// How many values lie in each.
    #[prost(double, repeated, tag = "7")]
    pub bucket: Vec<f64>,
}
