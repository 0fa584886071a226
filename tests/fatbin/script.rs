//! The build script's parsers of architecture lists and compiler reports.

#[path = "../../build/architectures.rs"]
mod architectures;
#[path = "../../build/ptxas.rs"]
mod ptxas;

use architectures::{Targets, Wish};

const KNOWN: [u32; 9] = [75, 80, 86, 87, 89, 90, 100, 110, 120];

fn targets(list: &str, known: &[u32]) -> Result<Targets, String> {
    Targets::choose(Wish::read(Some(list.into()))?, known)
}

#[test]
fn lists_of_architectures() {
    assert_eq!(Wish::read(None), Ok(Wish::Default));
    assert_eq!(Wish::read(Some("".into())), Ok(Wish::Default));
    assert_eq!(Wish::read(Some("none".into())), Ok(Wish::Nothing));
    let all = Targets { machine_code: vec![75, 80, 86, 89, 90, 100, 120], ptx: 100 };
    assert_eq!(Targets::choose(Wish::Default, &KNOWN), Ok(all));
    // A toolkit from before Blackwell is good for what it knows.
    let older = Targets { machine_code: vec![75, 80, 86, 89, 90], ptx: 90 };
    assert_eq!(Targets::choose(Wish::Default, &KNOWN[..6]), Ok(older));
    assert_eq!(targets("90, 80,90", &KNOWN), Ok(Targets { machine_code: vec![80, 90], ptx: 90 }));
    assert_eq!(targets("120", &KNOWN), Ok(Targets { machine_code: vec![120], ptx: 120 }));
    for wrong in ["90a", "sm_90", "80,", "80;90", "None", "9.0", "-1", "70", "900"] {
        let error = targets(wrong, &KNOWN).unwrap_err();
        assert!(error.starts_with("BCREID_CUDA_ARCHS"), "{error}");
    }
    assert!(Targets::choose(Wish::Default, &[50, 60]).is_err());
}

/// A kernel that calls one which was not inlined, and one without either; as nvcc 13.0 prints it.
const REPORT: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'other' for 'sm_75'
ptxas info    : Function properties for other
    480 bytes stack frame, 16 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 64 registers, used 0 barriers, 488 bytes cumulative stack size, 372 bytes cmem[0]
ptxas info    : Compile time = 36.892 ms
ptxas info    : Function properties for _Z6helperPfPKfi
    0 bytes stack frame, 768 bytes spill stores, 784 bytes spill loads
ptxas info    : Compiling entry function 'sums' for 'sm_75'
ptxas info    : Function properties for sums
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 23 registers, used 1 barriers, 1024 bytes smem, 376 bytes cmem[0]
";

#[test]
fn what_ptxas_reports() {
    let usage = |registers, shared_bytes, spill_bytes, stack_bytes| ptxas::Usage {
        registers,
        shared_bytes,
        spill_bytes,
        stack_bytes,
    };
    let kernels = ptxas::kernels(REPORT).unwrap();
    let expected = [("other", usage(64, 0, 16 + 4 + 768 + 784, 488)), ("sums", usage(23, 1024, 0, 0))];
    assert_eq!(kernels, expected.map(|(name, usage)| (name.to_string(), usage)));
    assert_eq!(ptxas::kernels(""), Ok(Vec::new()));
}

#[test]
fn a_report_in_other_words_is_an_error_and_not_a_row_of_zeros() {
    for (words, others) in [
        ("bytes stack frame", "B of stack"),
        ("bytes spill stores", "B of stores"),
        ("bytes spill loads", "B of loads"),
        ("registers, used", "regs, used"),
    ] {
        assert!(REPORT.contains(words));
        let error = ptxas::kernels(&REPORT.replace(words, others)).unwrap_err();
        assert!(error.contains("ptxas' report"), "{error}");
    }
}
