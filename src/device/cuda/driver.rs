//! The CUDA driver: the table of its functions, its statuses as errors, and the context of a device.
//!
//! A status is a plain integer here, never a Rust enum: every driver may return numbers that no list of today has, and
//! a Rust enum of an unlisted number is undefined behaviour. This is why the crate `cudarc`, whose bindings return such
//! an enum, is not used.

pub(super) mod api;

pub(super) use api::{
    Api, CAPTURE_THREAD_LOCAL, COOPERATIVE_LAUNCH, EVENT_DEFAULT, EVENT_DISABLE_TIMING,
    MAX_DYNAMIC_SHARED_SIZE_BYTES, MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
    MULTIPROCESSOR_COUNT, OUT_OF_MEMORY,
};

use super::libraries;
use super::libraries::driver::CUdevice;
use super::libraries::versions::{CUDA_SUCCESS, CUresult};
use crate::{Error, Result};
use api::{
    Describe, EVENT_RECORD_EXTERNAL, ILLEGAL_ADDRESS, LAUNCH_FAILED, MISALIGNED_ADDRESS, NON_BLOCKING,
    WAIT_DEFAULT,
};
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;

/// `CUcontext`, `CUstream`, `CUevent`, `CUmodule`, `CUfunction`, `CUgraph`, `CUgraphExec`.
pub(super) type Handle = *mut c_void;
/// The status of work that a kernel has broken.
const KERNEL_ERRORS: [CUresult; 3] = [ILLEGAL_ADDRESS, MISALIGNED_ADDRESS, LAUNCH_FAILED];

impl Api {
    /// The functions of the driver that [`libraries::probe`] has opened, looked up at the first call.
    ///
    /// # Errors
    /// There is no driver, or it lacks a function.
    pub fn get() -> Result<&'static Api> {
        static API: OnceLock<Api> = OnceLock::new();
        if let Some(api) = API.get() {
            return Ok(api);
        }
        let driver = libraries::probe().driver.as_ref()?;
        let api = Api::of(&driver.library)?;
        Ok(API.get_or_init(|| api))
    }

    /// Converts a status to a result: the message has the attempted action, the driver's description, name and number.
    pub fn check(&self, status: CUresult, doing: &str) -> Result<()> {
        if status == CUDA_SUCCESS {
            return Ok(());
        }
        let words = self.text(self.cuGetErrorString, status).unwrap_or_else(|| "unknown error".into());
        let name =
            self.text(self.cuGetErrorName, status).map_or_else(String::new, |name| format!("{name}, "));
        let advice = match KERNEL_ERRORS.contains(&status) {
            true => "; that is a bug of bcreid, please report it, or of a kernel of another crate",
            false => "",
        };
        Err(Error::Device(format!("{doing}: {words} ({name}CUDA status {status}){advice}")))
    }

    fn text(&self, describe: Describe, status: CUresult) -> Option<String> {
        let mut text = ptr::null();
        // SAFETY: the function accepts any integer, and writes null or the address of a static text.
        let described = unsafe { describe(status, &raw mut text) };
        if described != CUDA_SUCCESS || text.is_null() {
            return None;
        }
        // SAFETY: as above.
        Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }
}

/// The primary context of a device; dropping it releases the context.
pub(super) struct Context {
    api: &'static Api,
    device: CUdevice,
    handle: Handle,
}

// SAFETY: a context may be made current on any thread (CUDA driver API, "Context Management").
unsafe impl Send for Context {}
// SAFETY: as above; the driver locks it.
unsafe impl Sync for Context {}

impl Context {
    /// The primary context of device `ordinal`, which becomes current on this thread.
    pub fn open(api: &'static Api, ordinal: usize) -> Result<Self> {
        let doing = format!("opening CUDA device {ordinal}");
        let ordinal = c_int::try_from(ordinal)
            .map_err(|_| Error::Device(format!("{doing}: a number of a device is below 2^31")))?;
        let (mut device, mut handle) = (0, ptr::null_mut());
        // SAFETY: each function writes one value, to a variable of its type.
        unsafe {
            api.check((api.cuInit)(0), &doing)?;
            api.check((api.cuDeviceGet)(&raw mut device, ordinal), &doing)?;
            api.check((api.cuDevicePrimaryCtxRetain)(&raw mut handle, device), &doing)?;
        }
        let context = Context { api, device, handle };
        context.bind()?;
        Ok(context)
    }

    /// Makes the context current on this thread; nearly free if it is current already.
    pub fn bind(&self) -> Result<()> {
        let mut current = ptr::null_mut();
        // SAFETY: the function writes one value, to a variable of its type.
        let status = unsafe { (self.api.cuCtxGetCurrent)(&raw mut current) };
        self.api.check(status, "entering the CUDA context")?;
        if current == self.handle {
            return Ok(());
        }
        // SAFETY: the context is retained as long as `self` exists.
        self.api.check(unsafe { (self.api.cuCtxSetCurrent)(self.handle) }, "entering the CUDA context")
    }

    /// An attribute of the device: `CUdevice_attribute`.
    pub fn attribute(&self, attribute: c_int, what: &str) -> Result<c_int> {
        let mut value = 0;
        // SAFETY: the function writes one value, to a variable of its type.
        let status = unsafe { (self.api.cuDeviceGetAttribute)(&raw mut value, attribute, self.device) };
        self.api.check(status, &format!("reading {what} of the GPU"))?;
        Ok(value)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: `open` retained the context once. A destructor cannot return an error.
        let _ = unsafe { (self.api.cuDevicePrimaryCtxRelease_v2)(self.device) };
    }
}

