//! The search for a CUDA library.
//!
//! The order: the loader's own search path, the CUDA toolkit, conda, then the folders into which Python wheels
//! unpack. A file that exists and cannot be opened does not end the search; the error message lists it if no other
//! file opens.
//!
//! Only absolute paths of the environment are searched: the code of a library runs with the rights of the program, and
//! a relative path would take it from whatever folder the program was started in.

use super::python::{prefix_on_path, sites_of, versions};
use super::{Library, LibrarySpec, Location};
use crate::error::printable;
use std::cell::RefCell;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The folders to search, from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Folders of libraries: those of the toolkit and of conda.
    folders: Vec<PathBuf>,
    /// Package folders of Python, such as `site-packages`; the libraries are in subfolders.
    sites: Vec<PathBuf>,
    /// One line for each relative entry of the environment.
    pub(super) notes: Vec<String>,
}

/// The result of a search that failed.
pub(super) struct NotFound {
    /// The files that exist, each with the reason why it could not be opened.
    pub failures: Vec<String>,
    /// The file of a version that is too old, if there is one.
    pub old: Option<String>,
    /// All folders that were searched.
    pub folders: Vec<PathBuf>,
}

impl Search {
    /// The folders of this process's environment: `CUDA_HOME`, `CUDA_PATH`, `CONDA_PREFIX`, `VIRTUAL_ENV`,
    /// `PYTHONPATH`, the packages of the `python3` on `PATH`, the user's and the system's.
    pub fn from_environment() -> Self {
        Search::new(|name| env::var_os(name).filter(|value| !value.is_empty()), Path::new("/"))
    }

    /// As [`Search::from_environment`], with the variables of `variable` and the system folders below `root`.
    fn new(variable: impl Fn(&str) -> Option<OsString>, root: &Path) -> Self {
        let notes = RefCell::new(Vec::new());
        let is_absolute = |name: &str, path: &PathBuf| {
            if !path.is_absolute() {
                let shown = printable(&path.display().to_string());
                notes.borrow_mut().push(format!(
                    "{name}: the relative path {shown:?} is not searched for libraries; write an absolute path"
                ));
            }
            path.is_absolute()
        };
        let path = |name: &str| variable(name).map(PathBuf::from).filter(|path| is_absolute(name, path));
        let conda = path("CONDA_PREFIX");
        let mut folders = Vec::new();
        for toolkit in
            [path("CUDA_HOME"), path("CUDA_PATH"), Some(root.join("usr/local/cuda"))].into_iter().flatten()
        {
            folders.extend(TOOLKIT.iter().map(|below| toolkit.join(below)));
        }
        folders.extend(conda.iter().map(|conda| conda.join(CONDA)));
        let mut sites = Vec::new();
        for prefix in path("VIRTUAL_ENV").iter().chain(&conda) {
            sites.extend(sites_of(prefix));
        }
        if let Some(paths) = variable("PYTHONPATH") {
            let paths = env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty());
            sites.extend(paths.filter(|path| is_absolute("PYTHONPATH", path)));
        }
        if let Some(data) = path("APPDATA").filter(|_| cfg!(windows)) {
            sites
                .extend(versions(&data.join("Python"), "Python3").map(|python| python.join("site-packages")));
        }
        let system = [root.join("usr"), root.join("usr/local")];
        // A virtual environment that is on PATH alone exports nothing. For the system's Python the user's packages come
        // first; it may be found as /bin/python3, where /bin is a link to /usr/bin.
        let on_path = variable("PATH").filter(|_| !cfg!(windows)).and_then(|path| prefix_on_path(&path));
        for prefix in on_path.iter().filter(|prefix| *prefix != root && !system.contains(prefix)) {
            sites.extend(sites_of(prefix));
        }
        let user = path("HOME").map(|home| home.join(".local"));
        for prefix in user.into_iter().chain(system) {
            sites.extend(sites_of(&prefix));
        }
        if cfg!(windows) {
            // `open` does not let the loader search them, since it would search the current folder first.
            let paths = variable("PATH").iter().flat_map(env::split_paths).collect::<Vec<_>>();
            folders.extend(paths.into_iter().filter(|path| is_absolute("PATH", path)));
        } else {
            notes.borrow_mut().extend(relative_loader_paths(variable("LD_LIBRARY_PATH")));
        }
        Search { folders: distinct(folders), sites: distinct(sites), notes: notes.into_inner() }
    }

    /// The folders of a library, in search order.
    fn folders(&self, spec: &LibrarySpec) -> Vec<PathBuf> {
        if spec.wheel_folders.is_empty() {
            return Vec::new();
        }
        let in_site =
            |site: &PathBuf| spec.wheel_folders.iter().map(|below| site.join(below)).collect::<Vec<_>>();
        self.folders.iter().cloned().chain(self.sites.iter().flat_map(in_site)).collect()
    }

    /// Opens the first file of a library that can be opened.
    pub(super) fn open(&self, spec: &'static LibrarySpec) -> Result<Library, NotFound> {
        let mut failures = Vec::new();
        for file in spec.files {
            match open_with_parts(spec, None, file) {
                Ok(handle) => return Ok(Library::new(spec, Location::Loader(file), handle)),
                Err(reason) if is_absence(&reason, file) => {}
                Err(reason) => failures.push(reason),
            }
        }
        let folders = self.folders(spec);
        for folder in &folders {
            for file in spec.files {
                let path = folder.join(file);
                if !path.exists() {
                    continue;
                }
                match open_with_parts(spec, Some(folder), file) {
                    Ok(handle) => return Ok(Library::new(spec, Location::File(path), handle)),
                    Err(reason) => failures.push(format!("{}: {reason}", path.display())),
                }
            }
        }
        Err(NotFound { failures, old: find_old(spec, &folders), folders })
    }
}

