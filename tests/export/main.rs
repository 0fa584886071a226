//! Exported files checked against the formats' specifications; `tests/peers` checks them with other programs.

#[path = "../common/command.rs"]
mod command;
mod features;
#[path = "../common/network.rs"]
mod network;
mod onnx;
mod tensorboard;

use std::process::Command;

/// The program, on one thread: the tests run side by side.
fn bcreid() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
    command.args(["--threads", "1"]);
    command
}
