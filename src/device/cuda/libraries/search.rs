//! Where a CUDA library may lie, and opening it there.
//!
//! The order: the loader's own way, the CUDA toolkit, conda, then the folders into which Python wheels
//! unpack. A file that is there and cannot be opened does not end the search; it is remembered, and told when
//! nothing else is found.

use super::{Library, Place, Wanted};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

/// The folders to look into, as the environment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Folders with libraries: of the toolkit, of conda.
    folders: Vec<PathBuf>,
    /// Python's `site-packages` and their like; the libraries lie deeper.
    sites: Vec<PathBuf>,
}

/// What a search without success has to tell.
pub(super) struct NotFound {
    /// Files that are there, each with the reason why it could not be opened.
    pub refusals: Vec<String>,
    /// The file of a version that is too old, if there is one.
    pub old: Option<String>,
    /// All folders that were looked into.
    pub folders: Vec<PathBuf>,
}

impl Search {
    /// The folders of this process's environment: `CUDA_HOME`, `CUDA_PATH`, `CONDA_PREFIX`, `VIRTUAL_ENV`,
    /// `PYTHONPATH`, the person's own and the system's Python.
    pub fn from_environment() -> Self {
        Search::new(|name| env::var_os(name).filter(|value| !value.is_empty()), Path::new("/"))
    }

    /// As [`Search::from_environment`], with variables and system folders from elsewhere.
    fn new(variable: impl Fn(&str) -> Option<OsString>, root: &Path) -> Self {
        let path = |name: &str| variable(name).map(PathBuf::from);
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
            sites.extend(env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()));
        }
        if let Some(data) = path("APPDATA").filter(|_| cfg!(windows)) {
            sites
                .extend(versions(&data.join("Python"), "Python3").map(|python| python.join("site-packages")));
        }
        let own = path("HOME").map(|home| home.join(".local"));
        for prefix in own.into_iter().chain([root.join("usr"), root.join("usr/local")]) {
            sites.extend(sites_of(&prefix));
        }
        Search { folders: distinct(folders), sites: distinct(sites) }
    }

    /// The folders in which `wanted` may lie, in the order in which they are tried.
    fn folders(&self, wanted: &Wanted) -> Vec<PathBuf> {
        if wanted.wheel_folders.is_empty() {
            return Vec::new();
        }
        let in_site =
            |site: &PathBuf| wanted.wheel_folders.iter().map(|below| site.join(below)).collect::<Vec<_>>();
        self.folders.iter().cloned().chain(self.sites.iter().flat_map(in_site)).collect()
    }

    /// The first file of `wanted` that opens.
    pub(super) fn open(&self, wanted: &'static Wanted) -> Result<Library, NotFound> {
        let mut refusals = Vec::new();
        for file in wanted.files {
            match open_whole(wanted, None, file) {
                Ok(handle) => return Ok(Library::keep(wanted, Place::Loader(file), handle)),
                Err(reason) if is_absence(&reason, file) => {}
                Err(reason) => refusals.push(reason),
            }
        }
        let folders = self.folders(wanted);
        for folder in &folders {
            for file in wanted.files {
                let path = folder.join(file);
                if !path.exists() {
                    continue;
                }
                match open_whole(wanted, Some(folder), file) {
                    Ok(handle) => return Ok(Library::keep(wanted, Place::File(path), handle)),
                    Err(reason) => refusals.push(format!("{}: {reason}", path.display())),
                }
            }
        }
        Err(NotFound { refusals, old: find_old(wanted, &folders), folders })
    }
}

/// Opens `file`, and before it what it needs of its own folder.
///
/// On Linux each part finds the others beside it ($ORIGIN stands in all of NVIDIA's files), so that nothing
/// is opened there but the part without which the library would end the process (see [`Wanted::heart`]).
/// Windows looks for parts in the program's folders only, unless they are open already.
fn open_whole(wanted: &Wanted, folder: Option<&Path>, file: &str) -> Result<libloading::Library, String> {
    let at = |file: &str| folder.map_or_else(|| PathBuf::from(file), |folder| folder.join(file));
    let heart = wanted.heart.map(|heart| open(at(heart).as_os_str())).transpose();
    for part in wanted.parts {
        // Without it the library itself says what it lacks.
        if let Ok(part) = open(at(part).as_os_str()) {
            std::mem::forget(part);
        }
    }
    let library = open(at(file).as_os_str())?;
    match heart {
        Ok(heart) => std::mem::forget(heart),
        Err(reason) => return Err(format!("a part of {file} could not be opened: {reason}")),
    }
    Ok(library)
}

