//! Faults of launches and copies.

use std::fmt;

/// Kind of a [`Fault`], with the numbers of `softcuda_api.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// No such kernel, arguments of the wrong number or type, an impossible grid, block or amount of shared memory.
    Launch,
    /// A barrier that not all threads of the block, or blocks of the grid, reach, or several where one is meant.
    Barrier,
    /// A warp operation whose mask omits its caller or names threads that do not take part.
    WarpMask,
    /// A shuffle that reads a lane which its mask does not name.
    InactiveLane,
    /// Two threads access one location without an order between them, and one of them writes.
    Race,
    /// An access outside of every buffer and shared array.
    OutOfBounds,
    /// An access at an address that is no multiple of the type's alignment.
    Misaligned,
    /// An access of a freed buffer.
    UseAfterFree,
    /// A read, by a kernel or by the host, of an element that was never written.
    Unwritten,
    /// An integer division by zero.
    Arithmetic,
}

/// Error of a launch or a copy, as one line: kernel, block, thread, location, what to do, source line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub message: String,
}

impl Fault {
    pub(crate) fn from_code(code: i32, message: String) -> Fault {
        let kind = match code {
            2 => FaultKind::Barrier,
            3 => FaultKind::WarpMask,
            4 => FaultKind::InactiveLane,
            5 => FaultKind::Race,
            6 => FaultKind::OutOfBounds,
            7 => FaultKind::Misaligned,
            8 => FaultKind::UseAfterFree,
            9 => FaultKind::Unwritten,
            10 => FaultKind::Arithmetic,
            _ => FaultKind::Launch,
        };
        Fault { kind, message }
    }

    pub(crate) fn launch(message: String) -> Fault {
        Fault { kind: FaultKind::Launch, message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
