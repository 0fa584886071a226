//! Processes with stand-ins for the CUDA libraries, and the stand-ins' device.

#[path = "../common/driver.rs"]
mod driver;

use driver::{Driver, Handle};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::ptr;

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
    for other in ["CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX", "VIRTUAL_ENV", "PYTHONPATH", "HOME", "PATH"] {
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
    driver: &'static Driver,
    stream: Handle,
}

impl Gpu {
    pub fn open() -> Self {
        const NON_BLOCKING: u32 = 1;
        let (driver, mut stream) = (driver::driver().unwrap(), ptr::null_mut());
        // SAFETY: the stream's handle is written to a variable of its type.
        driver
            .check(unsafe { (driver.cuStreamCreateWithPriority)(&raw mut stream, NON_BLOCKING, 0) })
            .unwrap();
        Gpu { driver, stream }
    }

    pub fn stream(&self) -> Handle {
        self.stream
    }

    /// Device memory for so many bytes, at a multiple of 256; it is not freed.
    pub fn memory(&self, bytes: usize) -> u64 {
        let mut address = 0;
        // SAFETY: the stand-in refuses reads of what was not written.
        let status = unsafe { (self.driver.cuMemAlloc_v2)(&raw mut address, bytes.max(1)) };
        self.driver.check(status).unwrap();
        address
    }

    pub fn upload<T>(&self, values: &[T]) -> u64 {
        let (address, bytes) = (self.memory(size_of_val(values)), size_of_val(values));
        // SAFETY: the memory has this size; the values live until the copy is done.
        let status = unsafe {
            (self.driver.cuMemcpyHtoDAsync_v2)(address, values.as_ptr().cast(), bytes, self.stream)
        };
        self.driver.check(status).unwrap();
        self.wait();
        address
    }

    /// Waits for the stream.
    pub fn read<T: Copy + Default>(&self, address: u64, len: usize) -> Vec<T> {
        let mut values = vec![T::default(); len];
        let bytes = size_of_val(values.as_slice());
        // SAFETY: the values have this size and live until the copy is done; they are numbers of any bits.
        let status = unsafe {
            (self.driver.cuMemcpyDtoHAsync_v2)(values.as_mut_ptr().cast(), address, bytes, self.stream)
        };
        self.driver.check(status).unwrap();
        self.wait();
        values
    }

    fn wait(&self) {
        // SAFETY: the stream is open.
        self.driver.check(unsafe { (self.driver.cuStreamSynchronize)(self.stream) }).unwrap();
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
