//! The CUDA libraries that the program opens when it runs: the driver, cuDNN and cuBLAS.
//!
//! None of them is linked, so one program serves machines with and without CUDA. They are opened here and not
//! by `cudarc`, whose loading of cuDNN and cuBLAS panics when a file is missing, looks in no folder of its
//! own, and whose bindings read statuses into Rust enums, in which a newer library's value is undefined
//! behaviour.

mod driver;
mod search;
mod wanted;

pub use search::Search;

use super::fatbin;
use crate::{Error, Result};
use search::NotFound;
use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;
use wanted::{CUBLAS, CUDNN, DRIVER, Wanted};

/// Major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Where a library was found.
#[derive(Clone, Debug)]
enum Place {
    /// By the loader, under this name.
    Loader(&'static str),
    File(PathBuf),
}

/// An open library. It stays open until the process ends: its functions are called through pointers, and its
/// own threads and exit handlers run its code.
#[derive(Clone, Debug)]
pub struct Library {
    name: &'static str,
    place: Place,
    handle: &'static libloading::Library,
    version: Option<Version>,
}

impl Library {
    fn keep(wanted: &Wanted, place: Place, handle: libloading::Library) -> Self {
        let handle = Box::leak(Box::new(handle));
        let library = Library { name: wanted.name, place, handle, version: None };
        Library { version: (wanted.version)(&library), ..library }
    }

    /// What the library says of itself, if it can be asked without a device. Of the driver it is the CUDA
    /// version up to which it runs programs.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The function of a name.
    ///
    /// # Errors
    /// The library exports no such name.
    ///
    /// # Safety
    /// `F` is a pointer to a function of the type that the library's manual gives to this name.
    pub unsafe fn function<F: Copy>(&self, name: &str) -> Result<F> {
        // SAFETY: the caller answers for the type; the library is never closed, so the pointer stays good.
        let found = CString::new(name).ok().and_then(|text| unsafe { self.handle.get::<F>(text).ok() });
        found.map(|symbol| *symbol).ok_or_else(|| {
            Error::Device(format!(
                "{self}: it has no function {name}; install a version that this program was made for ({})",
                self.mend()
            ))
        })
    }

    fn mend(&self) -> &'static str {
        [&DRIVER, &CUBLAS, &CUDNN]
            .into_iter()
            .find(|wanted| wanted.name == self.name)
            .map_or("", |wanted| wanted.mend)
    }
}

/// Name, version, place.
impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match self.version {
            Some(version) if self.name == DRIVER.name => write!(f, "for CUDA {}.{}", version.0, version.1)?,
            Some(version) => write!(f, "{version}")?,
            None => f.write_str("version unknown")?,
        }
        match &self.place {
            Place::Loader(file) => write!(f, ", {file} as the loader finds it"),
            Place::File(path) => write!(f, ", {}", path.display()),
        }
    }
}

/// Why a library cannot be used, and what to do.
#[derive(Clone, Debug)]
pub struct Fault {
    what: String,
    folders: Vec<PathBuf>,
    mend: String,
}

impl Fault {
    /// One short clause, without the places and the mend.
    pub fn brief(&self) -> &str {
        &self.what
    }

    fn not_found(wanted: &Wanted, found: NotFound) -> Self {
        let NotFound { refusals, old, folders } = found;
        let name = wanted.name;
        let what = match (refusals.is_empty(), old) {
            (false, _) => format!("{name}: could not be opened: {}", refusals.join("; ")),
            (true, Some(old)) => format!("{name}: {old} is too old, {} is needed", wanted.files.join(" or ")),
            (true, None) => format!("{name}: not found ({})", wanted.files.join(", ")),
        };
        Fault { what, folders, mend: wanted.mend.to_string() }
    }
}

/// One paragraph: what, where it was looked for, the mend.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.folders.is_empty() {
            let folders: Vec<String> =
                self.folders.iter().map(|folder| folder.display().to_string()).collect();
            write!(f, ", looked for on the loader's path and in {}", folders.join(", "))?;
        }
        write!(f, "; {}", self.mend)
    }
}

impl From<&Fault> for Error {
    fn from(fault: &Fault) -> Self {
        Error::Device(fault.to_string())
    }
}

/// The driver and what it drives.
#[derive(Clone, Debug)]
pub struct Driver {
    /// `libcuda.so.1`, `nvcuda.dll`.
    pub library: Library,
    /// The names of the devices, at least one.
    pub devices: std::result::Result<Vec<String>, Fault>,
}

/// What this machine offers to a CUDA program. Shown, it is what `bcreid doctor` prints.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The driver, new enough for the kernels of this program.
    pub driver: std::result::Result<Driver, Fault>,
    /// cuBLAS 12 or 13.
    pub cublas: std::result::Result<Library, Fault>,
    /// cuDNN 9.
    pub cudnn: std::result::Result<Library, Fault>,
}

/// What this machine offers. The libraries are looked for at the first call and kept, found or not.
pub fn probe() -> &'static Probe {
    static PROBE: OnceLock<Probe> = OnceLock::new();
    PROBE.get_or_init(|| Probe::of(&Search::from_environment()))
}

impl Probe {
    /// Looks for all libraries in the places of `search`.
    pub fn of(search: &Search) -> Self {
        let open = |wanted| search.open(wanted).map_err(|found| Fault::not_found(wanted, found));
        let driver = open(&DRIVER).and_then(|library| {
            driver::new_enough(&library, fatbin::embedded().ok().map(|kernels| kernels.nvcc))?;
            Ok(Driver { devices: driver::devices(&library), library })
        });
        // cuBLAS first: cuDNN looks for cublasLt by its name, and takes the one that is open.
        Probe { driver, cublas: open(&CUBLAS), cudnn: open(&CUDNN) }
    }

    /// The first thing that stands in the way of a CUDA device, if any.
    pub fn fault(&self) -> Option<&Fault> {
        let driver = self.driver.as_ref().map_or_else(Some, |driver| driver.devices.as_ref().err());
        driver.or(self.cublas.as_ref().err()).or(self.cudnn.as_ref().err())
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.driver {
            Err(fault) => write!(f, "{fault}")?,
            Ok(driver) => {
                write!(f, "{}", driver.library)?;
                match &driver.devices {
                    Err(fault) => write!(f, "\n{fault}")?,
                    Ok(devices) => {
                        for (i, name) in devices.iter().enumerate() {
                            write!(f, "\ncuda:{i}: {name}")?;
                        }
                    }
                }
            }
        }
        for library in [&self.cublas, &self.cudnn] {
            match library {
                Ok(library) => write!(f, "\n{library}")?,
                Err(fault) => write!(f, "\n{fault}")?,
            }
        }
        Ok(())
    }
}

/// A table of functions of one library, found by their names when it is made: `Table::of(&library)`. Each
/// type is a `unsafe extern "C" fn` of the library's manual, with integers in place of its enums.
macro_rules! function_table {
    ($table:ident { $($name:ident: $function:ty,)* }) => {
        #[expect(non_snake_case, reason = "the fields are called as the library calls its functions")]
        #[derive(Debug)]
        pub(super) struct $table { $(pub(super) $name: $function,)* }

        impl $table {
            pub(super) fn of(library: &$crate::device::cuda::libraries::Library) -> $crate::Result<Self> {
                // SAFETY: the types above are those of the library's manual; an enum of C is passed as its
                // integer.
                Ok(unsafe { $table { $($name: library.function::<$function>(stringify!($name))?,)* } })
            }
        }
    };
}
pub(super) use function_table;
