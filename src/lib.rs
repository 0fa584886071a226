//! Person re-identification with the batch-contrastive loss, on a tensor engine written from scratch.
//!
//! # Layers
//!
//! A module uses those below it and none above; `tests/layers.rs` holds the order. To follow one training step, read
//! from the top down.
//!
//! | layer | module | content |
//! |---|---|---|
//! | program | [`cli`], [`command_help`], [`demo`] | one file for each subcommand: arguments, then one call into the library |
//! | studies and results | [`study`], [`export`], [`report`], [`mod@bench`] | several runs compared; files for other programs; figures and pages; timing |
//! | training | [`train`] | the step, the solver's loop, the observers of a run |
//! | evaluation | [`eval`] | features, distances, CMC and mAP, re-ranking |
//! | files of a run | [`run`] | layout, metrics, checkpoints, provenance |
//! | weights | [`weights`] | networks and features as safetensors files, checked; provenance |
//! | network | [`model`] | ResNet and the two-branch head: a list of calls into [`ops`] |
//! | settings | [`config`] | every hyper-parameter once, with unit, default and source |
//! | data | [`data`] | image files become batches of normalised NHWC pixels |
//! | optimisers | [`optim`] | SGD with momentum; each optimiser owns its state and names it for checkpoints |
//! | operations | [`ops`] | one file for each: mathematics, forward, backward, CPU loops, CUDA launches |
//! | differentiation | [`autograd`] | the tape, the gradient sinks, parameters |
//! | tensors | [`tensor`] | shape, element type and buffer; transfers; counter-based random numbers |
//! | devices | [`device`] | memory, threads, matrix products; the CUDA driver, cuDNN, cuBLAS, kernels |
//! | ranks | [`ranks`] | processes that train together: their places, and data between them through MPI |
//! | basics | [`element`], [`files`], [`console`], [`error`] | shapes and element types; bounded reads and atomic writes; messages; errors |
//!
//! # Features
//!
//! All are on by default. `default-features = false` leaves engine, method, data, training and evaluation.
//!
//! | feature | module | for |
//! |---|---|---|
//! | `report` | [`report`] | figures as SVG and PNG, the page that compares runs (plotters, resvg, askama) |
//! | `export` | [`export`] | ONNX, Arrow, NumPy and TensorBoard files (prost, polars-arrow-format) |
//! | `command-help` | [`command_help`] | completions and manual pages of a program (clap) |
//! | `cli` | [`cli`], [`demo`], [`study`] | the program `bcreid` (indicatif); turns on the other three |
//!
//! The modules of a feature exist only if it is on.
//!
//! # The life of one step
//!
//! m images, D features (2,048 for ResNet-50), K classes. On the CPU every stage runs on the calling thread and rayon's
//! threads, in host memory.
//!
//! | stage | function | result | memory on a GPU | thread on a GPU |
//! |---|---|---|---|---|
//! | decode and augment | [`data::Loader::batch`] | pixels `[m, H, W, 3]` (on a GPU with padded channels), labels `[m]` | device, assembled from decoded bytes that lie there | a kernel of the stream |
//! | values of the step | [`autograd::StepValues::set`] | step, learning rates, lambda: `[1]` each | device, sent from pinned memory | solver |
//! | network | [`model`]'s forward | pool5 `[m, D]`, and the features behind an embedding and a neck | pool of the step; each operation saves its inputs on the [`autograd::Tape`] | kernels, cuDNN |
//! | losses | [`ops::softmax_cross_entropy`], [`ops::batch_contrastive`], others with a weight | `[1]` each | pool of the step | kernels, cuBLAS |
//! | gradient | [`autograd::Tape::backward`] | one for each parameter, as large | flat arrays ([`autograd::Params`]); the first writer overwrites, later ones add ([`autograd::Sinks`]) | kernels, cuDNN (those of filters in a second stream), cuBLAS |
//! | centers | [`ops::center_step`] | centers `[K, D]`, moved | a buffer of the parameters | a kernel |
//! | weights | [`optim::Optimizer`] | parameters, moved | flat arrays, one for each section | a kernel for each section, in a second stream beside the backward pass |
//! | losses to the host | [`train::step_runner`] | 8 numbers and one for each other loss | pinned host memory | read some steps later by the solver |
//!
//! A GPU runs this function until a step finds all its memory in the pool. The next step is captured as a CUDA graph
//! ([`train::step_runner`]), and from then on the graph is replayed: all values that change between steps lie in device
//! memory, and no stage waits for the host.
#![warn(missing_docs)]

pub mod autograd;
pub mod bench;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "command-help")]
pub mod command_help;
pub mod config;
pub mod console;
pub mod data;
#[cfg(feature = "cli")]
pub mod demo;
pub mod device;
pub mod element;
pub mod error;
pub mod eval;
#[cfg(feature = "export")]
pub mod export;
pub mod files;
pub mod model;
pub mod ops;
pub mod optim;
pub mod ranks;
#[cfg(feature = "report")]
pub mod report;
pub mod run;
#[cfg(feature = "report")]
mod shell;
#[cfg(feature = "cli")]
pub mod study;
pub mod tensor;
pub mod train;
pub mod weights;

pub use error::{Error, Result};
