//! Grading: the grader runs in a process of its own, so that no answer can stop or spoil this one.

use crate::child::{self, Ended};
use crate::exercise::{Exercise, Kind};
use crate::gpu;
use crate::rust::{self, Compiled};
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Memory that a grader and its answer may ask for, in bytes.
const MEMORY: u64 = 8 << 30;

/// Says to the grader of an operation that a check of the kernels alone failed.
const KERNELS_FAIL: &str = "BCREID_LEARN_KERNELS_FAIL";

/// How much longer than the limit of the processor's time a grader may run.
const BUSY: u32 = 6;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The name of the check.
    pub name: String,
    /// What is wrong; none if the check passed.
    pub finding: Option<String>,
    /// Why the check could not run on this machine; none if it ran.
    pub left_out: Option<String>,
}

/// What a grader found.
#[derive(Debug)]
pub enum Verdict {
    /// The answer does not compile: the messages of the compiler.
    Refused(String),
    /// The results of the checks, and what the answer printed.
    Graded {
        /// In the order of the grader.
        outcomes: Vec<Outcome>,
        /// Standard output and standard error of the answer.
        output: String,
    },
}

impl Verdict {
    /// Whether all checks passed that this machine can run, and there was one.
    pub fn is_passed(&self) -> bool {
        match self {
            Verdict::Refused(_) => false,
            Verdict::Graded { outcomes, .. } => {
                outcomes.iter().any(|outcome| outcome.left_out.is_none())
                    && outcomes.iter().all(|outcome| outcome.finding.is_none())
            }
        }
    }
}

/// Grades answers.
pub struct Grading {
    /// The root of the repository.
    pub root: PathBuf,
    /// The program `bcreid-learn`: it runs the graders that are modules of this crate.
    pub program: PathBuf,
    /// Another limit of the processor's time than the exercise's.
    pub limit: Option<Duration>,
}

impl Grading {
    /// Grades an answer: its files in the order of [`Kind::extensions`].
    ///
    /// # Errors
    /// A file that cannot be read or written, no compiler, no library.
    pub fn grade(&self, exercise: &Exercise, answer: &[PathBuf]) -> Result<Verdict, String> {
        let whole =
            |file: &PathBuf| file.canonicalize().map_err(|error| format!("{}: {error}", file.display()));
        let answer = answer.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
        let folder = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
        let programs = match self.programs(exercise, &answer, folder.path())? {
            Ok(programs) => programs,
            Err(messages) => return Ok(Verdict::Refused(messages)),
        };
        let limit = self.limit.unwrap_or(exercise.limit);
        let (mut all, mut output) = (Vec::new(), String::new());
        for (place, mut command) in programs.into_iter().enumerate() {
            let results = folder.path().join(format!("results-{place}"));
            command.arg(&results).current_dir(folder.path());
            if all.iter().any(|outcome: &Outcome| outcome.finding.is_some()) {
                command.env(KERNELS_FAIL, "1");
            }
            limit_resources(&mut command, limit);
            // On a busy machine, or in an answer that sleeps, much more time than that of the processor may pass.
            let ended = child::run(&mut command, BUSY * limit)
                .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
            let text = fs::read_to_string(&results).unwrap_or_default();
            all.extend(outcomes(&text, &ended, limit));
            output += &ended.output;
        }
        Ok(Verdict::Graded { outcomes: all, output })
    }

    /// The programs that grade an answer, in their order; else the messages of a compiler. The last argument of each
    /// will be the file of the results.
    fn programs(
        &self,
        exercise: &Exercise,
        answer: &[PathBuf],
        folder: &Path,
    ) -> Result<Result<Vec<Command>, String>, String> {
        match (exercise.kind, answer) {
            (Kind::Rust, [answer]) => self.rust_program(exercise, answer, folder),
            (Kind::Cuda, [answer]) => Ok(match gpu::compile(&self.root, &[answer])? {
                Compiled::Refused(messages) => Err(messages),
                Compiled::Program(library) => Ok(vec![self.own_grader(exercise, &library)]),
            }),
            (Kind::Text, [answer]) => Ok(Ok(vec![self.own_grader(exercise, answer)])),
            (Kind::Operation, [rust, cuda]) => {
                let mut files: Vec<&Path> = vec![cuda];
                files.extend(exercise.engine_kernels.iter().map(PathBuf::as_path));
                let library = match gpu::compile(&self.root, &files)? {
                    Compiled::Refused(messages) => return Ok(Err(messages)),
                    Compiled::Program(library) => library,
                };
                let stand_ins = gpu::stand_ins(&self.root, &files)?;
                // The Rust part includes the text of the kernels, by the reader's name of the file.
                let here = ["answer.rs", "answer.cu"].map(|name| folder.join(name));
                for (from, to) in [rust, cuda].into_iter().zip(&here) {
                    fs::copy(from, to).map_err(|error| format!("{}: {error}", to.display()))?;
                }
                let mut programs = match self.rust_program(exercise, &here[0], folder)? {
                    Ok(programs) => programs,
                    Err(messages) => return Ok(Err(messages)),
                };
                for program in &mut programs {
                    // It finds the stand-ins of the CUDA libraries.
                    program.envs(stand_ins.environment());
                }
                programs.insert(0, self.own_grader(exercise, &library));
                Ok(Ok(programs))
            }
            (kind, files) => Err(format!("{} files of an answer of the kind {kind:?}", files.len())),
        }
    }

