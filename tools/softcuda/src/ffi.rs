//! The C interface of a kernel library, `runtime/softcuda_api.h`, as found by name in the opened library.

use crate::report::Report;
use std::ffi::{c_char, c_int, c_uchar, c_void};

/// `softcuda_dim3`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawDim3 {
    pub x: u32,
    pub y: u32,
    pub z: u32,
}

/// `softcuda_options`.
#[repr(C)]
pub struct RawOptions {
    pub seed: u64,
    pub shared_limit: u32,
    pub keep_order: u32,
    pub multiprocessors: u32,
    pub traced_block: u32,
    pub trace_limit: u64,
}

/// `softcuda_event`.
#[repr(C)]
pub struct RawEvent {
    pub kind: u32,
    pub thread: u32,
    pub count: u32,
    pub is_shared: u32,
    pub offset: u64,
    pub array: u64,
    pub array_bytes: u64,
    pub instruction: u64,
    pub name: *const c_char,
    pub place: *const c_char,
}

/// `softcuda_device`, only ever behind a pointer.
#[repr(C)]
pub struct RawDevice {
    _opaque: [u8; 0],
}

pub type Open = unsafe extern "C" fn() -> *mut RawDevice;
pub type Close = unsafe extern "C" fn(*mut RawDevice);
pub type Message = unsafe extern "C" fn(*const RawDevice) -> *const c_char;
pub type Alloc = unsafe extern "C" fn(*mut RawDevice, usize, *const c_char, *mut *mut c_void) -> c_int;
pub type Free = unsafe extern "C" fn(*mut RawDevice, *mut c_void) -> c_int;
pub type Upload = unsafe extern "C" fn(*mut RawDevice, *mut c_void, *const c_void, usize) -> c_int;
pub type Download = unsafe extern "C" fn(*mut RawDevice, *mut c_void, *const c_void, usize) -> c_int;
pub type Fill = unsafe extern "C" fn(*mut RawDevice, *mut c_void, c_uchar, usize) -> c_int;
pub type KernelName = unsafe extern "C" fn(usize) -> *const c_char;
pub type KernelParameters = unsafe extern "C" fn(*const c_char) -> *const c_char;
pub type Visit = unsafe extern "C" fn(*mut c_void, *const RawEvent);
pub type TakeTrace = unsafe extern "C" fn(*mut RawDevice, Visit, *mut c_void) -> u64;
pub type LaunchKernel = unsafe extern "C" fn(
    *mut RawDevice,
    *const c_char,
    RawDim3,
    RawDim3,
    usize,
    *mut *mut c_void,
    *const RawOptions,
    *mut Report,
) -> c_int;

/// The functions of one opened library, which stays open for as long as the process runs.
#[derive(Clone, Copy)]
pub struct Functions {
    pub open: Open,
    pub close: Close,
    pub message: Message,
    pub alloc: Alloc,
    pub free: Free,
    pub upload: Upload,
    pub download: Download,
    pub fill: Fill,
    pub kernel_name: KernelName,
    pub kernel_parameters: KernelParameters,
    pub launch: LaunchKernel,
    pub take_trace: TakeTrace,
}
