//! Device memory, launches and reports of launches.

use std::ffi::{CStr, CString, c_void};
use std::marker::PhantomData;
use std::rc::Rc;

use crate::fault::Fault;
use crate::ffi::{Functions, RawDevice, RawDim3, RawOptions};
use crate::library::Library;
use crate::report::Report;
use crate::trace::Trace;

/// A simulated GPU, which owns buffers and launches the kernels of one library.
///
/// A device stays on the thread that created it; several threads may each have one.
pub struct Device {
    library: Library,
    raw: Rc<Raw>,
}

struct Raw {
    device: *mut RawDevice,
    functions: Functions,
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: `device` came from `open` and every buffer holds an `Rc` of this value, so nothing uses it later.
        unsafe { (self.functions.close)(self.device) }
    }
}

impl Raw {
    fn check(&self, code: i32) -> Result<(), Fault> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the message is a string that lives until the next call on this device; it is copied here.
        let message = unsafe { CStr::from_ptr((self.functions.message)(self.device)) };
        Err(Fault::from_code(code, message.to_string_lossy().into_owned()))
    }
}

/// The shape of a grid, in blocks, or of a block, in threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dim3 {
    pub x: u32,
    pub y: u32,
    pub z: u32,
}

impl From<u32> for Dim3 {
    fn from(x: u32) -> Dim3 {
        Dim3 { x, y: 1, z: 1 }
    }
}

impl From<(u32, u32)> for Dim3 {
    fn from((x, y): (u32, u32)) -> Dim3 {
        Dim3 { x, y, z: 1 }
    }
}

impl From<(u32, u32, u32)> for Dim3 {
    fn from((x, y, z): (u32, u32, u32)) -> Dim3 {
        Dim3 { x, y, z }
    }
}

/// The configuration of a launch.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    pub grid: Dim3,
    pub block: Dim3,
    pub dynamic_shared_bytes: usize,
    pub shared_limit: u32,
    pub seed: u64,
    pub keep_order: bool,
    /// The multiprocessors of a cooperative launch, 0 for any other one.
    pub multiprocessors: u32,
    /// The number of the block whose events are recorded.
    pub traced_block: Option<u32>,
    /// The largest number of events that are recorded.
    pub trace_limit: usize,
}

impl Launch {
    /// `grid` blocks of `block` threads, no dynamic shared memory, seed 0.
    pub fn new(grid: impl Into<Dim3>, block: impl Into<Dim3>) -> Launch {
        Launch {
            grid: grid.into(),
            block: block.into(),
            dynamic_shared_bytes: 0,
            shared_limit: 48 << 10,
            seed: 0,
            keep_order: false,
            multiprocessors: 0,
            traced_block: None,
            trace_limit: 1 << 20,
        }
    }

    /// Bytes of dynamic shared memory, the third argument of CUDA's `<<<>>>`.
    pub fn shared(self, bytes: usize) -> Launch {
        Launch { dynamic_shared_bytes: bytes, ..self }
    }

    /// Sets the limit of shared memory of a block in bytes, at most 227 KiB. The default of 48 KiB is that of a GPU
    /// without `cuFuncSetAttribute`.
    pub fn shared_limit(self, bytes: u32) -> Launch {
        Launch { shared_limit: bytes, ..self }
    }

    /// Sets the seed of the order of blocks, and of threads between two waits.
    pub fn seed(self, seed: u64) -> Launch {
        Launch { seed, ..self }
    }

    /// Makes the launch cooperative: the kernel may wait for all blocks of the grid, and all must fit at once on a device
    /// of so many multiprocessors. One holds 2,048 threads, 32 blocks and 228 KiB of shared memory, of which each block
    /// takes 1 KiB more than its own.
    pub fn cooperative(self, multiprocessors: u32) -> Launch {
        Launch { multiprocessors, ..self }
    }

    /// Records what block number `block` does, for [`Device::take_trace`]. Block (x, y, z) has the number
    /// `x + grid.x * (y + grid.y * z)`.
    pub fn trace(self, block: u32) -> Launch {
        Launch { traced_block: Some(block), ..self }
    }

    /// Sets the largest number of events of a trace; the default is 1,048,576, of 64 bytes each.
    pub fn trace_limit(self, events: usize) -> Launch {
        Launch { trace_limit: events, ..self }
    }