/// Opens `file`, and first the parts that it needs from its own folder.
///
/// On Linux each part finds the others in its folder (all of NVIDIA's files have $ORIGIN in their search path), so only
/// the required part is opened first (see [`LibrarySpec::required_part`]). Windows searches for parts in the program's
/// folders only, unless they are open already.
fn open_with_parts(
    spec: &LibrarySpec,
    folder: Option<&Path>,
    file: &str,
) -> Result<libloading::Library, String> {
    let at = |file: &str| folder.map_or_else(|| PathBuf::from(file), |folder| folder.join(file));
    let required = spec.required_part.map(|part| open(at(part).as_os_str())).transpose();
    for part in spec.parts {
        // If a part is missing, the error of the library itself names it.
        if let Ok(part) = open(at(part).as_os_str()) {
            std::mem::forget(part);
        }
    }
    let library = open(at(file).as_os_str())?;
    match required {
        Ok(part) => std::mem::forget(part),
        Err(reason) => return Err(format!("a part of {file} could not be opened: {reason}")),
    }
    Ok(library)
}

fn open(file: &OsStr) -> Result<libloading::Library, String> {
    // SAFETY: opening runs the initialisers of a library that the user or the system's administrator installed under
    // the name of NVIDIA's. NVIDIA's initialisers require nothing of the caller.
    #[cfg(not(windows))]
    let opened = unsafe { libloading::Library::new(file) };
    // By default Windows searches the current folder too.
    #[cfg(windows)]
    let opened = {
        use libloading::os::windows::{
            self, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR,
        };
        let own_folder = if Path::new(file).is_absolute() { LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR } else { 0 };
        let flags = LOAD_LIBRARY_SEARCH_DEFAULT_DIRS | own_folder;
        // SAFETY: as above.
        unsafe { windows::Library::load_with_flags(file, flags) }.map(libloading::Library::from)
    };
    opened.map_err(|error| reason(&error))
}

/// One line for each relative entry of the loader's own search path. The loader reads the variable when the program
/// starts and takes the program's first libraries from there, so that no check of ours comes early enough.
fn relative_loader_paths(paths: Option<OsString>) -> Vec<String> {
    let paths: Vec<PathBuf> = paths.iter().flat_map(env::split_paths).collect();
    let relative = paths.iter().filter(|path| !path.is_absolute()).map(|path| {
        let shown = match path.as_os_str().is_empty() {
            true => "an empty entry".into(),
            false => format!("the relative path {:?}", printable(&path.display().to_string())),
        };
        format!(
            "LD_LIBRARY_PATH: {shown} makes the system's loader take libraries from the current folder; write absolute \
             paths only"
        )
    });
    relative.collect()
}

