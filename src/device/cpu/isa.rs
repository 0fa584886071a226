//! The instruction set of the CPU's loops: the widest one of the machine, or the one that `BCREID_CPU` names.

use crate::{Error, Result};
use std::sync::OnceLock;

/// The environment variable that forces an instruction set.
pub const VARIABLE: &str = "BCREID_CPU";

/// An instruction set that loops are compiled for. The bits of results depend on it: `Avx2` and `Avx512` round each
/// product once (fused multiply-add) and give the same bits, `Portable` rounds it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// The baseline of the target.
    Portable,
    /// AVX2 and FMA: registers of 8 values.
    Avx2,
    /// AVX-512 with the extensions BW, DQ, F and VL: 32 registers of 16 values.
    Avx512,
}

impl Isa {
    /// All instruction sets, the narrowest first.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// The name in the environment variable.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Whether the machine has it.
    pub fn is_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return match self {
            Isa::Portable => true,
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Isa::Avx512 => {
                let parts = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
                let wide = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512dq");
                Isa::Avx2.is_here() && parts && wide
            }
        };
        #[cfg(not(target_arch = "x86_64"))]
        return self == Isa::Portable;
    }

    /// The widest instruction set of the machine.
    pub fn widest() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.is_here()).unwrap_or(Isa::Portable)
    }
}

/// The instruction set that [`VARIABLE`] names; without it, the widest one.
///
/// # Errors
/// An unknown name, or an instruction set that the machine lacks.
pub fn requested() -> Result<Isa> {
    let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else {
        return Ok(Isa::widest());
    };
    let invalid = |detail: &str| {
        let here: Vec<&str> = Isa::ALL.into_iter().filter(|isa| isa.is_here()).map(Isa::name).collect();
        let name = name.to_string_lossy();
        Err(Error::Device(format!("{VARIABLE}={name}: {detail}; on this machine: {}", here.join(", "))))
    };
    match Isa::ALL.into_iter().find(|isa| name == isa.name()) {
        None => invalid("unknown instruction set"),
        Some(isa) if !isa.is_here() => invalid("the processor lacks it"),
        Some(isa) => Ok(isa),
    }
}

/// The instruction set of this process: read once. An invalid request, which the program refuses at its start, counts
/// as none.
#[inline]
pub fn isa() -> Isa {
    static ISA: OnceLock<Isa> = OnceLock::new();
    *ISA.get_or_init(|| requested().unwrap_or_else(|_| Isa::widest()))
}
