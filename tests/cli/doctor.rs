//! `bcreid doctor`: its report of the processor and of the kernels in this build.

use super::support::{assert_says, bcreid, fail, succeed};
use bcreid::device::cpu::isa::{Isa, VARIABLE};
use bcreid::device::cuda::fatbin;
#[cfg(target_os = "linux")]
use std::process::Command;

#[test]
fn doctor_lists_the_kernels_or_how_to_get_them() {
    let looked = succeed(bcreid().arg("doctor"));
    match fatbin::embedded() {
        Ok(kernels) => {
            let sum = format!("cuda kernels: {} in ", kernels.kernels.len());
            assert!(looked.contains(&sum) && looked.contains(kernels.nvcc), "{looked}");
            for architecture in kernels.architectures {
                assert!(looked.contains(&format!("sm_{architecture}")), "{looked}");
            }
            for kernel in kernels.kernels {
                let row = looked.lines().find(|line| line.split_whitespace().next() == Some(kernel.name));
                assert_eq!(row.unwrap_or(&looked).split_whitespace().count(), 4, "{looked}");
            }
        }
        Err(why) => assert!(looked.contains(&format!("cuda kernels: {why}")), "{looked}"),
    }
}

#[test]
fn an_instruction_set_can_be_forced() {
    let loops = |isa| match isa {
        Isa::Portable => "portable loops",
        Isa::Avx2 => "AVX2 and FMA loops",
        Isa::Avx512 => "AVX-512 loops",
    };
    for isa in Isa::ALL {
        let mut doctor = bcreid();
        doctor.arg("doctor").env(VARIABLE, isa.name());
        match isa.is_here() {
            true => assert_says(&succeed(&mut doctor), &[loops(isa)]),
            false => assert_says(&fail(&mut doctor), &[isa.name(), "the processor lacks it", "portable"]),
        }
    }
    let refused = fail(bcreid().arg("doctor").env(VARIABLE, "sse9"));
    assert_says(&refused, &["BCREID_CPU=sse9", "unknown instruction set", "portable"]);
    assert_says(&succeed(bcreid().arg("doctor").env(VARIABLE, "")), &[loops(Isa::widest())]);
}

/// The line of the threads; without `--threads` unless the command has it.
#[cfg(target_os = "linux")]
fn threads(command: &mut Command) -> String {
    let said = succeed(command.env_remove("RAYON_NUM_THREADS"));
    said.lines().find_map(|line| line.strip_prefix("threads: ")).expect("a line of the threads").to_string()
}

/// The program as users call it.
#[cfg(target_os = "linux")]
fn plain() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
    command.arg("doctor");
    command
}

/// Does `work` on a thread that may use one core only; processes that it starts may use no more.
#[cfg(target_os = "linux")]
fn on_one_core<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let confined = || {
        let size = size_of::<libc::cpu_set_t>();
        // SAFETY: a set of cores is an array of bits, for which zero is valid. The calls read and write one set of the
        // given size, of the calling thread, and the macros access bits inside of the set.
        unsafe {
            let mut allowed: libc::cpu_set_t = std::mem::zeroed();
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            assert_eq!(libc::sched_getaffinity(0, size, &raw mut allowed), 0);
            let first = (0..8 * size).find(|&core| libc::CPU_ISSET(core, &allowed)).unwrap();
            libc::CPU_SET(first, &mut one);
            assert_eq!(libc::sched_setaffinity(0, size, &raw const one), 0);
        }
        work()
    };
    std::thread::scope(|scope| scope.spawn(confined).join().unwrap())
}

/// Cores that this process may use; a message if one is too few for a test.
#[cfg(target_os = "linux")]
fn several_cores() -> Option<usize> {
    let cores = std::thread::available_parallelism().unwrap().get();
    if cores == 1 {
        println!("skipped: this needs two cores");
    }
    (cores > 1).then_some(cores)
}

#[cfg(target_os = "linux")]
#[test]
fn threads_follow_the_affinity() {
    let Some(cores) = several_cores() else { return };
    assert_says(&threads(&mut plain()), &[&cores.to_string()]);
    let one = on_one_core(|| threads(&mut plain()));
    assert!(one.starts_with("1 for ") && one.contains("by the CPU affinity"), "{one}");
    let three = on_one_core(|| threads(plain().args(["--threads", "3"])));
    assert!(three.starts_with("3, by --threads; this process may use 1 core,"), "{three}");
    let said = succeed(plain().env("RAYON_NUM_THREADS", "2"));
    assert!(said.contains("threads: 2, by RAYON_NUM_THREADS"), "{said}");
}

/// A control group with a CPU quota of one core and a half; removed when dropped.
#[cfg(target_os = "linux")]
struct Quota(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Quota {
    /// In version 1 or 2 of control groups; an error where this user may not make one.
    fn new() -> std::io::Result<Self> {
        let name = format!("bcreid-test-{}", std::process::id());
        let of_cpu = std::path::Path::new("/sys/fs/cgroup/cpu");
        let (root, file, quota) =
            match of_cpu.join("cpu.cfs_quota_us").is_file() || of_cpu.join("tasks").is_file() {
                true => (of_cpu, "cpu.cfs_quota_us", "150000"),
                false => (std::path::Path::new("/sys/fs/cgroup"), "cpu.max", "150000 100000"),
            };
        let group = Quota(root.join(name));
        std::fs::create_dir(&group.0)?;
        std::fs::write(group.0.join(file), quota)?;
        Ok(group)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Quota {
    fn drop(&mut self) {
        // Its processes have ended; a group that is left is empty.
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn threads_follow_the_quota_of_the_control_group() {
    if several_cores().is_none() {
        return;
    }
    let group = match Quota::new() {
        Ok(group) => group,
        Err(why) => return println!("skipped: no control group can be made here: {why}"),
    };
    // The shell enters the group before it becomes the program.
    let mut inside = Command::new("sh");
    inside.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&group.0);
    inside.arg(env!("CARGO_BIN_EXE_bcreid")).arg("doctor");
    let said = threads(&mut inside);
    assert!(said.starts_with("1 for ") && said.contains("by the CPU quota"), "{said}");
}