fn open(file: &OsStr) -> Result<libloading::Library, String> {
    // SAFETY: opening runs the initialisers of a library that the person, or the system's owner, installed
    // under the name of NVIDIA's. NVIDIA's own expect nothing of their caller.
    unsafe { libloading::Library::new(file) }.map_err(|error| reason(&error))
}

/// The system's own words.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Whether the loader found no file of this name, in contrast to one that it could not open. Its words are
/// known for Linux alone; elsewhere a refusal counts as absence.
fn is_absence(reason: &str, file: &str) -> bool {
    !cfg!(target_os = "linux")
        || reason.starts_with(&format!("{file}: cannot open shared object file: No such file"))
}

fn find_old(wanted: &Wanted, folders: &[PathBuf]) -> Option<String> {
    let in_folder = |old: &&str| folders.iter().map(|folder| folder.join(old)).find(|path| path.exists());
    wanted.old.iter().find_map(|old| {
        let by_loader = || open(OsStr::new(old)).is_ok().then(|| (*old).to_string());
        in_folder(old).map(|path| path.display().to_string()).or_else(by_loader)
    })
}

/// Below a toolkit.
const TOOLKIT: &[&str] = if cfg!(windows) { &["bin", "bin/x64"] } else { &["lib64"] };
/// Below a conda environment.
const CONDA: &str = if cfg!(windows) { "Library/bin" } else { "lib" };

/// The package folders of a Python that is installed at `prefix`.
fn sites_of(prefix: &Path) -> Vec<PathBuf> {
    if cfg!(windows) {
        return vec![prefix.join("Lib/site-packages")];
    }
    let both = |python: PathBuf| [python.join("site-packages"), python.join("dist-packages")];
    versions(&prefix.join("lib"), "python3").flat_map(both).filter(|site| site.is_dir()).collect()
}

/// The folders in `folder` whose names begin with `prefix`, in the order of their names.
fn versions(folder: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of_prefix = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(prefix);
    let mut found: Vec<PathBuf> = entries.filter(of_prefix).map(|entry| entry.path()).collect();
    found.sort();
    found.into_iter()
}

fn distinct(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !kept.contains(&path) {
            kept.push(path);
        }
    }
    kept
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// A library that no machine has.
    static NOBODYS: Wanted = Wanted {
        name: "Nobody's",
        files: &["libnobodys.so.9", "libnobodys.so.8"],
        old: &["libnobodys.so.7"],
        heart: None,
        parts: &[],
        wheel_folders: &["nvidia/nobody/lib"],
        version: |_| None,
        mend: "write it",
    };

    fn touch(path: &Path, content: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn not_found(search: &Search) -> NotFound {
        match search.open(&NOBODYS) {
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
        let variables = HashMap::from([
            ("CUDA_HOME", join("cuda")),
            ("CUDA_PATH", join("cuda")),
            ("CONDA_PREFIX", join("conda")),
            ("VIRTUAL_ENV", join("venv")),
            ("HOME", join("home")),
            ("PYTHONPATH", python),
        ]);
        let search = Search::new(|name| variables.get(name).cloned(), root);
        let full = |paths: &[&str]| paths.iter().map(|path| root.join(path)).collect::<Vec<_>>();
        assert_eq!(search.folders, full(&["cuda/lib64", "usr/local/cuda/lib64", "conda/lib"]));
        let sites = full(&[
            "venv/lib/python3.12/site-packages",
            "a",
            "b",
            "home/.local/lib/python3.11/site-packages",
            "home/.local/lib/python3.9/site-packages",
            "usr/lib/python3/dist-packages",
            "usr/local/lib/python3.13/dist-packages",
        ]);
        assert_eq!(search.sites, sites);
        assert_eq!(search.folders(&NOBODYS)[3], sites[0].join("nvidia/nobody/lib"));
    }

    #[test]
    fn a_file_that_is_no_library_is_named_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let search =
            Search { folders: vec![], sites: vec![root.path().join("empty"), root.path().join("site")] };
        assert!(not_found(&search).refusals.is_empty());
        let file = root.path().join("site/nvidia/nobody/lib/libnobodys.so.8");
        touch(&file, "no library");
        let told = not_found(&search);
        assert_eq!(told.refusals.len(), 1);
        assert!(told.refusals[0].starts_with(&format!("{}: ", file.display())), "{}", told.refusals[0]);
        assert_eq!(told.folders.len(), 2);
        assert_eq!(told.old, None);
    }

    #[test]
    fn an_old_version_is_noticed_and_not_opened() {
        let root = tempfile::tempdir().unwrap();
        let search = Search { folders: vec![root.path().join("lib")], sites: vec![] };
        let old = root.path().join("lib/libnobodys.so.7");
        touch(&old, "");
        assert_eq!(not_found(&search).old, Some(old.display().to_string()));
    }
}
