//! The chips that the kernels are compiled for.

use std::ffi::OsString;

/// The default compute capabilities with machine code, ten times major plus minor: Turing, A100, other Ampere, Ada,
/// Hopper, Blackwell servers, Blackwell workstations.
const DEFAULT: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];
/// The compute capability of the PTX. It is not the newest one: sm_120 has machine code, and chips between the two
/// (11.x) can use PTX of compute_100 but not of compute_120.
const PTX: u32 = 100;

/// The value of `BCREID_CUDA_ARCHS`.
#[derive(Debug, PartialEq)]
pub enum Wish {
    /// `none`: no kernels.
    Nothing,
    /// Not set: the chips of the default list that the compiler supports.
    Default,
    /// A list such as `80,90`, sorted and without duplicates.
    These(Vec<u32>),
}

impl Wish {
    /// Parses the value of the variable; an empty value counts as not set.
    pub fn read(value: Option<OsString>) -> Result<Wish, String> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(Wish::Default);
        };
        let text = value.to_string_lossy();
        if text == "none" {
            return Ok(Wish::Nothing);
        }
        let numbers: Option<Vec<u32>> = text.split(',').map(|word| word.trim().parse().ok()).collect();
        let Some(mut numbers) = numbers else {
            return Err(format!(
                "BCREID_CUDA_ARCHS={text}: set it to compute capabilities with commas, such as 80,90, or to none"
            ));
        };
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Wish::These(numbers))
    }
}

/// The targets of the compilation: machine code for each of `machine_code`, ascending, and PTX for all chips newer than
/// `ptx`.
#[derive(Debug, PartialEq)]
pub struct Targets {
    pub machine_code: Vec<u32>,
    pub ptx: u32,
}

impl Targets {
    /// Chooses the targets from the value of the variable and the chips that the compiler supports. A listed chip that
    /// is not supported is an error. Unsupported chips of the default list are skipped: a toolkit before 12.8 does not
    /// support Blackwell, but compiles for older chips.
    ///
    /// # Errors
    /// A listed chip that the compiler does not support; no chip of the default list is supported.
    pub fn choose(wish: Wish, known: &[u32]) -> Result<Targets, String> {
        let machine_code = match wish {
            Wish::Nothing => Vec::new(),
            Wish::Default => {
                DEFAULT.into_iter().filter(|architecture| known.contains(architecture)).collect()
            }
            Wish::These(numbers) => {
                if let Some(unknown) = numbers.iter().find(|number| !known.contains(number)) {
                    return Err(format!(
                        "BCREID_CUDA_ARCHS: this nvcc does not support {unknown}, only {}",
                        list(known)
                    ));
                }
                numbers
            }
        };
        let newest = machine_code.last().copied();
        let ptx = if machine_code.contains(&PTX) { Some(PTX) } else { newest };
        let ptx = ptx
            .ok_or_else(|| format!("this nvcc supports none of {}, only {}", list(&DEFAULT), list(known)))?;
        Ok(Targets { machine_code, ptx })
    }
}

/// Numbers with commas.
fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
