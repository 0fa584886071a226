//! Error messages of failed builds.

use softcuda::Build;

fn kernels(file: &str) -> Build {
    Build::new(env!("CARGO_TARGET_TMPDIR"))
        .file(format!("{}/tests/kernels/{file}", env!("CARGO_MANIFEST_DIR")))
}

#[test]
fn a_float_atomic_does_not_compile() {
    let message = kernels("float_atomic.cu").compile().unwrap_err().to_string();
    assert!(message.contains("softcuda has no floating-point atomics"), "{message}");
    assert!(message.contains("float_atomic.cu:2"), "{message}");
}

#[test]
fn a_missing_file_is_named() {
    let message = kernels("no_such_file.cu").compile().unwrap_err().to_string();
    assert!(message.contains("no_such_file.cu"), "{message}");
}

#[test]
fn a_missing_compiler_is_told() {
    let message = kernels("softmax.cu").compiler("no-such-compiler").compile().unwrap_err().to_string();
    assert!(message.contains("no C++ compiler: tried no-such-compiler"), "{message}");
    assert!(message.contains("apt install g++"), "{message}");
}

#[test]
fn kernels_are_found_by_name() {
    let library = kernels("softmax.cu").library().unwrap();
    assert_eq!(library.kernels(), ["softmax", "block_sum"]);
}
