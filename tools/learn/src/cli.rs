//! The command line of `bcreid-learn`.

use crate::checks::Checks;
use crate::exercise::{self, Exercise};
use crate::grade::{Grading, Verdict};
use crate::graders;
use crate::progress::Progress;
use crate::repository;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Exercises of the book in docs/book: list them, begin one, grade an answer.
#[derive(Debug, Parser)]
#[command(
    name = "bcreid learn",
    bin_name = "bcreid learn",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 success, also of an answer that passes; 1 an answer that fails, or an error; 2 \
                  unknown or \
                  missing arguments."
)]
struct Arguments {
    /// The reader's folder: folders of exercises, and progress.toml.
    #[arg(long, global = true, value_name = "DIR", default_value = "learn")]
    folder: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the exercises with their state; the default.
    List,
    /// Make the folder of an exercise: the task, and a file with a hole.
    Start {
        /// The exercise, such as 4.2.
        number: String,
        /// The folder to make (default: learn/4.2 for exercise 4.2).
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Overwrite an answer that exists.
        #[arg(long)]
        force: bool,
    },
    /// Grade the answer of an exercise.
    Check {
        /// The exercise, such as 4.2.
        number: String,
        /// The folder of the answer, or the answer itself (default: the folder that `start` made).
        #[arg(value_name = "DIR")]
        answer: Option<PathBuf>,
        /// Stop an answer after so many seconds.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
        limit: Option<u64>,
    },
    /// Print the solution of an exercise, after a check that failed.
    Solution {
        /// The exercise, such as 4.2.
        number: String,
        /// Print it in any case.
        #[arg(long)]
        show: bool,
    },
    /// Run a grader of this program. `check` calls it.
    #[command(hide = true)]
    Grade { number: String, answer: PathBuf, results: PathBuf },
}

/// Runs the program with its command line, whose first item is the program's name, and prints its error.
pub fn main(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::parse_from(line).run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bcreid learn: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn run(self) -> Result<bool, String> {
        let root = repository::find()?;
        let exercises = exercise::all(&root)?;
        let find = |number: &str| exercise::find(&exercises, number);
        match self.command.unwrap_or(Command::List) {
            Command::List => list(&exercises, &Progress::read(&self.folder)?),
            Command::Start { number, out, force } => start(&self.folder, find(&number)?, out, force),
            Command::Check { number, answer, limit } => {
                let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
                let limit = limit.map(Duration::from_secs);
                check(&self.folder, find(&number)?, answer, &Grading { root, program, limit })
            }
            Command::Solution { number, show } => solution(&self.folder, find(&number)?, show),
            Command::Grade { number, answer, results } => {
                let grade = graders::of(find(&number)?.number)
                    .ok_or_else(|| format!("exercise {number} has no grader in this program"))?;
                let mut checks =
                    Checks::new(&results).map_err(|error| format!("{}: {error}", results.display()))?;
                grade(&mut checks, &answer);
                checks.end();
                Ok(true)
            }
        }
    }
}

/// Prints text. A reader of the output that went away, as `head` does, is no error.
fn say(text: &str) -> Result<(), String> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("the output: {error}")),
        _ => Ok(()),
    }
}

fn list(exercises: &[Exercise], progress: &Progress) -> Result<bool, String> {
    let width = exercises.iter().map(|exercise| exercise.title.chars().count()).max().unwrap_or(0);
    let mut chapter = 0;
    for exercise in exercises {
        if exercise.number.chapter != chapter {
            chapter = exercise.number.chapter;
            say(&format!("{chapter}. {}", exercise.chapter_title))?;
        }
        let number = exercise.number.to_string();
        say(&format!("  {number:<5} {:<width$}  {}", exercise.title, progress.in_words(exercise.number)))?;
    }
    let passed = exercises.iter().filter(|exercise| progress.in_words(exercise.number) == "passed").count();
    say(&format!("{passed} of {} passed; bcreid learn start N.M begins one", exercises.len()))?;
    Ok(true)
}

