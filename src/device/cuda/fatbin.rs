//! The kernels of `cuda/*.cu`, compiled by `build.rs` and carried in this library.

use crate::console::Bytes;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt;

/// One module of all kernels, for every chip: what the driver loads.
#[derive(Debug)]
pub struct Fatbin {
    /// The file as the driver takes it, at a multiple of 64 bytes.
    pub bytes: &'static [u8],
    /// The version of the compiler, such as `13.0.88`.
    pub nvcc: &'static str,
    /// Compute capabilities with machine code of their own, ten times major plus minor, ascending.
    pub architectures: &'static [u32],
    /// The compute capability of the PTX, from which a driver makes machine code for newer chips.
    pub ptx: u32,
    /// Sorted by name.
    pub kernels: &'static [Kernel],
}

/// A kernel by the name under which the driver finds it.
#[derive(Debug)]
pub struct Kernel {
    /// The operation's stem, what it does and on which type, such as `relu_forward_f32`.
    pub name: &'static str,
    /// One for each of [`Fatbin::architectures`], in their order.
    pub builds: &'static [Build],
}

/// What a kernel takes on one chip, in the words of ptxas.
#[derive(Debug)]
pub struct Build {
    /// Compute capability, ten times major plus minor.
    pub architecture: u32,
    /// Machine code, in bytes.
    pub code_bytes: u32,
    /// Registers of a thread.
    pub registers: u32,
    /// Static shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// Registers written to local memory and read back, in bytes: 0 in every kernel of this crate, tests see to it.
    pub spill_bytes: u32,
    /// Local memory of a thread, in bytes: 0 likewise.
    pub stack_bytes: u32,
}

/// Why there are no kernels in this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// No nvcc was found when the program was built.
    NoCompiler,
    /// The program was built with `BCREID_CUDA_ARCHS=none`.
    NotWanted,
}

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The kernels in this build.
///
/// # Errors
/// Why there are none; shown, it says what to do about it.
pub fn embedded() -> Result<&'static Fatbin, Absent> {
    EMBEDDED.as_ref().map_err(|&why| why)
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Absent::NoCompiler => {
                "none: there was no nvcc when this program was built; tools/get-cuda.sh fetches one, then: \
                 cargo build --release"
            }
            Absent::NotWanted => {
                "none: this program was built with BCREID_CUDA_ARCHS=none; unset it, then: cargo build --release"
            }
        })
    }
}

/// A sum, the chips, and a table of the kernels with the largest figure over all chips.
impl fmt::Display for Fatbin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = Bytes(self.bytes.len());
        writeln!(f, "{} in {size}, compiled by nvcc {}", self.kernels.len(), self.nvcc)?;
        let chips: Vec<String> = self.architectures.iter().map(|n| format!("sm_{n}")).collect();
        writeln!(f, "machine code for {}; PTX of compute_{} for newer chips", chips.join(", "), self.ptx)?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["kernel", "code, bytes", "registers", "static shared, bytes"]);
        for kernel in self.kernels {
            let largest =
                |figure: fn(&Build) -> u32| kernel.builds.iter().map(figure).max().unwrap_or(0).to_string();
            let figures = [largest(|b| b.code_bytes), largest(|b| b.registers), largest(|b| b.shared_bytes)];
            table.add_row(std::iter::once(kernel.name.to_string()).chain(figures));
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        write!(f, "{table}")
    }
}