    /// The program of an answer in Rust and its grader.
    fn rust_program(
        &self,
        exercise: &Exercise,
        answer: &Path,
        folder: &Path,
    ) -> Result<Result<Vec<Command>, String>, String> {
        Ok(match rust::compile(&self.root, exercise, answer, folder)? {
            Compiled::Refused(messages) => Err(messages),
            Compiled::Program(program) => Ok(vec![Command::new(program)]),
        })
    }

    /// A grader of this program.
    fn own_grader(&self, exercise: &Exercise, answer: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["grade", &exercise.number.to_string()]).arg(answer);
        command
    }
}

/// Sets limits of the process that the command will start: the processor's time, and the memory. (The simulated GPU
/// reserves more addresses than it uses memory, so it is the writable memory that has a limit.)
fn limit_resources(command: &mut Command, time: Duration) {
    let limit = |value| libc::rlimit { rlim_cur: value, rlim_max: value };
    let (time, memory) = (limit(time.as_secs()), limit(MEMORY));
    // SAFETY: between fork and exec only setrlimit is called, which is async-signal-safe; the limits are copied into
    // the closure.
    unsafe {
        command.pre_exec(move || {
            let failed = libc::setrlimit(libc::RLIMIT_CPU, &time) != 0
                || libc::setrlimit(libc::RLIMIT_DATA, &memory) != 0;
            if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
        });
    }
}

/// Reads the results. A check without a result, and a grader without an end, tell how the process ended.
fn outcomes(results: &str, ended: &Ended, limit: Duration) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut is_open = false;
    for line in results.lines() {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "check" => outcomes.push(Outcome { name: plain(text), finding: None, left_out: None }),
            "fail" => {
                if let Some(last) = outcomes.last_mut() {
                    last.finding = Some(plain(text));
                }
            }
            "left" => {
                if let Some(last) = outcomes.last_mut() {
                    last.left_out = Some(plain(text));
                }
            }
            "end" => return outcomes,
            _ => {}
        }
        is_open = word == "check";
    }
    let how = how_it_ended(ended, limit);
    match outcomes.last_mut() {
        Some(last) if is_open => last.finding = Some(how),
        _ => outcomes.push(Outcome {
            name: "the grader comes to its end".into(),
            finding: Some(how),
            left_out: None,
        }),
    }
    outcomes
}

fn how_it_ended(ended: &Ended, limit: Duration) -> String {
    let over = ended
        .status
        .is_none_or(|status| [Some(libc::SIGXCPU), Some(libc::SIGKILL)].contains(&status.signal()));
    let Some(status) = ended.status.filter(|_| !over) else {
        return format!("not done after {} seconds: look for a loop that does not end", limit.as_secs());
    };
    if ended.output.contains("has overflowed its stack") {
        return "the stack overflowed: look for a function that calls itself without an end".into();
    }
    if ended.output.contains("memory allocation of") {
        return format!(
            "more than {} GiB of memory asked for: look for an array that grows without an end",
            MEMORY >> 30
        );
    }
    // A message of the process itself, such as that of an abort, is shown as its output.
    format!("the answer ended the program ({status}) before the grader was done")
}

fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(if characters.next() == Some('n') { '\n' } else { '\\' }),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(output: &str) -> Ended {
        Ended { status: None, output: output.into() }
    }

    #[test]
    fn results_are_read() {
        let limit = Duration::from_secs(3);
        let text = "check one\npass \ncheck two\nfail a\\nb \\\\n\nend \n";
        let of = |name: &str, finding: Option<&str>| Outcome {
            name: name.into(),
            finding: finding.map(String::from),
            left_out: None,
        };
        assert_eq!(outcomes(text, &ended(""), limit), [of("one", None), of("two", Some("a\nb \\n"))]);
        let found = outcomes("check one\nleft no driver\nend \n", &ended(""), limit);
        assert_eq!(found, [Outcome { left_out: Some("no driver".into()), ..of("one", None) }]);
        let found = outcomes("check one\npass \ncheck two\n", &ended(""), limit);
        assert_eq!(found[1], of("two", Some("not done after 3 seconds: look for a loop that does not end")));
        let found = outcomes("check one\npass \n", &ended(""), limit);
        assert!(found.len() == 2 && found[1].finding.is_some(), "{found:?}");
        let found = outcomes("", &ended(""), limit);
        assert!(found.len() == 1 && found[0].finding.is_some(), "{found:?}");
    }
}