    /// Runs blocks and threads in ascending order, for a debugger.
    pub fn keep_order(self) -> Launch {
        Launch { keep_order: true, ..self }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Number types of buffer elements. A bf16 buffer has the bits as `u16`.
pub trait Element: Copy + Default + sealed::Sealed + 'static {}

macro_rules! element {
    ($($t:ty),*) => { $(impl sealed::Sealed for $t {} impl Element for $t {})* };
}
element!(f32, f64, i8, u8, i16, u16, i32, u32, i64, u64);

/// Device memory for `len` elements; freed when dropped.
pub struct Buffer<T: Element> {
    raw: Rc<Raw>,
    address: *mut c_void,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// Number of elements.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies the elements to the host.
    ///
    /// # Errors
    /// `FaultKind::Unwritten` if an element was never written, neither by the host nor by a kernel.
    pub fn read(&self) -> Result<Vec<T>, Fault> {
        let mut host = vec![T::default(); self.len];
        // SAFETY: `host` has room for `len` elements, and any bits make a value of the sealed number types.
        let code = unsafe {
            (self.raw.functions.download)(
                self.raw.device,
                host.as_mut_ptr().cast(),
                self.address,
                size_of_val(host.as_slice()),
            )
        };
        self.raw.check(code)?;
        Ok(host)
    }

    /// Overwrites the elements from the host.
    ///
    /// # Errors
    /// `FaultKind::OutOfBounds` if `host` holds more elements than the buffer.
    pub fn write(&self, host: &[T]) -> Result<(), Fault> {
        // SAFETY: the source is a slice of plain numbers, its size given in bytes; the device checks the rest.
        let code = unsafe {
            (self.raw.functions.upload)(
                self.raw.device,
                self.address,
                host.as_ptr().cast(),
                size_of_val(host),
            )
        };
        self.raw.check(code)
    }

    /// The argument that points at element `offset`, as pointer arithmetic on the host would make it. Anything a
    /// kernel then does outside of the buffer is a fault of the launch.
    pub fn at(&self, offset: usize) -> Arg {
        Arg::Pointer(self.address.addr() as u64 + (offset * size_of::<T>()) as u64)
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: the address came from `alloc` and is freed once. A failure cannot be reported from a destructor.
        unsafe { (self.raw.functions.free)(self.raw.device, self.address) };
    }
}

/// One argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    Pointer(u64),
    F32(f32),
    F64(f64),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
}

impl Arg {
    fn kind(self) -> (char, usize, &'static str) {
        match self {
            Arg::Pointer(_) => ('p', 8, "a pointer"),
            Arg::F32(_) => ('f', 4, "an f32"),
            Arg::F64(_) => ('f', 8, "an f64"),
            Arg::I32(_) => ('i', 4, "an i32"),
            Arg::U32(_) => ('i', 4, "a u32"),
            Arg::I64(_) => ('i', 8, "an i64"),
            Arg::U64(_) => ('i', 8, "a u64"),
        }
    }

    fn bits(self) -> u64 {
        match self {
            Arg::Pointer(v) | Arg::U64(v) => v,
            Arg::I64(v) => v as u64,
            Arg::F64(v) => v.to_bits(),
            Arg::F32(v) => u64::from(v.to_bits()).to_le(),
            Arg::I32(v) => u64::from(v as u32).to_le(),
            Arg::U32(v) => u64::from(v).to_le(),
        }
    }
}

macro_rules! arg {
    ($($t:ty => $variant:ident),*) => { $(impl From<$t> for Arg { fn from(v: $t) -> Arg { Arg::$variant(v) } })* };
}
arg!(f32 => F32, f64 => F64, i32 => I32, u32 => U32, i64 => I64, u64 => U64);

impl<T: Element> From<&Buffer<T>> for Arg {
    fn from(buffer: &Buffer<T>) -> Arg {
        buffer.at(0)
    }
}

/// The arguments of a launch: buffers by reference, numbers by value.
#[macro_export]
macro_rules! args {
    ($($arg:expr),* $(,)?) => { &[$($crate::Arg::from($arg)),*] };
}

impl Device {
    /// Creates a device for the kernels of `library`.
    ///
    /// # Errors
    /// `FaultKind::Launch` if the system has no 64 GiB of addresses (not of memory) to reserve.
    pub fn new(library: &Library) -> Result<Device, Fault> {
        // SAFETY: takes nothing; null means that it failed.
        let device = unsafe { (library.functions.open)() };
        if device.is_null() {
            return Err(Fault::launch(
                "cannot reserve the 64 GiB of addresses of a device; is `ulimit -v` set?".into(),
            ));
        }
        Ok(Device { library: *library, raw: Rc::new(Raw { device, functions: library.functions }) })
    }

    /// Creates a buffer with the elements of `host`; faults name it `name`.
    ///
    /// # Errors
    /// `FaultKind::Launch` if there is no memory left.
    pub fn upload<T: Element>(&self, name: &str, host: &[T]) -> Result<Buffer<T>, Fault> {
        let buffer = self.unwritten(name, host.len())?;
        buffer.write(host)?;
        Ok(buffer)
    }

