//! Generation of the Rust source `embedded.rs`, which src/device/cuda/fatbin.rs includes.

use crate::Result;
use crate::architectures::Targets;
use crate::compile::Module;
use crate::kernels::Kernel;
use crate::toolkit::Toolkit;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Writes the source of a build without kernels; `why` is a variant of `Absent`.
pub fn absent(out: &Path, why: &str) -> Result<()> {
    write(out, &format!("static EMBEDDED: Result<Fatbin, Absent> = Err(Absent::{why});\n"))
}

/// Writes the source with the fatbin's bytes and the table of its kernels.
pub fn embedded(
    out: &Path,
    toolkit: &Toolkit,
    targets: &Targets,
    module: &Module,
    table: &[Kernel],
) -> Result<()> {
    let size = fs::metadata(&module.fatbin).map_err(|e| format!("{}: {e}", module.fatbin.display()))?.len();
    // The driver reads 8-byte fields at the start of the fatbin, and a byte string alone has no alignment.
    let mut source = format!(
        "#[repr(C, align(64))]\n\
         struct Aligned<T>(T);\n\
         static IMAGE: Aligned<[u8; {size}]> = Aligned(*include_bytes!({:?}));\n\
         static EMBEDDED: Result<Fatbin, Absent> = Ok(Fatbin {{\n    \
             bytes: &IMAGE.0,\n    nvcc: {:?},\n    architectures: &{:?},\n    ptx: {},\n    kernels: &[\n",
        module.fatbin.file_name().expect("it is a file"),
        toolkit.version,
        targets.machine_code,
        targets.ptx,
    );
    for Kernel { name, builds } in table {
        writeln!(source, "        Kernel {{ name: {name:?}, builds: &[").expect("a String takes everything");
        for build in builds {
            writeln!(
                source,
                "            Build {{ architecture: {}, code_bytes: {}, registers: {}, shared_bytes: {}, \
                 spill_bytes: {}, stack_bytes: {} }},",
                build.architecture,
                build.code_bytes,
                build.usage.registers,
                build.usage.shared_bytes,
                build.usage.spill_bytes,
                build.usage.stack_bytes,
            )
            .expect("a String takes everything");
        }
        source.push_str("        ] },\n");
    }
    source.push_str("    ],\n});\n");
    write(out, &source)
}

fn write(out: &Path, source: &str) -> Result<()> {
    let path = out.join("embedded.rs");
    fs::write(&path, source).map_err(|e| format!("{}: {e}", path.display()))
}
