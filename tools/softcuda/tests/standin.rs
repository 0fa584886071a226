//! The stand-in driver, driven by cudarc as a program would: what works, and what it refuses.

mod common;

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;
use std::sync::Arc;

use common::stand_ins::{
    MIB, Process, alloc, captured, download, enqueue_download, free, library, open_stream, upload, uploaded,
    wait,
};
use cudarc::driver::result::{self, device, module};
use cudarc::driver::sys::{self, CUresult, CUstreamCaptureMode};
use cudarc::driver::{CudaStream, DriverError};

const FATBIN: [u32; 4] = [0xBA55_ED50, 0, 0, 0];

fn open() -> (Arc<CudaStream>, Softmax) {
    (open_stream(), Softmax::load())
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
        self.launch_with(stream, &mut [(&raw mut x).cast(), (&raw mut y).cast(), (&raw mut columns).cast()])
            .unwrap();
    }

    fn launch_with(&self, stream: &CudaStream, arguments: &mut [*mut c_void]) -> Result<(), DriverError> {
        // SAFETY: as many arguments as the kernel has, or a null pointer behind them; its accesses are checked.
        unsafe { result::launch_kernel(self.0, (2, 1, 1), (32, 1, 1), 0, stream.cu_stream(), arguments) }
    }
}

/// Page-locked host memory; it stays until the process ends.
fn pinned(values: &[f32]) -> &'static mut [f32] {
    // SAFETY: the memory is as long as the values, which are written before it is seen as a slice.
    unsafe {
        let memory = result::malloc_host(size_of_val(values), 0).unwrap().cast::<f32>();
        ptr::copy_nonoverlapping(values.as_ptr(), memory, values.len());
        std::slice::from_raw_parts_mut(memory, values.len())
    }
}

const EVEN: [f32; 8] = [0.25; 8];

#[test]
fn work_runs_when_the_program_waits() {
    Process::of("work_runs_when_the_program_waits").run(|| {
        let (stream, softmax) = open();
        let (x, y) = (uploaded(&stream, &[7.0f32; 8]), alloc(32));
        softmax.launch(&stream, x, y);
        let (mut pageable, pinned) = ([0.0; 8], pinned(&[0.0; 8]));
        enqueue_download(&stream, &mut pageable, y);
        enqueue_download(&stream, pinned, y);
        assert_eq!(pageable, [0.0; 8], "a read-back without a wait sees old bytes");
        assert_eq!(pinned, [0.0; 8], "of pinned memory too");
        wait(&stream).unwrap();
        assert_eq!(pageable, EVEN);
        assert_eq!(pinned, EVEN);
    });
}

