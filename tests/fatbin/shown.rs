//! The report of `bcreid doctor` on builds with and without kernels.

use bcreid::device::cuda::fatbin::{Absent, Build, Fatbin, Kernel};

#[test]
fn a_kernel_is_shown_with_its_largest_figures() {
    let build = |architecture, code_bytes, registers| Build {
        architecture,
        code_bytes,
        registers,
        shared_bytes: 128,
        spill_bytes: 0,
        stack_bytes: 0,
    };
    let builds: &[Build] = Box::leak(Box::new([build(80, 640, 20), build(90, 512, 32)]));
    let kernels: &[Kernel] = Box::leak(Box::new([Kernel { name: "relu_forward_f32", builds }]));
    let fatbin = Fatbin { bytes: &[0; 1025], nvcc: "13.0.88", architectures: &[80, 90], ptx: 90, kernels };
    let text = fatbin.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "1 in 1.0 KiB, compiled by nvcc 13.0.88");
    assert_eq!(lines[1], "machine code for sm_80, sm_90; PTX of compute_90 for newer chips");
    let figures: Vec<&str> = lines.last().unwrap().split_whitespace().collect();
    assert_eq!(figures, ["relu_forward_f32", "640", "32", "128"]);
}

#[test]
fn a_build_without_kernels_names_the_fix() {
    let text = Absent::NoCompiler.to_string();
    assert!(text.starts_with("none") && text.contains("cargo build --release"), "{text}");
    assert!(text.contains("a new wheel with maturin (docs/python.md)"), "{text}");
    let script = text.split_whitespace().find(|word| word.ends_with(".sh")).unwrap();
    assert!(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(script).is_file(), "{script}");
    assert!(Absent::NotWanted.to_string().contains("BCREID_CUDA_ARCHS=none"));
    assert!(Absent::Static.to_string().contains("-linux-gnu"));
}
