//! Which chips the kernels are compiled for.

use std::ffi::OsString;

/// Compute capabilities with machine code of their own, ten times major plus minor: Turing, A100, other Ampere, Ada,
/// Hopper, Blackwell's servers, Blackwell's workstations.
const DEFAULT: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];
/// PTX is of this one rather than of the newest: sm_120 has machine code, and chips between the two (11.x) can take
/// PTX of compute_100 but not of compute_120.
const PTX: u32 = 100;

/// What `BCREID_CUDA_ARCHS` asks for.
#[derive(Debug, PartialEq)]
pub enum Wish {
    /// `none`: no kernels.
    Nothing,
    /// Not set: those of the default list that the compiler knows.
    Default,
    /// Such as `80,90`: these, sorted, each once.
    These(Vec<u32>),
}

impl Wish {
    /// Reads the variable's value; an empty one is taken as not set.
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
                "BCREID_CUDA_ARCHS={text}: give compute capabilities as numbers with commas, such as 80,90, or none"
            ));
        };
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Wish::These(numbers))
    }
}

/// What is compiled: machine code for each of `machine_code`, ascending, and PTX for all chips newer than `ptx`.
#[derive(Debug, PartialEq)]
pub struct Targets {
    pub machine_code: Vec<u32>,
    pub ptx: u32,
}

impl Targets {
    /// From a wish and what the compiler knows. A wish it does not know is an error; of the default list it is left
    /// out, because a toolkit before 12.8, which has no Blackwell, is still good for the chips of its time.
    pub fn choose(wish: Wish, known: &[u32]) -> Result<Targets, String> {
        let machine_code = match wish {
            Wish::Nothing => Vec::new(),
            Wish::Default => {
                DEFAULT.into_iter().filter(|architecture| known.contains(architecture)).collect()
            }
            Wish::These(numbers) => {
                if let Some(unknown) = numbers.iter().find(|number| !known.contains(number)) {
                    return Err(format!(
                        "BCREID_CUDA_ARCHS: this nvcc does not know {unknown}, only {known:?}"
                    ));
                }
                numbers
            }
        };
        let newest = machine_code.last().copied();
        let ptx = if machine_code.contains(&PTX) { Some(PTX) } else { newest };
        let ptx = ptx.ok_or_else(|| format!("this nvcc knows none of {DEFAULT:?}, only {known:?}"))?;
        Ok(Targets { machine_code, ptx })
    }
}
