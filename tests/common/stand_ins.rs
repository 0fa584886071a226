//! The stand-ins for the CUDA libraries (`tools/softcuda`) with this program's kernels, and the start of tests on them.

use softcuda::{Build, StandIns};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The stand-ins with all of this program's kernels, built once; for a build without kernels none, and a note, written
/// past the test's capture, which would hide it.
pub fn stand_ins() -> Option<&'static StandIns> {
    static BUILT: OnceLock<StandIns> = OnceLock::new();
    if let Err(why) = bcreid::device::cuda::fatbin::embedded() {
        let required = std::env::var_os("BCREID_REQUIRE_KERNELS").is_some_and(|value| value == "1");
        assert!(!required, "BCREID_REQUIRE_KERNELS=1, but kernels: {why}");
        std::io::stderr().write_all(format!("skipped, kernels: {why}\n").as_bytes()).unwrap();
        return None;
    }
    Some(BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut kernels: Vec<PathBuf> =
            files.filter(|file| file.extension().is_some_and(|e| e == "cu")).collect();
        kernels.sort();
        let build = kernels.into_iter().fold(Build::new(env!("CARGO_TARGET_TMPDIR")), Build::file);
        build.stand_ins().unwrap_or_else(|error| panic!("{error}"))
    }))
}

/// The variables by which a process finds the stand-ins; none with BCREID_TEST_GPU=1, which means the machine's own
/// GPU.
pub fn environment(stand_ins: &StandIns) -> Vec<(&'static str, OsString)> {
    if on_gpu() { Vec::new() } else { stand_ins.environment().into() }
}

/// Whether the tests run on the machine's own GPU: BCREID_TEST_GPU=1.
pub fn on_gpu() -> bool {
    std::env::var_os("BCREID_TEST_GPU").is_some_and(|value| value == "1")
}

/// Marks a process that a test started for itself.
const INNER: &str = "BCREID_TEST_INNER";

/// Whether this is the process that [`in_own_process`] starts.
pub fn is_inner() -> bool {
    std::env::var_os(INNER).is_some()
}

/// Runs the test `name` again in a process of its own, and `body` there: a library path counts only when a process
/// starts.
#[track_caller]
pub fn in_own_process(name: &str, body: impl FnOnce()) {
    if is_inner() {
        return body();
    }
    let Some(stand_ins) = stand_ins() else { return };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env(INNER, name).envs(environment(stand_ins));
    let output = command.output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    // A name that no test has would succeed as well.
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
}
