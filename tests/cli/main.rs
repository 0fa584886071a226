//! Tests of the command line: whole pipelines, interruptions and crashes, wrong input.

mod bad_input;
mod bench;
mod doctor;
mod evaluation;
#[cfg(target_os = "linux")]
mod hostile;
#[cfg(target_os = "linux")]
mod limits;
mod pipeline;
mod provenance;
mod resume;
#[cfg(unix)]
mod signals;
mod studies;
mod support;
mod traps;
