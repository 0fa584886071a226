//! The report of `libraries::probe` with all, some or none of the libraries.

use crate::standin::{build, folder_with, is_inner, passes_again, with_stand_ins};
use bcreid::Error;
use bcreid::device::cuda::libraries::probe;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

#[test]
fn all_libraries_are_found_by_the_loader() {
    with_stand_ins("probe::all_libraries_are_found_by_the_loader", || {
        let probe = probe();
        let shown = probe.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 4, "{shown}");
        assert_eq!(lines[0], "driver: for CUDA 13.0, libcuda.so.1 as the loader finds it");
        assert!(lines[1].starts_with("cuda:0: softcuda"), "{shown}");
        assert!(lines[2].starts_with("cuBLAS: ") && lines[2].contains("libcublas.so.13 as"), "{shown}");
        assert!(lines[3].starts_with("cuDNN: 9.10.0, libcudnn.so.9 as the loader"), "{shown}");
        assert!(probe.fault().is_none(), "{shown}");
        assert!(std::ptr::eq(probe, bcreid::device::cuda::libraries::probe()));
        let cudnn = probe.cudnn.as_ref().unwrap();
        // SAFETY: there is no such function, so none is called.
        let error = unsafe { cudnn.function::<unsafe extern "C" fn()>("cudnnWash") }.unwrap_err().to_string();
        assert!(error.contains("cuDNN: 9.10.0") && error.contains("no function cudnnWash"), "{error}");
    });
}

/// Runs a test with nothing but `folder` on the library path.
fn in_folder(name: &str, folder: &Path) {
    let mut environment = build().environment();
    environment[0].1 = folder.into();
    passes_again(name, environment.into());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_missing_library_is_reported_with_folders_and_fix() {
    if !is_inner() {
        let folder = folder_with(&["libcuda.so.1", "libcublas.so.13"]);
        return in_folder("probe::a_missing_library_is_reported_with_folders_and_fix", &folder);
    }
    let probe = probe();
    assert!(probe.driver.is_ok() && probe.cublas.is_ok(), "{probe}");
    let Err(fault) = &probe.cudnn else {
        eprintln!("this machine has a cuDNN of its own: {probe}");
        return;
    };
    assert_eq!(fault.brief(), "cuDNN: not found (libcudnn.so.9)");
    let told = Error::from(fault).to_string();
    assert!(told.contains("on the loader's path and in /usr/local/cuda/lib64"), "{told}");
    assert!(told.ends_with("; to get it: pip install nvidia-cudnn-cu13"), "{told}");
    assert!(probe.to_string().contains(&told), "{probe}");
    assert_eq!(probe.fault().map(ToString::to_string), Some(told));
}

/// The true cuDNN ends the process when it is called without this part.
#[test]
fn a_cudnn_without_its_heart_is_not_called() {
    if !is_inner() {
        let folder = folder_with(&["libcuda.so.1", "libcudnn.so.9"]);
        std::fs::write(folder.join("libcudnn_graph.so.9"), "no library").unwrap();
        return in_folder("probe::a_cudnn_without_its_heart_is_not_called", &folder);
    }
    match &probe().cudnn {
        // A cuDNN of this machine's own, in another folder.
        Ok(other) => assert!(!other.to_string().contains("as the loader finds it"), "{other}"),
        Err(fault) => {
            let told = fault.brief();
            assert!(told.contains("a part of libcudnn.so.9 could not be opened: "), "{told}");
            assert!(told.contains("libcudnn_graph.so.9"), "{told}");
        }
    }
}

/// A folder that holds a cuDNN below `site`, where Python's packages lie, and the other libraries.
fn folder_with_a_site() -> PathBuf {
    let folder = folder_with(&["libcuda.so.1", "libcublas.so.13"]);
    let site = folder.join("site/nvidia/cudnn/lib");
    std::fs::create_dir_all(&site).unwrap();
    for file in ["libcudnn.so.9", "libcudnn_graph.so.9"] {
        std::os::unix::fs::symlink(build().folder().join(file), site.join(file)).unwrap();
    }
    folder
}

/// Runs a test in the folder of [`folder_with_a_site`] with this PYTHONPATH.
fn with_python_path(name: &str, path: impl FnOnce(&Path) -> OsString) {
    let folder = folder_with_a_site();
    let mut environment: Vec<_> = build().environment().into();
    environment[0].1 = folder.clone().into();
    environment.push(("PYTHONPATH", path(&folder)));
    passes_again(name, environment);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Code of the folder that the program was started in does not run.
#[test]
fn a_relative_path_is_named_and_not_searched() {
    if !is_inner() {
        return with_python_path("probe::a_relative_path_is_named_and_not_searched", |_| "site".into());
    }
    std::env::set_current_dir(std::env::var_os("LD_LIBRARY_PATH").unwrap()).unwrap();
    assert!(Path::new("site/nvidia/cudnn/lib/libcudnn.so.9").exists());
    let probe = probe();
    let note = "PYTHONPATH: the relative path \"site\" is not searched for libraries; write an absolute path";
    assert_eq!(probe.notes, [note]);
    assert!(probe.to_string().lines().any(|line| line == note), "{probe}");
    // This machine may have a cuDNN of its own.
    let cudnn = probe.cudnn.as_ref().map_or_else(ToString::to_string, ToString::to_string);
    assert!(!cudnn.contains("site/nvidia"), "{cudnn}");
}

#[test]
fn an_absolute_path_is_searched() {
    if !is_inner() {
        let site = |folder: &Path| folder.join("site").into();
        return with_python_path("probe::an_absolute_path_is_searched", site);
    }
    let probe = probe();
    assert_eq!(probe.notes, [""; 0]);
    assert!(probe.cudnn.is_ok(), "{probe}");
}