/// A CUDA stream that does not synchronise with the null stream; dropping it destroys the stream.
pub(super) struct Stream {
    api: &'static Api,
    pub handle: Handle,
}

// SAFETY: a stream may be used from any thread that has its context (CUDA driver API, "Stream Management").
unsafe impl Send for Stream {}
// SAFETY: as above; the driver locks it.
unsafe impl Sync for Stream {}

impl Stream {
    /// A stream of the current context, which outlives it. Where blocks of several streams wait for a multiprocessor,
    /// those of the stream with the smallest number start first; a captured kernel keeps its stream's priority.
    pub fn new(api: &'static Api, priority: c_int) -> Result<Self> {
        let mut handle = ptr::null_mut();
        // SAFETY: the function writes one value, to a variable of its type.
        let status = unsafe { (api.cuStreamCreateWithPriority)(&raw mut handle, NON_BLOCKING, priority) };
        api.check(status, "creating a CUDA stream")?;
        Ok(Stream { api, handle })
    }

    /// The priorities of the current context: the greatest, which is the smallest number, and the least.
    pub fn priorities(api: &'static Api) -> Result<[c_int; 2]> {
        let (mut least, mut greatest) = (0, 0);
        // SAFETY: the function writes two values, to variables of their type.
        let status = unsafe { (api.cuCtxGetStreamPriorityRange)(&raw mut least, &raw mut greatest) };
        api.check(status, "reading the priorities of streams")?;
        Ok([greatest, least])
    }

    /// Waits until the work enqueued so far is done.
    pub fn wait(&self) -> Result<()> {
        // SAFETY: the stream is open.
        self.api.check(unsafe { (self.api.cuStreamSynchronize)(self.handle) }, "waiting for the GPU")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: `new` created the stream, and its users have been dropped. A destructor cannot return an error.
        let _ = unsafe { (self.api.cuStreamDestroy_v2)(self.handle) };
    }
}

/// An event of a context; dropping it destroys the event.
pub(super) struct RawEvent {
    api: &'static Api,
    pub handle: Handle,
}

// SAFETY: an event may be used from any thread that has its context (CUDA driver API, "Event Management").
unsafe impl Send for RawEvent {}
// SAFETY: as above; the driver locks it.
unsafe impl Sync for RawEvent {}

impl RawEvent {
    /// An event of the current context.
    pub fn new(api: &'static Api, flags: c_uint) -> Result<Self> {
        let mut handle = ptr::null_mut();
        // SAFETY: the function writes one value, to a variable of its type.
        api.check(unsafe { (api.cuEventCreate)(&raw mut handle, flags) }, "creating an event")?;
        Ok(RawEvent { api, handle })
    }

    /// Records the event after all work enqueued in `stream`.
    pub fn record(&self, stream: &Stream, doing: &str) -> Result<()> {
        // SAFETY: event and stream are open.
        self.api.check(unsafe { (self.api.cuEventRecord)(self.handle, stream.handle) }, doing)
    }

    /// As [`RawEvent::record`], in a stream that is captured: a node of the graph, which records the event in each
    /// replay. Otherwise a record in a capture is no more than an edge.
    pub fn record_as_node(&self, stream: &Stream, doing: &str) -> Result<()> {
        // SAFETY: event and stream are open.
        let status =
            unsafe { (self.api.cuEventRecordWithFlags)(self.handle, stream.handle, EVENT_RECORD_EXTERNAL) };
        self.api.check(status, doing)
    }

    /// Makes later work of `stream` wait for the work before the newest record of this event. A later record does not
    /// change it.
    pub fn order_before(&self, stream: &Stream, doing: &str) -> Result<()> {
        // SAFETY: event and stream are open.
        let status = unsafe { (self.api.cuStreamWaitEvent)(stream.handle, self.handle, WAIT_DEFAULT) };
        self.api.check(status, doing)
    }

    /// Waits until the work before the event is done.
    pub fn wait(&self) -> Result<()> {
        // SAFETY: the event is open.
        self.api.check(unsafe { (self.api.cuEventSynchronize)(self.handle) }, "waiting for the GPU")
    }

    /// True if the work before the event is done. An error counts as not done: `wait` reports it.
    pub fn is_complete(&self) -> bool {
        // SAFETY: the event is open.
        unsafe { (self.api.cuEventQuery)(self.handle) == CUDA_SUCCESS }
    }

    /// The milliseconds between two recorded events of one stream.
    pub fn milliseconds_since(&self, earlier: &RawEvent) -> Result<f32> {
        let mut milliseconds = 0.0;
        // SAFETY: both events are open; the function writes one value, to a variable of its type.
        let status =
            unsafe { (self.api.cuEventElapsedTime)(&raw mut milliseconds, earlier.handle, self.handle) };
        self.api.check(status, "reading the time between two events")?;
        Ok(milliseconds)
    }
}

impl Drop for RawEvent {
    fn drop(&mut self) {
        // SAFETY: `new` created the event; the driver defers its destruction while a record is pending. A destructor
        // cannot return an error.
        let _ = unsafe { (self.api.cuEventDestroy_v2)(self.handle) };
    }
}