/// The operating system's error text.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// True if the loader found no file of this name, in contrast to a file that it could not open. The loader's message is
/// known for Linux only; on other systems every failure counts as absence.
fn is_absence(reason: &str, file: &str) -> bool {
    !cfg!(target_os = "linux")
        || reason.starts_with(&format!("{file}: cannot open shared object file: No such file"))
}

fn find_old(spec: &LibrarySpec, folders: &[PathBuf]) -> Option<String> {
    let in_folder = |old: &&str| folders.iter().map(|folder| folder.join(old)).find(|path| path.exists());
    spec.old.iter().find_map(|old| {
        let by_loader = || open(OsStr::new(old)).is_ok().then(|| (*old).to_string());
        in_folder(old).map(|path| path.display().to_string()).or_else(by_loader)
    })
}

/// The library folders of a CUDA toolkit.
const TOOLKIT: &[&str] = if cfg!(windows) { &["bin", "bin/x64"] } else { &["lib64"] };
/// The library folder of a conda environment.
const CONDA: &str = if cfg!(windows) { "Library/bin" } else { "lib" };

fn distinct(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut distinct: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !distinct.contains(&path) {
            distinct.push(path);
        }
    }
    distinct
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::fs;

    /// A library that no machine has.
    static FICTITIOUS: LibrarySpec = LibrarySpec {
        name: "Fictitious",
        files: &["libfictitious.so.9", "libfictitious.so.8"],
        old: &["libfictitious.so.7"],
        required_part: None,
        parts: &[],
        wheel_folders: &["nvidia/fictitious/lib"],
        version: |_| None,
        fix: "write it",
    };

    fn touch(path: &Path, content: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn not_found(search: &Search) -> NotFound {
        match search.open(&FICTITIOUS) {
            Ok(library) => panic!("{library} was found"),
            Err(not_found) => not_found,
        }
    }

    #[test]
    fn the_environment_gives_the_folders_in_order() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for site in [
            "venv/lib/python3.12/site-packages",
            "env/lib/python3.10/site-packages",
            "later/lib/python3.10/site-packages",
            "home/.local/lib/python3.11/site-packages",
            "home/.local/lib/python3.9/site-packages",
            "usr/lib/python3/dist-packages",
            "usr/lib/python2/dist-packages",
            "usr/local/lib/python3.13/dist-packages",
        ] {
            fs::create_dir_all(root.join(site)).unwrap();
        }
        let join = |below: &str| root.join(below).into_os_string();
        let python = env::join_paths([join("a"), join("b")]).unwrap();
        touch(&root.join("env/bin/python3"), "");
        touch(&root.join("later/bin/python3"), "");
        let path = env::join_paths(["bin".into(), join("none"), join("env/bin"), join("later/bin")]).unwrap();
        let variables = HashMap::from([
            ("CUDA_HOME", join("cuda")),
            ("CUDA_PATH", join("cuda")),
            ("CONDA_PREFIX", join("conda")),
            ("VIRTUAL_ENV", join("venv")),
            ("HOME", join("home")),
            ("PYTHONPATH", python),
            ("PATH", path),
        ]);
        let search = Search::new(|name| variables.get(name).cloned(), root);
        let full = |paths: &[&str]| paths.iter().map(|path| root.join(path)).collect::<Vec<_>>();
        assert_eq!(search.folders, full(&["cuda/lib64", "usr/local/cuda/lib64", "conda/lib"]));
        let sites = full(&[
            "venv/lib/python3.12/site-packages",
            "a",
            "b",
            "env/lib/python3.10/site-packages",
            "home/.local/lib/python3.11/site-packages",
            "home/.local/lib/python3.9/site-packages",
            "usr/lib/python3/dist-packages",
            "usr/local/lib/python3.13/dist-packages",
        ]);
        assert_eq!(search.sites, sites);
        assert_eq!(search.folders(&FICTITIOUS)[3], sites[0].join("nvidia/fictitious/lib"));
    }

    #[test]
    fn the_users_packages_come_before_those_of_the_systems_python() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let sites = [
            "home/.local/lib/python3.11/site-packages",
            "usr/lib/python3/dist-packages",
            "usr/local/lib/python3.11/dist-packages",
        ];
        sites.iter().for_each(|site| fs::create_dir_all(root.join(site)).unwrap());
        fs::create_dir_all(root.join("lib/python3/dist-packages")).unwrap();
        for bin in ["bin", "usr/bin", "usr/local/bin"] {
            touch(&root.join(bin).join("python3"), "");
            let variables = HashMap::from([("HOME", root.join("home")), ("PATH", root.join(bin))]);
            let variable = |name: &str| variables.get(name).cloned().map(PathBuf::into_os_string);
            assert_eq!(Search::new(variable, root).sites, sites.map(|site| root.join(site)), "{bin}");
        }
    }

    #[test]
    fn relative_entries_are_named_and_not_searched() {
        let root = tempfile::tempdir().unwrap();
        let (root, python) = (root.path(), env::join_paths(["py", "/a", "", "./b\n"]).unwrap());
        let variables: HashMap<&str, OsString> = HashMap::from([
            ("CUDA_HOME", "cuda".into()),
            ("CUDA_PATH", "../cuda".into()),
            ("CONDA_PREFIX", ".".into()),
            ("VIRTUAL_ENV", "venv".into()),
            ("HOME", "home".into()),
            ("PYTHONPATH", python),
            ("LD_LIBRARY_PATH", ":/b:lib".into()),
        ]);
        let search = Search::new(|name| variables.get(name).cloned(), root);
        assert_eq!(search.folders, [root.join("usr/local/cuda/lib64")]);
        assert_eq!(search.sites, [PathBuf::from("/a")]);
        let not_searched = |variable: &str, path: &str| {
            format!(
                "{variable}: the relative path {path:?} is not searched for libraries; write an absolute path"
            )
        };
        let by_the_loader = |what: &str| {
            format!(
                "LD_LIBRARY_PATH: {what} makes the system's loader take libraries from the current folder; write \
                 absolute paths only"
            )
        };
        let expected = [
            not_searched("CONDA_PREFIX", "."),
            not_searched("CUDA_HOME", "cuda"),
            not_searched("CUDA_PATH", "../cuda"),
            not_searched("VIRTUAL_ENV", "venv"),
            not_searched("PYTHONPATH", "py"),
            not_searched("PYTHONPATH", "./b\\n"),
            not_searched("HOME", "home"),
            by_the_loader("an empty entry"),
            by_the_loader("the relative path \"lib\""),
        ];
        assert_eq!(search.notes, expected);
        let absolute = Search::new(|name| (name == "HOME").then(|| root.into()), root);
        assert_eq!(absolute.notes, [""; 0]);
    }

    #[test]
    fn a_file_that_is_no_library_is_named_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let search = Search {
            folders: vec![],
            sites: vec![root.path().join("empty"), root.path().join("site")],
            notes: vec![],
        };
        assert!(not_found(&search).failures.is_empty());
        let file = root.path().join("site/nvidia/fictitious/lib/libfictitious.so.8");
        touch(&file, "no library");
        let found = not_found(&search);
        assert_eq!(found.failures.len(), 1);
        assert!(found.failures[0].starts_with(&format!("{}: ", file.display())), "{}", found.failures[0]);
        assert_eq!(found.folders.len(), 2);
        assert_eq!(found.old, None);
    }

    #[test]
    fn an_old_version_is_noticed_and_not_opened() {
        let root = tempfile::tempdir().unwrap();
        let search = Search { folders: vec![root.path().join("lib")], sites: vec![], notes: vec![] };
        let old = root.path().join("lib/libfictitious.so.7");
        touch(&old, "");
        assert_eq!(not_found(&search).old, Some(old.display().to_string()));
    }
}
