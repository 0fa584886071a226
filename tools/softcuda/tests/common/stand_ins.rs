//! Tests with the stand-in libraries. A library path counts when a process starts, so every such test runs itself again
//! in a process of its own, with the stand-ins in its environment.

use std::process::Command;
use std::sync::Arc;

use cudarc::driver::result::{self, stream};
use cudarc::driver::sys::{self, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaGraph, CudaStream, DriverError};

/// A library found at run time by its file's name, with these functions. A `u64` stands for a device address.
macro_rules! library {
    ($library:ident in $file:literal: $(fn $function:ident($($argument:ty),*) -> $result:ty;)*) => {
        #[allow(non_snake_case)]
        pub struct $library {
            $(pub $function: unsafe extern "C" fn($($argument),*) -> $result,)*
            _opened: libloading::Library,
        }

        impl $library {
            #[allow(non_snake_case)]
            pub fn load() -> Self {
                // SAFETY: the stand-in does nothing when it is loaded, and its functions have these types.
                unsafe {
                    let opened = libloading::Library::new($file).unwrap();
                    $(let $function = *opened.get(stringify!($function)).unwrap();)*
                    Self { $($function,)* _opened: opened }
                }
            }
        }
    };
}
pub(crate) use library;

pub const MIB: u64 = 1 << 20;

/// The process that a test runs in.
pub struct Process {
    test: &'static str,
    variables: Vec<(&'static str, String)>,
    without: Option<&'static str>,
    says: Vec<&'static str>,
}

impl Process {
    /// For the test function of this name, on a device with 64 MiB.
    pub fn of(test: &'static str) -> Self {
        Self { test, variables: Vec::new(), without: None, says: Vec::new() }.set("SOFTCUDA_MEMORY", 64 * MIB)
    }

    pub fn set(mut self, variable: &'static str, value: impl ToString) -> Self {
        self.variables.push((variable, value.to_string()));
        self
    }

    pub fn without(mut self, library: &'static str) -> Self {
        self.without = Some(library);
        self
    }

    /// The stand-ins must say something with `text` in it on the process's standard error.
    pub fn says(mut self, text: &'static str) -> Self {
        self.says.push(text);
        self
    }

    /// Runs `body` in that process, and checks what was said.
    pub fn run(self, body: fn()) {
        if std::env::var_os("SOFTCUDA_KERNELS").is_some() {
            return body();
        }
        let kernels = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels/softmax.cu");
        let build = softcuda::Build::new(env!("CARGO_TARGET_TMPDIR")).file(kernels);
        let stand_ins = build.stand_ins().unwrap_or_else(|error| panic!("{error}"));
        let stand_ins =
            self.without.map_or_else(|| Ok(stand_ins.clone()), |library| stand_ins.without(library)).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args([self.test, "--exact", "--nocapture"])
            .envs(stand_ins.environment())
            .envs(self.variables)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}{said}");
        print!("{told}");
        for text in self.says {
            assert!(said.contains(text), "not said: {text}\n{said}");
        }
    }
}

pub fn open_stream() -> Arc<CudaStream> {
    CudaContext::new(0).unwrap().new_stream().unwrap()
}

pub fn alloc(bytes: usize) -> u64 {
    // SAFETY: the memory is not read before it is written; the stand-in checks this.
    unsafe { result::malloc_sync(bytes) }.unwrap()
}

pub fn free(address: u64) {
    // SAFETY: the address is one of `alloc`. Work that still uses it is what the stand-ins are to find.
    unsafe { result::free_sync(address) }.unwrap();
}

pub fn upload<T: Copy>(stream: &CudaStream, to: u64, values: &[T]) {
    // SAFETY: the stand-in checks the range, and copies pageable memory before it returns.
    unsafe { result::memcpy_htod_async(to, values, stream.cu_stream()) }.unwrap();
}

pub fn enqueue_download<T: Copy>(stream: &CudaStream, values: &mut [T], from: u64) {
    // SAFETY: the tests keep `values` until they have waited.
    unsafe { result::memcpy_dtoh_async(values, from, stream.cu_stream()) }.unwrap();
}

pub fn download<T: Copy + Default>(stream: &CudaStream, from: u64, count: usize) -> Vec<T> {
    let mut values = vec![T::default(); count];
    enqueue_download(stream, &mut values, from);
    wait(stream).unwrap();
    values
}

pub fn uploaded<T: Copy>(stream: &CudaStream, values: &[T]) -> u64 {
    let address = alloc(size_of_val(values));
    upload(stream, address, values);
    address
}

pub fn wait(stream: &CudaStream) -> Result<(), DriverError> {
    // SAFETY: the stream is open.
    unsafe { stream::synchronize(stream.cu_stream()) }
}

/// The work that `work` puts into the stream, captured as a graph.
pub fn captured(stream: &Arc<CudaStream>, work: impl FnOnce()) -> CudaGraph {
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    work();
    stream.end_capture(sys::CUgraphInstantiate_flags(0)).unwrap().unwrap()
}
