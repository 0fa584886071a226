//! Tests of the command line: whole pipelines, interruptions and crashes, wrong input.

mod augmentation;
mod bad_input;
mod bench;
mod doctor;
#[cfg(target_os = "linux")]
mod drawings;
mod embedding;
mod evaluation;
mod groups;
mod habits;
#[cfg(target_os = "linux")]
mod hostile;
mod kept_inputs;
mod layers;
mod layouts;
mod learn;
#[cfg(target_os = "linux")]
mod limits;
mod losses;
mod pictures;
mod pipeline;
mod provenance;
mod resume;
mod rounds;
mod runs;
#[cfg(unix)]
mod signals;
mod studies;
mod stumbles;
mod support;
mod traps;
#[path = "../common/trees.rs"]
mod trees;
mod validation;
