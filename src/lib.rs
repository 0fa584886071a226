//! Person re-identification with the batch-contrastive loss, on a tensor engine written from scratch.
//!
//! # Reading order
//!
//! Follow one training step from the command line to the arithmetic and back:
//!
//! 1. [`cli`]: one file a subcommand, each its arguments and one call; [`demo`] strings all of them together. Results go to
//!    standard output, what is said beside them through [`console`].
//! 2. [`config`]: every hyper-parameter once, with its unit, default and source.
//! 3. [`data`]: image files become batches of normalised NHWC pixels.
//! 4. [`train`]: the step, the solver's loop around it, checkpoints and the log.
//! 5. [`model`]: ResNet and the two-branch head, a list of calls into [`ops`].
//! 6. [`ops`]: one file an operation: maths, forward, backward, the CPU's loops and the launches on a GPU.
//! 7. [`tensor`]: what the operations work on: shape, dtype and buffer, the tape, the parameters.
//! 8. [`device`]: where buffers live, who multiplies matrices, and how a GPU is driven.
//! 9. [`eval`]: features, distances, CMC and mAP, re-ranking.
//! 10. [`report`]: figures of runs, and one page that compares them.
//! 11. [`study`]: several runs that answer one question: the paper's tables, the choice of lambda.
//! 12. [`weights`]: tensors on disk, through [`files`]: read within bounds, written whole or not at all.
//! 13. [`export`]: what other programs read.
//! 14. [`mod@bench`]: how long all this takes.
//!
//! # The life of one step
//!
//! [`data`] hands over a batch `[m, H, W, 3]` and `m` labels. The model's forward pass calls operations
//! with a [`tensor::Tape`]; each operation computes its value and leaves on the tape what its backward
//! needs. The two losses end on the same tape. [`tensor::Tape::backward`] walks it once from the end and
//! hands every operation a gradient *sink* for each of its inputs: the first writer overwrites, later
//! writers add. [`ops::center_step`] then moves the class centers and [`ops::sgd`] the weights.
//!
//! On a GPU the same function runs a few times, until it finds all memory in the pool, is recorded ([`train::stepper`])
//! and from then on replayed: what changes from step to step ([`tensor::StepValues`]) lies in the GPU's memory, and
//! nothing in a step waits for the host.
#![warn(missing_docs)]

pub mod autograd;
pub mod bench;
pub mod cli;
pub mod config;
pub mod console;
pub mod data;
pub mod demo;
pub mod device;
pub mod element;
pub mod error;
pub mod eval;
pub mod export;
pub mod files;
pub mod model;
pub mod ops;
pub mod report;
pub mod run;
pub mod study;
pub mod tensor;
pub mod train;
pub mod weights;

pub use error::{Error, Result};
