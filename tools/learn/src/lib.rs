//! The exercises of bcreid's book (docs/book): folders for the reader, and graders for the answers.
//!
//! In reading order:
//!
//! 1. [`exercise`]: an exercise is a folder of `tools/learn/exercises` with a hole, a solution, wrong answers and a
//!    grader; its title and its task are on the page of its chapter.
//! 2. [`checks`]: what a grader is made of.
//! 3. [`grade`]: runs a grader in a process of its own, with a limit of time, and reads what it found. `rust` compiles
//!    an answer in Rust together with its grader; the graders of other answers are modules of this crate (`graders`).
//! 4. [`progress`]: what the reader has begun and passed.
//! 5. [`cli`]: the command line.
#![warn(missing_docs)]

pub mod checks;
mod child;
pub mod cli;
pub mod exercise;
mod gpu;
pub mod grade;
mod graders;
mod lines;
pub mod progress;
pub mod repository;
mod rust;
