//! The program as a person runs it: whole pipelines, stops and crashes, wrong input.

mod bad_input;
mod bench;
mod doctor;
mod evaluation;
mod pipeline;
mod resume;
mod studies;
mod support;
