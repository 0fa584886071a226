//! The functions of MPI, for handles that are numbers (MPICH) and for handles that are pointers (Open MPI, the standard
//! ABI of MPI 5.0).
//!
//! Types and values are those of `mpi.h`: MPICH 4 and 5, Open MPI 4 and 5, and chapter 20 of the MPI 5.0 standard ("Application
//! Binary Interface").

use crate::{Error, Result};
use libloading::Library;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

/// A collective that is running.
pub enum Pending {
    Number(c_int),
    Pointer(Pointer),
}

/// A handle that is a pointer into the library.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Pointer(*mut c_void);

// SAFETY: it is a name of an object of the library, and is not dereferenced here.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

/// The calls that this program makes.
pub trait Calls: Send + Sync {
    /// Starts MPI.
    fn init(&self) -> std::result::Result<(), String>;
    /// The number of this rank and of all ranks.
    fn place(&self) -> (usize, usize);
    /// The library's name and version.
    fn version(&self) -> String;
    /// Starts `MPI_Iallgather`.
    ///
    /// # Safety
    /// `own` has `n` bytes and `all` `n` for each rank, both until the collective is done.
    unsafe fn all_gather(&self, own: *const u8, n: c_int, all: *mut u8) -> Pending;
    /// Starts `MPI_Ialltoall`.
    ///
    /// # Safety
    /// `from` and `to` have `n` bytes for each rank until the collective is done.
    unsafe fn all_to_all(&self, from: *const u8, n: c_int, to: *mut u8) -> Pending;
    /// Starts `MPI_Ibcast` from rank 0.
    ///
    /// # Safety
    /// `values` has `n` bytes until the collective is done.
    unsafe fn broadcast(&self, values: *mut u8, n: c_int) -> Pending;
    /// Makes progress with a collective; whether it is done.
    fn is_done(&self, pending: &mut Pending) -> bool;
    /// Ends all ranks.
    fn abort(&self);
    /// Ends MPI.
    fn finalize(&self);
}

/// A kind of handle.
trait Handle: Copy + Send + Sync + 'static {
    fn pending(self) -> Pending;
    fn of(pending: &mut Pending) -> Option<&mut Self>;
    /// A request before its start.
    const NONE: Self;
}

impl Handle for c_int {
    fn pending(self) -> Pending {
        Pending::Number(self)
    }

    fn of(pending: &mut Pending) -> Option<&mut c_int> {
        match pending {
            Pending::Number(own) => Some(own),
            Pending::Pointer(_) => None,
        }
    }

    const NONE: c_int = 0;
}

impl Handle for Pointer {
    fn pending(self) -> Pending {
        Pending::Pointer(self)
    }

    fn of(pending: &mut Pending) -> Option<&mut Pointer> {
        match pending {
            Pending::Pointer(own) => Some(own),
            Pending::Number(_) => None,
        }
    }

    const NONE: Pointer = Pointer(null_mut());
}

/// `MPI_MAX_LIBRARY_VERSION_STRING`: 256 (Open MPI) to 8,192 (MPICH, the standard ABI).
const LONGEST_VERSION: usize = 8_192;
/// Room for an `MPI_Status`: 20 to 32 bytes.
type Status = [u64; 16];

/// The functions and constants of a library with handles of type H.
struct Api<H> {
    init_thread: unsafe extern "C" fn(*const c_int, *const c_void, c_int, *mut c_int) -> c_int,
    rank: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    size: unsafe extern "C" fn(H, *mut c_int) -> c_int,
    library_version: unsafe extern "C" fn(*mut c_char, *mut c_int) -> c_int,
    iallgather: unsafe extern "C" fn(*const c_void, c_int, H, *mut c_void, c_int, H, H, *mut H) -> c_int,
    ialltoall: unsafe extern "C" fn(*const c_void, c_int, H, *mut c_void, c_int, H, H, *mut H) -> c_int,
    ibcast: unsafe extern "C" fn(*mut c_void, c_int, H, c_int, H, *mut H) -> c_int,
    test: unsafe extern "C" fn(*mut H, *mut c_int, *mut Status) -> c_int,
    abort: unsafe extern "C" fn(H, c_int) -> c_int,
    finalize: unsafe extern "C" fn() -> c_int,
    /// `MPI_COMM_WORLD`.
    world: H,
    /// `MPI_BYTE`.
    byte: H,
    /// `MPI_THREAD_FUNNELED`.
    funneled: c_int,
    _library: Library,
}