    /// Creates a buffer of `len` zeros, for a kernel that adds to existing values.
    ///
    /// # Errors
    /// `FaultKind::Launch` if there is no memory left.
    pub fn zeros<T: Element>(&self, name: &str, len: usize) -> Result<Buffer<T>, Fault> {
        let buffer = self.unwritten(name, len)?;
        // SAFETY: the buffer holds this many bytes, and zero bits make a zero of each of the sealed number types.
        let code =
            unsafe { (self.raw.functions.fill)(self.raw.device, buffer.address, 0, len * size_of::<T>()) };
        self.raw.check(code)?;
        Ok(buffer)
    }

    /// Creates an uninitialised buffer of `len` elements, for outputs. Reading an element before it is written is a
    /// fault, for a kernel and for [`Buffer::read`].
    ///
    /// # Errors
    /// `FaultKind::Launch` if there is no memory left.
    pub fn unwritten<T: Element>(&self, name: &str, len: usize) -> Result<Buffer<T>, Fault> {
        let name = CString::new(name.replace('\0', "?")).expect("NUL bytes are replaced");
        let bytes = len
            .checked_mul(size_of::<T>())
            .ok_or_else(|| Fault::launch(format!("{len} elements: too many")))?;
        let mut address = std::ptr::null_mut();
        // SAFETY: the name ends in NUL and `address` is a place for the result.
        let code = unsafe { (self.raw.functions.alloc)(self.raw.device, bytes, name.as_ptr(), &mut address) };
        self.raw.check(code)?;
        Ok(Buffer { raw: Rc::clone(&self.raw), address, len, element: PhantomData })
    }

    /// Runs `kernel` to its end, or to its first fault. After a fault, buffers have the values written until then.
    ///
    /// # Errors
    /// A [`Fault`] of any kind; `FaultKind::Launch` if the kernel did not start at all.
    pub fn launch(&self, kernel: &str, launch: &Launch, args: &[Arg]) -> Result<Report, Fault> {
        let name = CString::new(kernel)
            .map_err(|_| Fault::launch(format!("kernel name {kernel:?} holds a NUL byte")))?;
        if let Some(parameters) = self.library.parameters(&name) {
            check_arguments(kernel, &parameters, args)?;
        }
        let mut values: Vec<u64> = args.iter().map(|arg| arg.bits()).collect();
        let mut pointers: Vec<*mut c_void> =
            values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
        let raw = |d: Dim3| RawDim3 { x: d.x, y: d.y, z: d.z };
        let options = RawOptions {
            seed: launch.seed,
            shared_limit: launch.shared_limit,
            keep_order: u32::from(launch.keep_order),
            multiprocessors: launch.multiprocessors,
            traced_block: launch.traced_block.unwrap_or(0),
            trace_limit: if launch.traced_block.is_some() { launch.trace_limit as u64 } else { 0 },
        };
        let mut report = Report::default();
        // SAFETY: number, kinds and sizes of the arguments agree with the kernel's parameters (checked above; without
        // a kernel of this name none is read), each pointer leads to eight bytes that live through the call, and
        // the kernel's own accesses are checked one by one.
        let code = unsafe {
            (self.raw.functions.launch)(
                self.raw.device,
                name.as_ptr(),
                raw(launch.grid),
                raw(launch.block),
                launch.dynamic_shared_bytes,
                pointers.as_mut_ptr(),
                &options,
                &mut report,
            )
        };
        self.raw.check(code)?;
        Ok(report)
    }

    /// The events of the last launch with [`Launch::trace`], up to its end or its fault. A second call has none.
    pub fn take_trace(&self) -> Trace {
        // SAFETY: the device is open, and the function calls back before it returns.
        Trace::collect(|visit, context| unsafe {
            (self.raw.functions.take_trace)(self.raw.device, visit, context)
        })
    }
}

fn check_arguments(kernel: &str, parameters: &[(char, usize)], args: &[Arg]) -> Result<(), Fault> {
    if parameters.len() != args.len() {
        return Err(Fault::launch(format!(
            "kernel {kernel} takes {} arguments, {} given",
            parameters.len(),
            args.len()
        )));
    }
    for (i, (&(kind, bytes), arg)) in parameters.iter().zip(args).enumerate() {
        let (given_kind, given_bytes, given) = arg.kind();
        if (kind, bytes) != (given_kind, given_bytes) {
            let wanted = match kind {
                'p' => "pointer",
                'f' => "floating-point number",
                'i' => "integer",
                _ => "structure, which this interface cannot pass",
            };
            return Err(Fault::launch(format!(
                "kernel {kernel}: argument {} is {given}, the kernel takes a {bytes}-byte {wanted}",
                i + 1
            )));
        }
    }
    Ok(())
}
