//! `bcreid doctor`: its report of the processor and of the kernels in this build.

use super::support::{assert_says, bcreid, fail, succeed};
use bcreid::device::cpu::isa::{Isa, VARIABLE};
use bcreid::device::cuda::fatbin;

#[test]
fn doctor_lists_the_kernels_or_how_to_get_them() {
    let looked = succeed(bcreid().arg("doctor"));
    match fatbin::embedded() {
        Ok(kernels) => {
            let sum = format!("cuda kernels: {} in ", kernels.kernels.len());
            assert!(looked.contains(&sum) && looked.contains(kernels.nvcc), "{looked}");
            for architecture in kernels.architectures {
                assert!(looked.contains(&format!("sm_{architecture}")), "{looked}");
            }
            for kernel in kernels.kernels {
                let row = looked.lines().find(|line| line.split_whitespace().next() == Some(kernel.name));
                assert_eq!(row.unwrap_or(&looked).split_whitespace().count(), 4, "{looked}");
            }
        }
        Err(why) => assert!(looked.contains(&format!("cuda kernels: {why}")), "{looked}"),
    }
}

#[test]
fn an_instruction_set_can_be_forced() {
    let loops = |isa| match isa {
        Isa::Portable => "portable loops",
        Isa::Avx2 => "AVX2 and FMA loops",
        Isa::Avx512 => "AVX-512 loops",
    };
    for isa in Isa::ALL {
        let mut doctor = bcreid();
        doctor.arg("doctor").env(VARIABLE, isa.name());
        match isa.is_here() {
            true => assert_says(&succeed(&mut doctor), &[loops(isa)]),
            false => assert_says(&fail(&mut doctor), &[isa.name(), "the processor lacks it", "portable"]),
        }
    }
    let refused = fail(bcreid().arg("doctor").env(VARIABLE, "sse9"));
    assert_says(&refused, &["BCREID_CPU=sse9", "unknown instruction set", "portable"]);
    assert_says(&succeed(bcreid().arg("doctor").env(VARIABLE, "")), &[loops(Isa::widest())]);
}
