//! An opened library of kernels.

use std::ffi::{CStr, CString, c_void};
use std::path::Path;

use crate::fault::Fault;
use crate::ffi::Functions;

/// Kernels that [`Build`](crate::Build) compiled, opened in this process.
///
/// A library is never closed, so copies are cheap and buffers may outlive it.
#[derive(Clone, Copy)]
pub struct Library {
    pub(crate) functions: Functions,
}

impl Library {
    /// Opens the shared library at `path`, which [`Build::compile`](crate::Build::compile) returned.
    ///
    /// # Errors
    /// `FaultKind::Launch`, with the loader's reason, if the file is not there or is no library of this crate.
    pub fn open(path: impl AsRef<Path>) -> Result<Library, Fault> {
        let path = path.as_ref();
        let text = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| Fault::launch(format!("{}: a path holds no NUL byte", path.display())))?;
        // SAFETY: the path ends in NUL. Opening runs the library's initialisers, which only fill its list of kernels.
        // NODELETE keeps code and thread-local data in place for as long as anything could refer to them.
        let handle =
            unsafe { libc::dlopen(text.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE) };
        if handle.is_null() {
            return Err(Fault::launch(format!(
                "cannot open the kernel library {}: {}",
                path.display(),
                loader_error()
            )));
        }
        let find = |name: &CStr| -> Result<*mut c_void, Fault> {
            // SAFETY: the handle is open and the name ends in NUL.
            let symbol = unsafe { libc::dlsym(handle, name.as_ptr()) };
            if symbol.is_null() {
                return Err(Fault::launch(format!(
                    "{} is no library of softcuda kernels: {}",
                    path.display(),
                    loader_error()
                )));
            }
            Ok(symbol)
        };
        // SAFETY: each symbol is the function of that name and type in `runtime/softcuda_api.h`, from which `ffi.rs`
        // was written; a library without them was refused above.
        let functions = unsafe {
            Functions {
                open: std::mem::transmute::<*mut c_void, crate::ffi::Open>(find(c"softcuda_open")?),
                close: std::mem::transmute::<*mut c_void, crate::ffi::Close>(find(c"softcuda_close")?),
                message: std::mem::transmute::<*mut c_void, crate::ffi::Message>(find(c"softcuda_message")?),
                alloc: std::mem::transmute::<*mut c_void, crate::ffi::Alloc>(find(c"softcuda_alloc")?),
                free: std::mem::transmute::<*mut c_void, crate::ffi::Free>(find(c"softcuda_free")?),
                upload: std::mem::transmute::<*mut c_void, crate::ffi::Upload>(find(c"softcuda_upload")?),
                download: std::mem::transmute::<*mut c_void, crate::ffi::Download>(find(
                    c"softcuda_download",
                )?),
                fill: std::mem::transmute::<*mut c_void, crate::ffi::Fill>(find(c"softcuda_fill")?),
                kernel_name: std::mem::transmute::<*mut c_void, crate::ffi::KernelName>(find(
                    c"softcuda_kernel_name",
                )?),
                kernel_parameters: std::mem::transmute::<*mut c_void, crate::ffi::KernelParameters>(find(
                    c"softcuda_kernel_parameters",
                )?),
                launch: std::mem::transmute::<*mut c_void, crate::ffi::LaunchKernel>(find(
                    c"softcuda_launch",
                )?),
                take_trace: std::mem::transmute::<*mut c_void, crate::ffi::TakeTrace>(find(
                    c"softcuda_take_trace",
                )?),
            }
        };
        Ok(Library { functions })
    }

    /// Names of all kernels, in the order of their files and `SOFTCUDA_KERNELS` lines.
    pub fn kernels(&self) -> Vec<String> {
        (0..)
            .map_while(|index| {
                // SAFETY: the function takes any index and returns null or a string that lives as long as the library.
                let name = unsafe { (self.functions.kernel_name)(index) };
                // SAFETY: as above.
                (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
            })
            .collect()
    }

    /// Kinds and sizes of a kernel's parameters; `None` if there is no kernel of this name.
    pub(crate) fn parameters(&self, kernel: &CStr) -> Option<Vec<(char, usize)>> {
        // SAFETY: the name ends in NUL; the result is null or a string that lives as long as the library.
        let text = unsafe { (self.functions.kernel_parameters)(kernel.as_ptr()) };
        if text.is_null() {
            return None;
        }
        // SAFETY: as above.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
        let mut parameters: Vec<(char, usize)> = Vec::new();
        for letter in text.chars() {
            match (letter.to_digit(10), parameters.last_mut()) {
                (Some(digit), Some((_, bytes))) => *bytes = *bytes * 10 + digit as usize,
                _ => parameters.push((letter, 0)),
            }
        }
        Some(parameters)
    }
}

fn loader_error() -> String {
    // SAFETY: dlerror returns null or a string that lives until the next call of this thread.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "no reason given".into();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
