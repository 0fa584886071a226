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

/// Memory that an answer in Rust may ask for, in bytes.
const MEMORY: u64 = 8 << 30;

/// How much longer than the limit of the processor's time a grader may run.
const BUSY: u32 = 6;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The name of the check.
    pub name: String,
    /// What is wrong; none if the check passed.
    pub finding: Option<String>,
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
    /// Whether all checks passed.
    pub fn is_passed(&self) -> bool {
        match self {
            Verdict::Refused(_) => false,
            Verdict::Graded { outcomes, .. } => {
                !outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.finding.is_none())
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
    /// Grades an answer.
    ///
    /// # Errors
    /// A file that cannot be read or written, no compiler, no library.
    pub fn grade(&self, exercise: &Exercise, answer: &Path) -> Result<Verdict, String> {
        let answer = answer.canonicalize().map_err(|error| format!("{}: {error}", answer.display()))?;
        let folder = tempfile::tempdir().map_err(|error| format!("a temporary folder: {error}"))?;
        let results = folder.path().join("results");
        let mut command = match exercise.kind {
            Kind::Rust => match rust::compile(&self.root, exercise, &answer, folder.path())? {
                Compiled::Refused(messages) => return Ok(Verdict::Refused(messages)),
                Compiled::Program(program) => {
                    let mut command = Command::new(program);
                    command.arg(&results);
                    command
                }
            },
            Kind::Cuda => match gpu::compile(&self.root, &answer)? {
                Compiled::Refused(messages) => return Ok(Verdict::Refused(messages)),
                Compiled::Program(library) => self.own_grader(exercise, &library, &results),
            },
            Kind::Text => self.own_grader(exercise, &answer, &results),
        };
        let limit = self.limit.unwrap_or(exercise.limit);
        limit_resources(&mut command, limit, exercise.kind == Kind::Rust);
        // On a busy machine, or in an answer that sleeps, much more time than that of the processor may pass.
        let ended = child::run(command.current_dir(folder.path()), BUSY * limit)
            .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
        let text = fs::read_to_string(&results).unwrap_or_default();
        Ok(Verdict::Graded { outcomes: outcomes(&text, &ended, limit), output: ended.output })
    }

    /// The command that runs a grader of this program.
    fn own_grader(&self, exercise: &Exercise, answer: &Path, results: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["grade", &exercise.number.to_string()]).arg(answer).arg(results);
        command
    }
}

/// Sets limits of the process that the command will start: the processor's time, and of an answer in Rust the memory.
/// (The simulated GPU reserves more addresses than it uses memory.)
fn limit_resources(command: &mut Command, time: Duration, has_memory_limit: bool) {
    let limit = |value| libc::rlimit { rlim_cur: value, rlim_max: value };
    let (time, memory) = (limit(time.as_secs()), limit(MEMORY));
    // SAFETY: between fork and exec only setrlimit is called, which is async-signal-safe; the limits are copied into
    // the closure.
    unsafe {
        command.pre_exec(move || {
            let failed = libc::setrlimit(libc::RLIMIT_CPU, &time) != 0
                || (has_memory_limit && libc::setrlimit(libc::RLIMIT_AS, &memory) != 0);
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
            "check" => outcomes.push(Outcome { name: plain(text), finding: None }),
            "fail" => {
                if let Some(last) = outcomes.last_mut() {
                    last.finding = Some(plain(text));
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
        _ => outcomes.push(Outcome { name: "the grader comes to its end".into(), finding: Some(how) }),
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
        };
        assert_eq!(outcomes(text, &ended(""), limit), [of("one", None), of("two", Some("a\nb \\n"))]);
        let found = outcomes("check one\npass \ncheck two\n", &ended(""), limit);
        assert_eq!(found[1], of("two", Some("not done after 3 seconds: look for a loop that does not end")));
        let found = outcomes("check one\npass \n", &ended(""), limit);
        assert!(found.len() == 2 && found[1].finding.is_some(), "{found:?}");
        let found = outcomes("", &ended(""), limit);
        assert!(found.len() == 1 && found[0].finding.is_some(), "{found:?}");
    }
}
