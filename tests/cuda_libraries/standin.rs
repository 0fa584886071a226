//! Processes with stand-ins for the CUDA libraries, and the stand-ins' device.

use cudarc::driver::{CudaContext, CudaStream, result};
use std::ffi::{OsString, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// The test that a process was started for.
const INNER: &str = "BCREID_TEST_INNER";

/// Set to 1 where there is a GPU: what is true of any device is asked of that one.
const ON_GPU: &str = "BCREID_TEST_GPU";

/// Runs the test `name` again in a process with the stand-ins, and `body` in that process. A library path
/// counts only when a process starts. With `BCREID_TEST_GPU=1` the libraries are those of the machine.
pub fn with_stand_ins(name: &str, body: fn()) {
    if is_inner() || std::env::var_os(ON_GPU).is_some_and(|value| value == "1") {
        return body();
    }
    passes_again(name, build().environment().into());
}

pub fn is_inner() -> bool {
    std::env::var_os(INNER).is_some()
}

pub fn build() -> softcuda::StandIns {
    let kernels = concat!(env!("CARGO_MANIFEST_DIR"), "/cuda/relu.cu");
    let build = softcuda::Build::new(env!("CARGO_TARGET_TMPDIR")).file(kernels);
    build.stand_ins().unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a test in a process of its own, with `environment` and without the variables that could lead to other
/// libraries.
pub fn passes_again(name: &str, environment: Vec<(&'static str, OsString)>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]);
    for other in ["CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX", "VIRTUAL_ENV", "PYTHONPATH", "HOME"] {
        command.env_remove(other);
    }
    let output = command.env(INNER, name).envs(environment).output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    // A name that no test has would succeed as well.
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
}

/// A folder with these of the stand-ins' files only.
pub fn folder_with(files: &[&str]) -> PathBuf {
    let folder = tempfile::tempdir().unwrap().keep();
    for file in files {
        std::os::unix::fs::symlink(build().folder().join(file), folder.join(file)).unwrap();
    }
    folder
}

/// The stand-in's device, and a stream that no other waits for.
pub struct Gpu {
    stream: Arc<CudaStream>,
}

impl Gpu {
    pub fn open() -> Self {
        Gpu { stream: CudaContext::new(0).unwrap().new_stream().unwrap() }
    }

    pub fn stream(&self) -> *mut c_void {
        self.stream.cu_stream().cast()
    }

    /// Device memory for so many bytes, at a multiple of 256; it is not freed.
    pub fn memory(&self, bytes: usize) -> u64 {
        // SAFETY: the stand-in refuses reads of what was not written.
        unsafe { result::malloc_sync(bytes.max(1)) }.unwrap()
    }

    pub fn upload<T>(&self, values: &[T]) -> u64 {
        let address = self.memory(size_of_val(values));
        // SAFETY: the memory has this size; pageable memory is copied before the call returns.
        unsafe { result::memcpy_htod_async(address, values, self.stream.cu_stream()) }.unwrap();
        address
    }

    /// Waits for the stream.
    pub fn read<T: Copy + Default>(&self, address: u64, len: usize) -> Vec<T> {
        let mut values = vec![T::default(); len];
        // SAFETY: the values live until the stream has been waited for, and are numbers of any bits.
        unsafe { result::memcpy_dtoh_async(&mut values, address, self.stream.cu_stream()) }.unwrap();
        self.stream.synchronize().unwrap();
        values
    }
}

/// Numbers in [-1, 1), different ones for each seed.
pub fn numbers(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Asserts that two results agree within `tolerance`, relative to the largest value.
pub fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(error <= tolerance * largest, "{what}: element {i} is {found}, expected {expected}");
    }
}
