//! The kernels of `cuda/*.cu`, compiled by `build.rs` and embedded in this library.

use crate::console::Bytes;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt;

/// A fatbin: the module of all kernels, with machine code for several chips.
#[derive(Debug)]
pub struct Fatbin {
    /// The content of the file, aligned to 64 bytes.
    pub bytes: &'static [u8],
    /// The version of the compiler, such as `13.0.88`.
    pub nvcc: &'static str,
    /// The compute capabilities with machine code, ten times major plus minor, ascending.
    pub architectures: &'static [u32],
    /// The compute capability of the PTX, which a driver compiles for newer chips.
    pub ptx: u32,
    /// The kernels, sorted by name.
    pub kernels: &'static [Kernel],
}

/// A kernel and its machine code for each chip.
#[derive(Debug)]
pub struct Kernel {
    /// The symbol in the module: the operation's stem, the pass and the element type, such as `relu_forward_f32`.
    pub name: &'static str,
    /// The builds for [`Fatbin::architectures`], in the same order.
    pub builds: &'static [Build],
}

/// The resources of a kernel on one chip, as ptxas reports them.
#[derive(Debug)]
pub struct Build {
    /// The compute capability, ten times major plus minor.
    pub architecture: u32,
    /// The size of the machine code, in bytes.
    pub code_bytes: u32,
    /// The registers of a thread.
    pub registers: u32,
    /// The static shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// The register spills to local memory, stores and loads, in bytes; a test keeps this 0 for every kernel.
    pub spill_bytes: u32,
    /// The local memory of a thread, in bytes; a test keeps this 0 for every kernel.
    pub stack_bytes: u32,
}

/// The reason why a build has no kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// No nvcc was found when the program was built.
    NoCompiler,
    /// The program was built with `BCREID_CUDA_ARCHS=none`.
    NotWanted,
    /// The program is linked statically.
    Static,
}

/// Whether this program is linked statically with a C library that then loads no others. (On Windows `crt-static` is
/// about the C library alone.)
pub(super) const IS_STATIC: bool = cfg!(all(target_feature = "crt-static", not(windows)));

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The kernels in this build.
///
/// # Errors
/// The build has no kernels; the text of the error gives the reason and what to do.
pub fn embedded() -> Result<&'static Fatbin, Absent> {
    if IS_STATIC {
        return Err(Absent::Static);
    }
    EMBEDDED.as_ref().map_err(|&why| why)
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Absent::NoCompiler => {
                "none: there was no nvcc when this program was built; tools/get-cuda.sh in its source fetches one, \
                 then build again: cargo build --release, or, if it came in a Python wheel, a new wheel with maturin \
                 (docs/python.md)"
            }
            Absent::NotWanted => {
                "none: this program was built with BCREID_CUDA_ARCHS=none; unset it, then build again: cargo build \
                 --release, or, if it came in a Python wheel, a new wheel with maturin (docs/python.md)"
            }
            Absent::Static => {
                "none: this program is linked statically, and such a program cannot load CUDA's libraries; for a GPU take \
                 the program whose target ends with -linux-gnu"
            }
        })
    }
}

/// The number of kernels, the chips, and a table of the kernels with the largest figure over all chips.
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