#[test]
fn a_synchronous_copy_does_not_wait_for_a_non_blocking_stream() {
    Process::of("a_synchronous_copy_does_not_wait_for_a_non_blocking_stream").says("was never written").run(
        || {
            let (stream, softmax) = open();
            let (x, y) = (uploaded(&stream, &[7.0f32; 8]), alloc(32));
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
    Process::of("a_kernels_fault_shows_later_and_stays").says("kernel softmax").run(|| {
        let (stream, softmax) = open();
        let (x, y) = (uploaded(&stream, &[7.0f32; 8]), alloc(16));
        softmax.launch(&stream, x, y);
        assert_eq!(wait(&stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        assert_eq!(wait(&stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    });
}

#[test]
fn a_launch_with_too_few_arguments_is_refused() {
    Process::of("a_launch_with_too_few_arguments_is_refused")
        .says("kernel softmax: 2 arguments are given, it has 3 parameters")
        .run(|| {
            let (stream, softmax) = open();
            let (mut x, mut y) = (alloc(32), alloc(32));
            let error = softmax
                .launch_with(&stream, &mut [(&raw mut x).cast(), (&raw mut y).cast(), ptr::null_mut()])
                .unwrap_err();
            assert_eq!(error.0, CUresult::CUDA_ERROR_INVALID_VALUE);
        });
}

#[test]
fn a_capture_records_and_replays() {
    Process::of("a_capture_records_and_replays").run(|| {
        let (stream, softmax) = open();
        let (x, y) = (alloc(32), alloc(32));
        let graph = captured(&stream, || softmax.launch(&stream, x, y));
        let mut host = [0.0f32; 8];
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
fn a_replay_reads_pinned_memory_anew() {
    Process::of("a_replay_reads_pinned_memory_anew").run(|| {
        let (stream, x, host) = (open_stream(), alloc(32), pinned(&[1.0; 8]));
        let graph = captured(&stream, || upload(&stream, x, host));
        for value in [2.0, 3.0] {
            host.fill(value);
            graph.launch().unwrap();
            assert_eq!(download::<f32>(&stream, x, 8), [value; 8]);
        }
        graph.launch().unwrap();
        host.fill(4.0);
        assert_eq!(download::<f32>(&stream, x, 8), [4.0; 8], "not before the stream gets there");
    });
}

#[test]
fn a_capture_refuses_what_would_wait_or_allocate() {
    Process::of("a_capture_refuses_what_would_wait_or_allocate").run(|| {
        let stream = open_stream();
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
    Process::of("a_replay_finds_a_buffer_that_was_freed").says("freed").run(|| {
        let (stream, softmax) = open();
        let (x, y) = (uploaded(&stream, &[1.0f32; 8]), alloc(32));
        let graph = captured(&stream, || softmax.launch(&stream, x, y));
        free(y);
        graph.launch().unwrap();
        assert_eq!(wait(&stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    });
}

#[test]
fn events_measure_by_either_name() {
    Process::of("events_measure_by_either_name").run(|| {
        type Elapsed = unsafe extern "C" fn(*mut f32, sys::CUevent, sys::CUevent) -> CUresult;
        let stream = open_stream();
        let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
        let (begin, end) = (stream.record_event(flags).unwrap(), stream.record_event(flags).unwrap());
        wait(&stream).unwrap();
        // SAFETY: both names have this signature, and the events were recorded.
        unsafe {
            let driver = libloading::Library::new("libcuda.so.1").unwrap();
            for name in ["cuEventElapsedTime", "cuEventElapsedTime_v2"] {
                let elapsed = driver.get::<Elapsed>(name).unwrap();
                let mut milliseconds = -1.0;
                elapsed(&raw mut milliseconds, begin.cu_event(), end.cu_event()).result().unwrap();
                assert!(milliseconds >= 0.0, "{name}: {milliseconds}");
            }
        }
    });
}

fn try_alloc(bytes: usize) -> Option<CUresult> {
    // SAFETY: the memory is not read.
    unsafe { result::malloc_sync(bytes) }.err().map(|error| error.0)
}

#[test]
fn memory_ends() {
    Process::of("memory_ends").set("SOFTCUDA_MEMORY", MIB).run(|| {
        let _stream = open_stream();
        let first = alloc(MIB as usize - 16);
        assert_eq!(try_alloc(17), Some(CUresult::CUDA_ERROR_OUT_OF_MEMORY));
        free(first);
        alloc(MIB as usize);
    });
}

#[test]
fn memory_ends_at_a_chosen_allocation() {
    Process::of("memory_ends_at_a_chosen_allocation").set("SOFTCUDA_FAIL_ALLOC_AFTER", 3).run(|| {
        let _stream = open_stream();
        let allocations: Vec<_> = (0..4).map(|_| try_alloc(16)).collect();
        let full = Some(CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(allocations, [None, None, full, full]);
    });
}

#[test]
fn a_machine_may_have_no_device() {
    Process::of("a_machine_may_have_no_device").set("SOFTCUDA_DEVICES", 0).run(|| {
        result::init().unwrap();
        assert_eq!(device::get_count().unwrap(), 0);
        assert_eq!(device::get(0).unwrap_err().0, CUresult::CUDA_ERROR_INVALID_DEVICE);
    });
}

#[test]
fn the_driver_may_be_old() {
    Process::of("the_driver_may_be_old").set("SOFTCUDA_DRIVER_VERSION", 12040).run(|| {
        let mut version = 0;
        // SAFETY: a place for the version.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().unwrap();
        assert_eq!(version, 12040);
    });
}

#[test]
fn a_library_may_be_missing() {
    Process::of("a_library_may_be_missing").without("cudnn").run(|| {
        // SAFETY: the stand-ins do nothing when they are loaded.
        let found = ["libcuda.so.1", "libcudnn.so.9", "libcublas.so.13", "libcublas.so.12"]
            .map(|file| unsafe { libloading::Library::new(file) }.is_ok());
        assert_eq!(found, [true, false, true, true]);
    });
}

/// Kernels of larger networks than can be computed here.
#[test]
fn an_idle_device_checks_calls_and_computes_nothing() {
    Process::of("an_idle_device_checks_calls_and_computes_nothing").set("SOFTCUDA_IDLE", 1).run(|| {
        let (stream, softmax) = open();
        let (x, y) = (uploaded(&stream, &[7.0f32; 8]), alloc(32));
        softmax.launch(&stream, x, y);
        let mut host = [1.0; 8];
        enqueue_download(&stream, &mut host, y);
        wait(&stream).unwrap();
        assert_eq!(host, [0.0; 8]);
        softmax.launch_with(&stream, &mut [ptr::null_mut()]).unwrap_err();
    });
}

/// As many blocks as the driver says, and one more.
#[test]
fn a_cooperative_launch_has_no_more_blocks_than_fit() {
    let process = Process::of("a_cooperative_launch_has_no_more_blocks_than_fit");
    process.set("SOFTCUDA_MULTIPROCESSORS", 2).says("64 fit on the device at once").run(|| {
        let (stream, softmax) = open();
        let (x, y) = (uploaded(&stream, &[7.0f32; 4 * 64]), alloc(4 * 4 * 64));
        let mut each = 0;
        // SAFETY: one value is written, to a variable of its type.
        unsafe {
            let ask = sys::cuOccupancyMaxActiveBlocksPerMultiprocessor;
            ask(&raw mut each, softmax.0, 32, 0).result().unwrap();
        }
        assert_eq!(each, 32);
        // By threads, by shared memory, and more of it than the function may have.
        for (threads, shared, blocks) in
            [(1024, 0, 2), (1024, 40 << 10, 2), (64, 48 << 10, 4), (64, 100 << 10, 0)]
        {
            // SAFETY: as above.
            unsafe {
                let ask = sys::cuOccupancyMaxActiveBlocksPerMultiprocessor;
                ask(&raw mut each, softmax.0, threads, shared).result().unwrap();
            }
            assert_eq!(each, blocks, "{threads} threads, {shared} bytes");
        }
        let launch = |blocks| {
            let (mut x, mut y, mut columns) = (x, y, 4i32);
            let arguments: &mut [*mut c_void] =
                &mut [(&raw mut x).cast(), (&raw mut y).cast(), (&raw mut columns).cast()];
            // SAFETY: as many arguments as the kernel has; its accesses are checked.
            unsafe {
                result::launch_cooperative_kernel(
                    softmax.0,
                    (blocks, 1, 1),
                    (32, 1, 1),
                    0,
                    stream.cu_stream(),
                    arguments,
                )
            }
        };
        launch(64).unwrap();
        let error = launch(65).unwrap_err();
        assert_eq!(error.0, CUresult::CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
        wait(&stream).unwrap();
    });
}

library! {
    Driver in "libcuda.so.1":
    fn cuEventCreate(*mut sys::CUevent, u32) -> CUresult;
    fn cuEventRecordWithFlags(sys::CUevent, sys::CUstream, u32) -> CUresult;
    fn cuEventElapsedTime(*mut f32, sys::CUevent, sys::CUevent) -> CUresult;
    fn softcuda_take_counts(Visit, *mut c_void) -> ();
}

type Visit = unsafe extern "C" fn(*mut c_void, *const c_char, u64, u64, u64);
/// The flag `CU_EVENT_RECORD_EXTERNAL`.
const EXTERNAL: u32 = 1;

#[test]
fn an_event_that_is_a_node_is_recorded_in_each_replay() {
    Process::of("an_event_that_is_a_node_is_recorded_in_each_replay")
        .says("CU_EVENT_RECORD_EXTERNAL is invalid in a stream that is not captured")
        .run(|| {
            let (stream, softmax) = open();
            let (driver, x, y) = (Driver::load(), uploaded(&stream, &[1.0f32; 8]), alloc(32));
            let mut events = [ptr::null_mut(); 2];
            let elapsed = |from: sys::CUevent, to: sys::CUevent| {
                let mut milliseconds = -1.0;
                // SAFETY: both events are open.
                unsafe { (driver.cuEventElapsedTime)(&raw mut milliseconds, from, to) }
                    .result()
                    .map(|()| milliseconds)
            };
            // SAFETY: the events are never destroyed, and the stream is open.
            let record = |event| unsafe {
                (driver.cuEventRecordWithFlags)(event, stream.cu_stream(), EXTERNAL).result()
            };
            for event in &mut events {
                // SAFETY: one handle is written.
                unsafe { (driver.cuEventCreate)(event, 0) }.result().unwrap();
            }
            let [begin, end] = events;
            assert_eq!(record(begin).unwrap_err().0, CUresult::CUDA_ERROR_INVALID_VALUE);
            let graph = captured(&stream, || {
                record(begin).unwrap();
                softmax.launch(&stream, x, y);
                record(end).unwrap();
            });
            let mut begins = Vec::new();
            for _ in 0..2 {
                graph.launch().unwrap();
                if begins.is_empty() {
                    let error = elapsed(begin, end).unwrap_err();
                    assert_eq!(error.0, CUresult::CUDA_ERROR_NOT_READY, "before the host waits");
                }
                wait(&stream).unwrap();
                let milliseconds = elapsed(begin, end).unwrap();
                assert!(milliseconds > 0.0, "a kernel of 64 threads takes time");
                begins.push(milliseconds);
            }
            assert_ne!(begins[0], begins[1], "each replay has its own times");
        });
}

#[test]
fn the_bytes_that_kernels_ask_for_are_counted() {
    Process::of("the_bytes_that_kernels_ask_for_are_counted").run(|| {
        unsafe extern "C" fn add(
            to: *mut c_void,
            kernel: *const c_char,
            launches: u64,
            read: u64,
            written: u64,
        ) {
            // SAFETY: the pointer is the one that is passed below, and the name is a C string.
            let (to, kernel) =
                unsafe { (&mut *to.cast::<Vec<(String, [u64; 3])>>(), CStr::from_ptr(kernel)) };
            to.push((kernel.to_str().unwrap().into(), [launches, read, written]));
        }
        let (stream, softmax) = open();
        let driver = Driver::load();
        let take = || {
            let mut counts = Vec::<(String, [u64; 3])>::new();
            // SAFETY: `add` gets the pointer to `counts`, which nothing else uses meanwhile.
            unsafe { (driver.softcuda_take_counts)(add, (&raw mut counts).cast()) };
            counts
        };
        let (x, y) = (uploaded(&stream, &[1.0f32; 8]), alloc(32));
        softmax.launch(&stream, x, y);
        assert_eq!(take(), [], "nothing has run yet");
        let graph = captured(&stream, || softmax.launch(&stream, x, y));
        graph.launch().unwrap();
        wait(&stream).unwrap();
        // Two launches of 8 elements, each read three times and written once.
        assert_eq!(take(), [("softmax".to_string(), [2, 2 * 3 * 32, 2 * 32])]);
        assert_eq!(take(), []);
    });
}
