//! The debugger: the session that chapter 12 of the book shows, run by gdb and compared.
//!
//! Without gdb, or where it may not run a program, the tests say so and pass; with `BCREID_REQUIRE_GDB` they fail.
#![cfg(target_arch = "x86_64")] // other processors' fibers keep their registers elsewhere

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PAGE: &str = "docs/book/src/12-cuda.md";
const PROMPT: &str = "(gdb) ";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Whether gdb is there and may run a program.
fn has_gdb() -> bool {
    // Without the terminal: gdb would take it for the program that it runs, and this process would be stopped.
    let mut trial = Command::new("gdb");
    trial.args(["-nx", "-batch", "-ex", "run", "--args", "true"]).stdin(Stdio::null());
    let trial = trial.output();
    let reason = match trial {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("exited normally") => return true,
        Ok(output) => {
            format!("gdb cannot run a program here: {}", String::from_utf8_lossy(&output.stderr).trim())
        }
        Err(error) => format!("no gdb: {error}"),
    };
    assert!(std::env::var_os("BCREID_REQUIRE_GDB").is_none(), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

/// `softcuda_launch` with these words, in the repository.
fn launch(words: &[&str]) -> Output {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/softcuda_launch");
    assert!(
        program.is_file(),
        "{} is not built: cargo build --release -p softcuda --examples",
        program.display()
    );
    let mut command = Command::new(program);
    command.args(["--out", env!("CARGO_TARGET_TMPDIR")]).args(words);
    command.current_dir(repository()).stdin(Stdio::null()).output().unwrap()
}

/// What gdb prints for these commands, each behind its prompt.
fn session(name: &str, words: &[&str], commands: &[&str]) -> Vec<String> {
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.gdb"));
    let lines: String = commands.iter().map(|line| format!("echo {PROMPT}{line}\\n\n{line}\n")).collect();
    std::fs::write(&script, lines).unwrap();
    let output = launch(&[&["--script", script.to_str().unwrap()], words].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{said}");
    printed.lines().map(|line| line.trim_end().to_string()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_session_of_the_book_prints_what_the_page_shows() {
    let page = std::fs::read_to_string(repository().join(PAGE)).unwrap();
    let block = page.split("```text\n").find(|block| block.starts_with("softcuda_launch ")).unwrap();
    let (block, _) = block.split_once("\n```").unwrap();
    // The command may go on behind a backslash.
    let joined = block.replace("\\\n", "");
    let mut lines = joined.lines();
    let words: Vec<&str> = lines.next().unwrap().split_whitespace().skip(1).collect();
    let shown: Vec<&str> = lines.collect();
    let commands: Vec<&str> = shown.iter().filter_map(|line| line.strip_prefix(PROMPT)).collect();
    assert!(words.contains(&"--stop") && commands.len() >= 5, "{block}");
    if !has_gdb() {
        return;
    }
    let printed = session("book", &words, &commands);
    assert_eq!(printed, shown, "{PAGE} shows another session; gdb printed:\n{}", printed.join("\n"));
}

#[test]
fn a_stopped_thread_sees_its_place_its_variables_and_what_the_others_do() {
    if !has_gdb() {
        return;
    }
    let softmax = "tools/softcuda/tests/kernels/softmax.cu";
    let kernels = std::fs::read_to_string(repository().join(softmax)).unwrap();
    let line = |part: &str| 1 + kernels.lines().position(|line| line.contains(part)).unwrap();
    let (barrier, behind) = (line("__syncthreads();"), line("largest = warp_max(lane < warps"));
    let words =
        ["--stop", "1:3", softmax, "softmax", "2", "64", "f32:128:count", "f32:128:unwritten", "i32:64"];
    let to = format!("thread-to softmax.cu:{behind}");
    let commands = [
        "print blockIdx",
        "print threadIdx.x",
        "info lanes columns",
        &to,
        "print largest",
        "info lanes largest",
        "info lanes threadIdx.x % 2",
        "info shared",
        "info shared partial",
        "on-thread 33 print largest",
        "print threadIdx",
        "info block",
        "next",
        "print threadIdx",
    ];
    // Row 1 has 64 to 127: each warp's largest element is that of its last lane.
    let even_and_odd: String = (0..32).map(|lane| format!("  lane {lane}: {}\n", lane % 2)).collect();
    let expected = format!(
        "block (1, 0, 0), thread (3, 0, 0), at softmax.cu:{start}\n\
         (gdb) print blockIdx\n$1 = (1, 0, 0)\n\
         (gdb) print threadIdx.x\n$2 = 3\n\
         (gdb) info lanes columns\n  lanes 0 to 3: 64\n  lanes 4 to 31: has not started\n\
         (gdb) {to}\nblock (1, 0, 0), thread (3, 0, 0), at softmax.cu:{behind}\n\
         (gdb) print largest\n$3 = 95\n\
         (gdb) info lanes largest\n  lanes 0 to 31: 95\n\
         (gdb) info lanes threadIdx.x % 2\n{even_and_odd}\
         (gdb) info shared\npartial: 128 bytes\n\
         (gdb) info shared partial\npartial: 32 x float\n  [0] 95\n  [1] 127\n  [2 to 31] -\n\
         (gdb) on-thread 33 print largest\n$4 = 127\n\
         (gdb) print threadIdx\n$5 = (3, 0, 0)\n\
         (gdb) info block\nblock (1, 0, 0), 64 threads:\n  \
         (0, 0, 0) to (2, 0, 0): waits at a __shfl_xor_sync, softmax.cu:4\n  \
         (3, 0, 0): runs\n  \
         (4, 0, 0) to (63, 0, 0): may go on behind softmax.cu:{barrier}\n\
         (gdb) next\n",
        start = line("__global__ void softmax"),
    );
    let printed = session("softmax", &words, &commands).join("\n");
    assert!(printed.starts_with(&expected), "expected\n{expected}\ngot\n{printed}");
    assert!(printed.contains("(gdb) print threadIdx\n$6 = (3, 0, 0)"), "{printed}");
}

#[test]
fn a_launch_needs_no_debugger_and_refuses_what_is_wrong() {
    let softmax = "tools/softcuda/tests/kernels/softmax.cu";
    let right = ["softmax", "2", "32", "f32:64:0.5", "f32:64:unwritten", "i32:32"];
    let output = launch(&[&[softmax], &right[..]].concat());
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        printed,
        "softmax: 64 threads, 6 barriers, 40 warp operations\nargument 2: 0.03125, 0.03125, 0.03125, 0.03125, ...\n"
    );
    for (words, expected) in [
        (vec![softmax, "softmax", "2"], "a file, a kernel, a grid and a block are needed"),
        (vec![softmax, "softmax", "2", "x"], "x is no shape of a grid or a block"),
        (vec!["--stop", "2:0", softmax, "softmax", "2", "32"], "no such block; it has 2 x 1 x 1"),
        (vec!["--stop", "0:32", softmax, "softmax", "2", "32"], "no such thread; it has 32 x 1 x 1"),
        (vec!["--script", "x.gdb", softmax, "softmax", "2", "32"], "--script needs --stop"),
        (vec!["--sed", "1", softmax, "softmax", "2", "32"], "unknown option --sed"),
        (vec![softmax, "softmax", "2", "32", "f32:many:noise"], "argument 1: `f32:many:noise` is neither"),
        (vec![softmax, "softmax", "2", "32", "i32:7"], "kernel softmax takes 3 arguments, 1 given"),
        (vec![softmax, "soft", "2", "32"], "kernel soft: there is none of this name"),
    ] {
        let output = launch(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{words:?}: {said}");
    }
}
