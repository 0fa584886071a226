//! The stand-in libraries, driven by cudarc as a program would: what works, and what they refuse.
//!
//! A library path counts when a process starts, so every test runs itself again in a process of its own, with the
//! stand-ins in its environment.

use cudarc::driver::result::{self, module, stream};
use cudarc::driver::sys::{self, CUresult, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaStream, DriverError};
use std::ffi::{CString, c_void};
use std::process::Command;
use std::sync::Arc;

/// Runs the test named `name` in a process with the stand-ins; `body` is what happens there. The stand-ins must say
/// something with `expected` in it on that process's standard error.
fn with_stand_ins(name: &str, memory: u64, expected: &str, body: fn()) {
    if std::env::var_os("SOFTCUDA_KERNELS").is_some() {
        return body();
    }
    let kernels = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels/softmax.cu");
    let build = softcuda::Build::new(env!("CARGO_TARGET_TMPDIR")).file(kernels);
    let stand_ins = build.stand_ins().unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .envs(stand_ins.environment())
        .env("SOFTCUDA_MEMORY", memory.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
    assert!(said.contains(expected), "{said}");
}

const MIB: u64 = 1 << 20;
const FATBIN: [u32; 4] = [0xBA55_ED50, 0, 0, 0];

fn open() -> (Arc<CudaStream>, Softmax) {
    let context = CudaContext::new(0).unwrap();
    (context.new_stream().unwrap(), Softmax::load())
}

fn alloc(bytes: usize) -> u64 {
    // SAFETY: nobody reads the memory before it is written; the stand-in would say so.
    unsafe { result::malloc_sync(bytes) }.unwrap()
}

/// The kernel `softmax`, whose rows have 4 columns here.
struct Softmax(sys::CUfunction);

impl Softmax {
    fn load() -> Self {
        // SAFETY: the image is one that the stand-in takes, and stays loaded.
        unsafe {
            let module = module::load_data(FATBIN.as_ptr().cast()).unwrap();
            Softmax(module::get_function(module, CString::new("softmax").unwrap()).unwrap())
        }
    }

    /// Enqueues y = softmax(x) of two rows.
    fn launch(&self, stream: &CudaStream, x: u64, y: u64) {
        let (mut x, mut y, mut columns) = (x, y, 4i32);
        let mut arguments: [*mut c_void; 3] =
            [(&raw mut x).cast(), (&raw mut y).cast(), (&raw mut columns).cast()];
        // SAFETY: the arguments are those of the kernel; its accesses are checked.
        unsafe {
            result::launch_kernel(self.0, (2, 1, 1), (32, 1, 1), 0, stream.cu_stream(), &mut arguments)
        }
        .unwrap();
    }
}

fn upload(stream: &CudaStream, to: u64, values: &[f32]) {
    // SAFETY: the stand-in checks the range, and copies pageable memory before it returns.
    unsafe { result::memcpy_htod_async(to, values, stream.cu_stream()) }.unwrap();
}

fn enqueue_download(stream: &CudaStream, values: &mut [f32], from: u64) {
    // SAFETY: `values` lives until the stream is waited for, below.
    unsafe { result::memcpy_dtoh_async(values, from, stream.cu_stream()) }.unwrap();
}

fn wait(stream: &CudaStream) -> Result<(), DriverError> {
    // SAFETY: the stream is open.
    unsafe { stream::synchronize(stream.cu_stream()) }
}

const EVEN: [f32; 8] = [0.25; 8];

#[test]
fn work_runs_when_somebody_waits() {
    with_stand_ins("work_runs_when_somebody_waits", 64 * MIB, "", || {
        let (stream, softmax) = open();
        let (x, y) = (alloc(32), alloc(32));
        upload(&stream, x, &[7.0; 8]);
        softmax.launch(&stream, x, y);
        let mut host = [0.0; 8];
        enqueue_download(&stream, &mut host, y);
        assert_eq!(host, [0.0; 8], "a read-back without a wait sees old bytes");
        wait(&stream).unwrap();
        assert_eq!(host, EVEN);
    });
}

#[test]
fn a_synchronous_copy_does_not_wait_for_a_non_blocking_stream() {
    with_stand_ins(
        "a_synchronous_copy_does_not_wait_for_a_non_blocking_stream",
        64 * MIB,
        "was never written",
        || {
            let (stream, softmax) = open();
            let (x, y) = (alloc(32), alloc(32));
            upload(&stream, x, &[7.0; 8]);
            softmax.launch(&stream, x, y);
            let mut host = [0.0f32; 8];
            // SAFETY: the stand-in checks the range.
            let error = unsafe { result::memcpy_dtoh_sync(&mut host, y) }.unwrap_err();
            assert_eq!(error.0, CUresult::CUDA_ERROR_LAUNCH_FAILED);
        },
    );
}

#[test]
fn a_kernels_fault_shows_later_and_stays() {
    with_stand_ins("a_kernels_fault_shows_later_and_stays", 64 * MIB, "kernel softmax", || {
        let (stream, softmax) = open();
        let (x, y) = (alloc(32), alloc(16));
        upload(&stream, x, &[7.0; 8]);
        softmax.launch(&stream, x, y);
        assert_eq!(wait(&stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        assert_eq!(wait(&stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    });
}

#[test]
fn a_capture_records_and_replays() {
    with_stand_ins("a_capture_records_and_replays", 64 * MIB, "", || {
        let (stream, softmax) = open();
        let (x, y) = (alloc(32), alloc(32));
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
        softmax.launch(&stream, x, y);
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
        let mut host = [0.0; 8];
        for values in [[1.0; 8], [0.0, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, 1.0, 1.0, 1.0, 1.0]] {
            upload(&stream, x, &values);
            graph.launch().unwrap();
            enqueue_download(&stream, &mut host, y);
            wait(&stream).unwrap();
        }
        assert_eq!(host, [0.5, 0.0, 0.5, 0.0, 0.25, 0.25, 0.25, 0.25]);
    });
}

#[test]
fn a_capture_refuses_what_would_wait_or_allocate() {
    with_stand_ins("a_capture_refuses_what_would_wait_or_allocate", 64 * MIB, "", || {
        let (stream, _) = open();
        let begin =
            || stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
        let end = || stream.end_capture(sys::CUgraphInstantiate_flags(0)).err().map(|error| error.0);
        begin();
        assert_eq!(wait(&stream).unwrap_err().0, CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        assert_eq!(end(), Some(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        begin();
        // SAFETY: refused.
        let error = unsafe { result::malloc_sync(16) }.unwrap_err();
        assert_eq!(error.0, CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        assert_eq!(end(), Some(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        begin();
        assert_eq!(end(), None);
    });
}

#[test]
fn a_replay_finds_a_buffer_that_was_freed() {
    with_stand_ins("a_replay_finds_a_buffer_that_was_freed", 64 * MIB, "freed", || {
        let (stream, softmax) = open();
        let (x, y) = (alloc(32), alloc(32));
        upload(&stream, x, &[1.0; 8]);
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
        softmax.launch(&stream, x, y);
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
        // SAFETY: the address is one of malloc_sync. That the graph still uses it is what is tried here.
        unsafe { result::free_sync(y) }.unwrap();
        graph.launch().unwrap();
        assert_eq!(wait(&stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    });
}

#[test]
fn memory_ends() {
    with_stand_ins("memory_ends", MIB, "", || {
        let _open = open();
        let first = alloc(MIB as usize - 16);
        // SAFETY: refused, then freed and given again.
        unsafe {
            assert_eq!(result::malloc_sync(17).unwrap_err().0, CUresult::CUDA_ERROR_OUT_OF_MEMORY);
            result::free_sync(first).unwrap();
        }
        alloc(MIB as usize);
    });
}
