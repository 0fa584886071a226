//! The small programs of the book (docs/book), one for each run that is no command of `bcreid`:
//!
//!     cargo run --release --example book -- memory
//!
//! A chapter shows the code of its program and the output, and tests/book.rs compares the output.

mod batchnorm;
mod bits;
mod convolution;
mod data;
mod evaluation;
mod fan_out;
mod gradient_check;
mod lab;
mod loss;
mod memory;
mod optimisers;
mod pooling;
mod relu_kernel;
mod resnet;
mod softmax;
mod streams;
mod swish;
mod threads;

// The lab of the kernels' tests, on the simulated GPU.
#[allow(dead_code)]
#[path = "../../tests/ops"]
mod ops {
    #[path = "../../examples/book/host.rs"]
    pub mod gpu;
    pub mod lab;
    pub use crate::gradient_check::checker as gradient_check;
}

use std::error::Error;
use std::process::ExitCode;

type Run = fn() -> Result<(), Box<dyn Error>>;

/// Name and program of each run, with its chapter.
const RUNS: &[(&str, Run, &str)] = &[
    ("relu-kernel", relu_kernel::run, "1: the CUDA kernel of the ReLU, run without a GPU"),
    ("memory", memory::run, "2: shape, element type and buffer of a tensor"),
    ("fan-out", fan_out::run, "4: a value that is used twice"),
    ("gradient-check", gradient_check::run, "5: planted errors, and what finds them"),
    ("step-size", gradient_check::step_sizes, "5: the error of a finite difference by its step"),
    ("softmax", softmax::run, "6: softmax and cross entropy of large logits"),
    ("convolution", convolution::run, "7: one convolution in five steps"),
    ("pooling", pooling::run, "8: windows of max pooling"),
    ("batchnorm", batchnorm::run, "8: batch normalisation, fused"),
    ("resnet", resnet::run, "9: the operations of a ResNet-50"),
    ("shortcuts", resnet::shortcuts, "9: gradients with and without shortcuts"),
    ("optimisers", optimisers::run, "10: the same gradients with each optimiser"),
    ("gradients", loss::gradients, "11: the two gradients of the batch-contrastive loss"),
    ("centers", loss::centers, "11: the two signs of the update of the centers"),
    ("collapse", loss::collapse, "11: features that the loss pulls into one point"),
    ("threads", threads::run, "12: threads, warps and barriers"),
    ("races", threads::races, "12: faults that the simulated GPU finds"),
    ("lab", lab::run, "13: counts and times of three kernels (book lab [DIR]: evidence files)"),
    ("swish", swish::run, "14: an operation of another crate, and wrong launches"),
    ("row-major", swish::row_major, "14: a row-major product by a column-major library"),
    ("pool", streams::pool, "15: a caching allocator over five steps"),
    ("timeline", streams::timeline, "15: a step in two streams"),
    ("bf16", bits::bf16, "16: numbers of 16 bits"),
    ("order", bits::order, "16: the order of sums, and random numbers without a state"),
    ("compare", bits::compare, "16: compares two files (book compare A B)"),
    ("draws", data::draws, "17: random views with and without a generator's state"),
    ("samplers", data::samplers, "17: the batches of each sampler"),
    ("resume", data::resume, "17: a loader that starts in the middle"),
    ("metrics", evaluation::metrics, "18: CMC and both average precisions, by hand and by the product"),
    ("rerank", evaluation::rerank, "18: a gallery before and after re-ranking"),
];

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let Some((_, run, _)) = RUNS.iter().find(|(own, ..)| *own == name) else {
        eprintln!("usage: book RUN\nruns, with their chapters:");
        RUNS.iter().for_each(|(name, _, what)| eprintln!("  {name:<16}{what}"));
        return ExitCode::FAILURE;
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("book: {error}");
            ExitCode::FAILURE
        }
    }
}
