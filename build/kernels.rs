//! The table of kernels: the resources that ptxas reports, and the size of the machine code.

use crate::Result;
use crate::compile::Image;
use crate::ptxas::{self, Usage};
use object::{Object, ObjectSection};
use std::collections::BTreeMap;
use std::fs;

/// A kernel and its machine code for each chip.
pub struct Kernel {
    pub name: String,
    pub builds: Vec<Build>,
}

/// A kernel's machine code for one chip.
pub struct Build {
    /// The compute capability, ten times major plus minor.
    pub architecture: u32,
    pub usage: Usage,
    pub code_bytes: u64,
}

/// Makes the table of all kernels, sorted by name.
///
/// # Errors
/// There is no kernel, or a kernel is missing for some chip: every chip must have every kernel.
pub fn table(images: &[Image]) -> Result<Vec<Kernel>> {
    let mut builds: BTreeMap<String, Vec<Build>> = BTreeMap::new();
    for Image { architecture, cubin, report } in images {
        let broken = |e: &dyn std::fmt::Display| format!("{}: {e}", cubin.display());
        let bytes = fs::read(cubin).map_err(|e| broken(&e))?;
        let elf = object::File::parse(&*bytes).map_err(|e| broken(&e))?;
        for (name, usage) in ptxas::kernels(report)? {
            let code = elf.section_by_name(&format!(".text.{name}"));
            let code = code.ok_or_else(|| broken(&format!("no machine code of kernel {name}")))?;
            let build = Build { architecture: *architecture, usage, code_bytes: code.size() };
            builds.entry(name).or_default().push(build);
        }
    }
    if builds.is_empty() {
        return Err("cuda: nvcc found no kernel in the .cu files, or ptxas reported none".into());
    }
    if let Some((name, builds)) = builds.iter().find(|(_, builds)| builds.len() != images.len()) {
        let found: Vec<String> = builds.iter().map(|build| build.architecture.to_string()).collect();
        return Err(format!(
            "cuda: kernel {name} exists for {} only; every chip must have every kernel",
            found.join(", ")
        ));
    }
    Ok(builds.into_iter().map(|(name, builds)| Kernel { name, builds }).collect())
}
