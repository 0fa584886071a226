//! Tests of the command line: whole pipelines, interruptions and crashes, wrong input.

mod bad_input;
mod bench;
mod doctor;
mod evaluation;
mod limits;
mod pipeline;
mod resume;
mod studies;
mod support;