/// The functions of a library, by the ABI that it has.
///
/// # Errors
/// A library without one of the functions, or with an unknown ABI.
pub fn open(library: Library) -> Result<Box<dyn Calls>> {
    let pointer = |address: usize| Pointer(address as *mut c_void);
    // The standard ABI has a function that states its version, and MPICH 5 has it in both of its libraries; the files
    // differ in their names. A library of this ABI may depend on one of another, so it comes first.
    if file_of(&library).is_some_and(|file| file.contains("mpi_abi")) {
        return Ok(Box::new(Api::new(library, pointer(0x101), pointer(0x247), 1024)?));
    }
    // Open MPI's handles are addresses of its global objects.
    let object = |name: &str| symbol::<*mut c_void>(&library, name).map(Pointer);
    if let Ok(world) = object("ompi_mpi_comm_world") {
        let byte = object("ompi_mpi_byte")?;
        return Ok(Box::new(Api::new(library, world, byte, 1)?));
    }
    let version = version_of(symbol(&library, "MPI_Get_library_version")?);
    // The ABI of MPICH, which Intel MPI, MVAPICH, Cray MPICH and ParaStation MPI share since 2013.
    match ["MPICH", "Intel", "MVAPICH", "CRAY", "ParaStation"].iter().any(|name| version.contains(name)) {
        true => Ok(Box::new(Api::new(library, 0x4400_0000, 0x4c00_010d, 1)?)),
        false => Err(Error::Run(format!(
            "the library of MPI has an unknown ABI ({version}); give one of MPICH, Open MPI or the MPI 5.0 ABI by \
             BCREID_MPI=/path/of/libmpi.so"
        ))),
    }
}

/// A function of the library, or the address of an object.
fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T> {
    // SAFETY: T is the type of the function in mpi.h, or a pointer for the address of an object. The caller keeps the
    // library open as long as the symbol.
    let found = unsafe { library.get::<T>(name.as_bytes()) };
    found
        .map(|symbol| *symbol)
        .map_err(|why| Error::Run(format!("the library of MPI has no {name} ({})", reason(&why))))
}

/// The loader's own words.
pub fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// The path of the file that a library was opened from, where the system tells it.
fn file_of(library: &Library) -> Option<String> {
    let address: *mut c_void = symbol(library, "MPI_Init_thread").ok()?;
    #[cfg(unix)]
    {
        // SAFETY: a struct of pointers, for which zeros are valid; dladdr fills it, and its name lives as long as the
        // library.
        unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            if libc::dladdr(address, &raw mut info) != 0 && !info.dli_fname.is_null() {
                let path = CStr::from_ptr(info.dli_fname).to_string_lossy().into_owned();
                // A link may have another name.
                return Some(std::fs::canonicalize(&path).map_or(path, |file| file.display().to_string()));
            }
        }
    }
    let _ = address;
    None
}