fn start(learn: &Path, exercise: &Exercise, out: Option<PathBuf>, force: bool) -> Result<bool, String> {
    let mut progress = Progress::read(learn)?;
    let number = exercise.number;
    let folder = out.clone().unwrap_or_else(|| learn.join(number.to_string()));
    let answers: Vec<PathBuf> = exercise.answers().iter().map(|name| folder.join(name)).collect();
    if let Some(answer) = answers.iter().find(|answer| answer.exists())
        && !force
    {
        return Err(format!(
            "{}: exists; --force overwrites it, --out takes another folder",
            answer.display()
        ));
    }
    let at = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(&folder).map_err(|error| at(&folder, error))?;
    let read_me = folder.join("README.md");
    let names = exercise
        .support
        .iter()
        .map(|file| format!("`{}`", file.file_name().unwrap_or_default().to_string_lossy()));
    let beside = match names.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => names,
        names => format!("\n\nIt may use {names}: copies lie in the folder. Changes of a copy do not count."),
    };
    // Links of the page lead to files of the repository, which lies elsewhere.
    let repository = exercise.page.ancestors().nth(4).unwrap_or(Path::new(""));
    let task = exercise
        .task
        .replace(&format!("\n\nStart: `bcreid learn start {number}`"), "")
        .replace("](../../../", &format!("]({}/", repository.display()));
    let text = format!(
        "# Exercise {number}: {}\n\n{}\n\nYour answer is {}. `bcreid learn check {number}` grades it.{beside}\n\nThe \
         chapter: {}\n",
        exercise.title,
        task,
        exercise.answers().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and "),
        exercise.page.display()
    );
    fs::write(&read_me, text).map_err(|error| at(&read_me, error))?;
    for (hole, answer) in exercise.files("hole").iter().zip(&answers) {
        fs::copy(hole, answer).map_err(|error| at(answer, error))?;
    }
    for support in &exercise.support {
        let copy = folder.join(support.file_name().unwrap_or_default());
        fs::copy(support, &copy).map_err(|error| at(&copy, error))?;
    }
    progress.entry(number).folder = out.unwrap_or_default();
    progress.write(learn)?;
    say(&format!(
        "{}: the task\n{}: fill the hole, then: bcreid learn check {number}",
        read_me.display(),
        answers.iter().map(|answer| answer.display().to_string()).collect::<Vec<_>>().join(" and ")
    ))?;
    Ok(true)
}

fn check(
    learn: &Path,
    exercise: &Exercise,
    given: Option<PathBuf>,
    grading: &Grading,
) -> Result<bool, String> {
    let mut progress = Progress::read(learn)?;
    let number = exercise.number;
    let begun = progress.of(number).map(|state| state.folder.clone());
    let is_elsewhere = begun.is_none() && given.is_some();
    let begun = begun.filter(|folder| !folder.as_os_str().is_empty());
    let place = given.or(begun).unwrap_or_else(|| learn.join(number.to_string()));
    let names = exercise.answers();
    let answer: Vec<PathBuf> = match (place.is_file(), place.parent()) {
        (true, _) if names.len() == 1 => vec![place],
        // One of several files stands for the folder that has all of them.
        (true, Some(folder)) => names.iter().map(|name| folder.join(name)).collect(),
        _ => names.iter().map(|name| place.join(name)).collect(),
    };
    if let Some(missing) = answer.iter().find(|file| !file.is_file()) {
        return Err(format!("{}: no such file; bcreid learn start {number} makes it", missing.display()));
    }
    say(&format!("Exercise {number}: {}", exercise.title))?;
    let verdict = grading.grade(exercise, &answer)?;
    tell(exercise, &verdict)?;
    let state = progress.entry(number);
    if is_elsewhere {
        state.folder = answer[0].parent().unwrap_or(Path::new("")).to_path_buf();
    }
    match verdict.is_passed() {
        true => state.passed = true,
        false => state.failed += 1,
    }
    progress.write(learn)?;
    Ok(verdict.is_passed())
}

fn tell(exercise: &Exercise, verdict: &Verdict) -> Result<(), String> {
    let read = format!("read the section \"{}\" of {}", exercise.read, exercise.page.display());
    match verdict {
        Verdict::Refused(messages) => {
            say(&format!("the answer does not compile:\n{}", messages.trim_end()))?;
            say(&format!(
                "not passed: correct what the compiler's first message names; {} must have the functions that README.md \
                 asks for, public and with these names and types",
                exercise.answers().join(" and ")
            ))
        }
        Verdict::Graded { outcomes, output } => {
            if !output.trim().is_empty() {
                say(&format!("the answer printed:\n{}", output.trim_end()))?;
            }
            for outcome in outcomes {
                match (&outcome.finding, &outcome.left_out) {
                    (Some(finding), _) => say(&format!("  FAIL  {}: {finding}", outcome.name))?,
                    (None, Some(why)) => say(&format!("  left out  {}: {why}", outcome.name))?,
                    (None, None) => say(&format!("  pass  {}", outcome.name))?,
                }
            }
            let failed = outcomes.iter().filter(|outcome| outcome.finding.is_some()).count();
            match failed {
                0 => say("passed"),
                _ => say(&format!("not passed: {read}")),
            }
        }
    }
}

fn solution(learn: &Path, exercise: &Exercise, show: bool) -> Result<bool, String> {
    let number = exercise.number;
    let tried = Progress::read(learn)?.of(number).is_some_and(|state| state.passed || state.failed > 0);
    if !tried && !show {
        return Err(format!(
            "exercise {number} has not been tried: bcreid learn check {number} grades an answer; --show prints the \
             solution \
             in any case"
        ));
    }
    let (files, names) = (exercise.files("solution"), exercise.answers());
    for (file, name) in files.iter().zip(&names) {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        if names.len() > 1 {
            say(&format!("// ---- {name}"))?;
        }
        say(text.trim_end())?;
    }
    Ok(true)
}
