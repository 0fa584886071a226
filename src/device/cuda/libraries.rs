//! Dynamic loading of the CUDA libraries: the driver, cuDNN and cuBLAS.
//!
//! None of them is linked, so one program runs on machines with and without CUDA. The crate `cudarc` is not used: its
//! bindings read statuses into Rust enums, where the unknown value of a newer library is undefined behaviour, and its
//! loading panics when a file is missing and searches no folders beyond the loader's.

pub(super) mod declare;
pub(super) mod driver;
mod python;
mod search;
pub(super) mod specs;
pub(super) mod versions;

pub use search::Search;

use super::fatbin::{self, IS_STATIC};
use crate::{Error, Result};
use search::NotFound;
use specs::{CUBLAS, CUDNN, DRIVER, LibrarySpec};
use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A version: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The location of an open library.
#[derive(Clone, Debug)]
enum Location {
    /// A name that the loader resolved.
    Loader(&'static str),
    File(PathBuf),
}

/// An open library. It stays open until the process ends, since function pointers, the library's own threads and its
/// exit handlers refer to its code.
#[derive(Clone, Debug)]
pub struct Library {
    name: &'static str,
    location: Location,
    handle: &'static libloading::Library,
    version: Option<Version>,
}

impl Library {
    fn new(spec: &LibrarySpec, location: Location, handle: libloading::Library) -> Self {
        let handle = Box::leak(Box::new(handle));
        let library = Library { name: spec.name, location, handle, version: None };
        Library { version: (spec.version)(&library), ..library }
    }

    /// The version that the library reports; none if the query failed. For the driver it is the newest CUDA version
    /// that the driver supports.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Looks up an exported function by name.
    ///
    /// # Errors
    /// The library exports no function of this name.
    ///
    /// # Safety
    /// `F` is a function pointer of the type that the library's manual gives for this name.
    pub unsafe fn function<F: Copy>(&self, name: &str) -> Result<F> {
        // SAFETY: the caller guarantees the type; the library is never closed, so the pointer stays valid.
        let found = CString::new(name).ok().and_then(|text| unsafe { self.handle.get::<F>(text).ok() });
        found.map(|symbol| *symbol).ok_or_else(|| {
            Error::Device(format!(
                "{self}: it has no function {name}; install a version that this program supports ({})",
                self.fix()
            ))
        })
    }

    fn fix(&self) -> &'static str {
        let specs = [&DRIVER, &CUBLAS, &CUDNN];
        specs.into_iter().find(|spec| spec.name == self.name).map_or("", |spec| spec.fix)
    }
}

/// The name, version and location.
impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match self.version {
            Some(version) if self.name == DRIVER.name => write!(f, "for CUDA {}.{}", version.0, version.1)?,
            Some(version) => write!(f, "{version}")?,
            None => f.write_str("version unknown")?,
        }
        match &self.location {
            Location::Loader(file) => write!(f, ", {file} as the loader finds it"),
            Location::File(path) => write!(f, ", {}", path.display()),
        }
    }
}

/// The reason why a library cannot be used, and how to fix it.
#[derive(Clone, Debug)]
pub struct Fault {
    what: String,
    folders: Vec<PathBuf>,
    fix: String,
}

impl Fault {
    /// The reason in one short clause, without the folders and the fix.
    pub fn brief(&self) -> &str {
        &self.what
    }

    fn not_found(spec: &LibrarySpec, found: NotFound) -> Self {
        let NotFound { failures, old, folders } = found;
        let name = spec.name;
        let what = match (failures.is_empty(), old) {
            (false, _) => format!("{name}: could not be opened: {}", failures.join("; ")),
            (true, Some(old)) => format!("{name}: {old} is too old, {} is needed", spec.files.join(" or ")),
            (true, None) => format!("{name}: not found ({})", spec.files.join(", ")),
        };
        Fault { what, folders, fix: spec.fix.to_string() }
    }

    fn of_static(spec: &LibrarySpec) -> Self {
        let what = format!(
            "{}: not searched, because a program that is linked statically loads no libraries",
            spec.name
        );
        let fix = "for a GPU take the program whose target ends with -linux-gnu".to_string();
        Fault { what, folders: Vec::new(), fix }
    }
}

/// One paragraph: the reason, the folders that were searched, the fix.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.folders.is_empty() {
            let folders: Vec<String> =
                self.folders.iter().map(|folder| folder.display().to_string()).collect();
            write!(f, ", looked for on the loader's path and in {}", folders.join(", "))?;
        }
        write!(f, "; {}", self.fix)
    }
}

impl From<&Fault> for Error {
    fn from(fault: &Fault) -> Self {
        Error::Device(fault.to_string())
    }
}

/// The CUDA driver and its devices.
#[derive(Clone, Debug)]
pub struct Driver {
    /// The library: `libcuda.so.1` or `nvcuda.dll`.
    pub library: Library,
    /// The names of the devices, at least one; else the reason why there is none.
    pub devices: std::result::Result<Vec<String>, Fault>,
}

/// The CUDA libraries and devices of this machine. `bcreid doctor` prints its text.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The driver, if it is new enough for the kernels of this program.
    pub driver: std::result::Result<Driver, Fault>,
    /// The cuBLAS library, version 12 or 13.
    pub cublas: std::result::Result<Library, Fault>,
    /// The cuDNN library, version 9.
    pub cudnn: std::result::Result<Library, Fault>,
    /// One line for each relative path in the environment, which is not searched.
    pub notes: Vec<String>,
}

/// The CUDA libraries and devices of this machine. The first call searches; later calls return the same result.
pub fn probe() -> &'static Probe {
    static PROBE: OnceLock<Probe> = OnceLock::new();
    PROBE.get_or_init(|| match IS_STATIC {
        true => Probe::of_static(),
        false => Probe::of(&Search::from_environment()),
    })
}

impl Probe {
    /// Searches all libraries in the folders of `search`.
    pub fn of(search: &Search) -> Self {
        let open = |spec| search.open(spec).map_err(|found| Fault::not_found(spec, found));
        let driver = open(&DRIVER).and_then(|library| {
            driver::new_enough(&library, fatbin::embedded().ok().map(|kernels| kernels.nvcc))?;
            Ok(Driver { devices: driver::devices(&library), library })
        });
        // cuBLAS is opened before cuDNN, which loads cublasLt by name and so uses the one that is open.
        Probe { driver, cublas: open(&CUBLAS), cudnn: open(&CUDNN), notes: search.notes.clone() }
    }

    /// Of a program that is linked statically: it has no libraries.
    fn of_static() -> Self {
        let [driver, cublas, cudnn] = [&DRIVER, &CUBLAS, &CUDNN].map(Fault::of_static);
        Probe { driver: Err(driver), cublas: Err(cublas), cudnn: Err(cudnn), notes: Vec::new() }
    }

    /// The first reason why no CUDA device can be opened; none if one can.
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
        self.notes.iter().try_for_each(|note| write!(f, "\n{note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_program_names_the_program_for_gpus() {
        let probe = Probe::of_static();
        let shown = probe.to_string();
        assert_eq!(shown.lines().filter(|line| line.contains("ends with -linux-gnu")).count(), 3, "{shown}");
        assert!(probe.fault().unwrap().brief().starts_with("driver: not searched"), "{shown}");
    }
}