fn version_of(function: unsafe extern "C" fn(*mut c_char, *mut c_int) -> c_int) -> String {
    let mut text = vec![0u8; LONGEST_VERSION];
    let mut length = 0;
    // SAFETY: the buffer has the length of the longest text, with its zero; the function may be called before MPI's start.
    unsafe { function(text.as_mut_ptr().cast(), &raw mut length) };
    let text = CStr::from_bytes_until_nul(&text).unwrap_or_default().to_string_lossy();
    // The first part names it: a line of MPICH's text, the words before Open MPI's first comma.
    let first = text.lines().next().unwrap_or_default().split(',').next().unwrap_or_default();
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl<H: Handle> Api<H> {
    fn new(library: Library, world: H, byte: H, funneled: c_int) -> Result<Self> {
        Ok(Api {
            init_thread: symbol(&library, "MPI_Init_thread")?,
            rank: symbol(&library, "MPI_Comm_rank")?,
            size: symbol(&library, "MPI_Comm_size")?,
            library_version: symbol(&library, "MPI_Get_library_version")?,
            iallgather: symbol(&library, "MPI_Iallgather")?,
            ialltoall: symbol(&library, "MPI_Ialltoall")?,
            ibcast: symbol(&library, "MPI_Ibcast")?,
            test: symbol(&library, "MPI_Test")?,
            abort: symbol(&library, "MPI_Abort")?,
            finalize: symbol(&library, "MPI_Finalize")?,
            world,
            byte,
            funneled,
            _library: library,
        })
    }

    /// The request that `start` makes. An error of MPI ends the job by itself: its default error handler is fatal.
    fn started(start: impl FnOnce(*mut H)) -> Pending {
        let mut request = H::NONE;
        start(&raw mut request);
        request.pending()
    }
}

impl<H: Handle> Calls for Api<H> {
    fn init(&self) -> std::result::Result<(), String> {
        let mut provided = 0;
        // SAFETY: null arguments are allowed since MPI 2.
        let status = unsafe { (self.init_thread)(null(), null(), self.funneled, &raw mut provided) };
        match status {
            0 if provided < self.funneled => Err("it cannot be used by a program with threads".into()),
            0 => Ok(()),
            status => Err(format!("MPI_Init_thread returns {status}")),
        }
    }

    fn place(&self) -> (usize, usize) {
        let (mut rank, mut size) = (0, 0);
        // SAFETY: MPI is started; both write one int.
        unsafe {
            (self.rank)(self.world, &raw mut rank);
            (self.size)(self.world, &raw mut size);
        }
        (rank.max(0) as usize, size.max(0) as usize)
    }

    fn version(&self) -> String {
        version_of(self.library_version)
    }

    unsafe fn all_gather(&self, own: *const u8, n: c_int, all: *mut u8) -> Pending {
        let (byte, world) = (self.byte, self.world);
        // SAFETY: the caller keeps the buffers.
        Self::started(|request| unsafe {
            (self.iallgather)(own.cast(), n, byte, all.cast(), n, byte, world, request);
        })
    }

    unsafe fn all_to_all(&self, from: *const u8, n: c_int, to: *mut u8) -> Pending {
        let (byte, world) = (self.byte, self.world);
        // SAFETY: the caller keeps the buffers.
        Self::started(|request| unsafe {
            (self.ialltoall)(from.cast(), n, byte, to.cast(), n, byte, world, request);
        })
    }

    unsafe fn broadcast(&self, values: *mut u8, n: c_int) -> Pending {
        // SAFETY: the caller keeps the buffer.
        Self::started(|request| unsafe {
            (self.ibcast)(values.cast(), n, self.byte, 0, self.world, request);
        })
    }

    fn is_done(&self, pending: &mut Pending) -> bool {
        let Some(request) = H::of(pending) else { return true };
        let mut flag = 0;
        let mut status: Status = [0; 16];
        // SAFETY: the request is one of this library; the status has room for any MPI_Status.
        unsafe { (self.test)(request, &raw mut flag, &raw mut status) };
        flag != 0
    }

    fn abort(&self) {
        // SAFETY: MPI is started.
        unsafe { (self.abort)(self.world, 1) };
    }

    fn finalize(&self) {
        // SAFETY: MPI is started, and no collective runs.
        unsafe { (self.finalize)() };
    }
}
