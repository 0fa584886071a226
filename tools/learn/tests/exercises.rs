//! The graders: each accepts the solution, and refuses the hole and each wrong answer with the message that the wrong
//! answer's first line expects.
//!
//! `BCREID_EXERCISE=14.1` grades the answers of this exercise alone; of a chapter, with `BCREID_EXERCISE=14.`.

use bcreid_learn::exercise::{self, Exercise};
use bcreid_learn::grade::{Grading, Verdict};
use bcreid_learn::repository;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What a grader must say about an answer.
enum Expected {
    Passes,
    Fails(String),
}

#[test]
fn graders_accept_the_solutions_and_refuse_the_rest() {
    let root = repository::find().unwrap();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_bcreid-learn"));
    let grading = Grading { root: root.clone(), program, limit: None };
    let wanted = std::env::var("BCREID_EXERCISE").unwrap_or_default();
    let is_wanted = |exercise: &Exercise| {
        let number = exercise.number.to_string();
        number == wanted || wanted.is_empty() || (wanted.ends_with('.') && number.starts_with(&wanted))
    };
    let mut exercises = exercise::all(&root).unwrap();
    exercises.retain(is_wanted);
    assert!(!exercises.is_empty(), "BCREID_EXERCISE={wanted}: no such exercise");
    let jobs: Vec<(&Exercise, Vec<PathBuf>, Expected)> = exercises.iter().flat_map(jobs).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((exercise, answer, expected)) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let verdict = grading.grade(exercise, answer);
                    if let Err(message) = judge(&verdict, expected) {
                        let files: Vec<String> =
                            answer.iter().map(|file| file.display().to_string()).collect();
                        wrong.lock().unwrap().push(format!("{}: {message}", files.join(", ")));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The answers of an exercise, each with what must come out.
fn jobs(exercise: &Exercise) -> Vec<(&Exercise, Vec<PathBuf>, Expected)> {
    let mut jobs = vec![
        (exercise, exercise.files("solution"), Expected::Passes),
        (exercise, exercise.files("hole"), Expected::Fails(exercise.hole_says.clone())),
    ];
    let wrong = exercise.wrong().unwrap();
    assert!(
        wrong.len() >= 2,
        "exercise {}: a grader is tested with two wrong answers or more",
        exercise.number
    );
    for answer in wrong {
        // Of an operation one of the files may be the solution's.
        let own = answer.iter().find(|file| file.parent().is_some_and(|folder| folder.ends_with("wrong")));
        let expected = expected(own.expect("a wrong answer has a file in wrong"));
        jobs.push((exercise, answer, Expected::Fails(expected)));
    }
    jobs
}

/// The first line of a wrong answer is a comment: `Expect:` and a part of the message.
fn expected(answer: &Path) -> String {
    let text = fs::read_to_string(answer).unwrap();
    let line = text.lines().next().unwrap_or_default();
    let message = line.split_once(" Expect: ").map(|(_, message)| message.trim().to_string());
    message.filter(|message| !message.is_empty()).unwrap_or_else(|| {
        panic!("{}: the first line is `// Expect: ` and a part of the message", answer.display())
    })
}

fn judge(verdict: &Result<Verdict, String>, expected: &Expected) -> Result<(), String> {
    let verdict = verdict.as_ref().map_err(String::clone)?;
    let left_out = match verdict {
        Verdict::Graded { outcomes, .. } => outcomes.iter().find_map(|outcome| outcome.left_out.as_ref()),
        Verdict::Refused(_) => None,
    };
    if let Some(why) = left_out.filter(|_| verdict.is_passed()) {
        eprintln!("a check is left out: {why}");
        let is_required = std::env::var_os("BCREID_REQUIRE_KERNELS").is_some_and(|value| value == "1");
        return if is_required { Err(format!("a check is left out: {why}")) } else { Ok(()) };
    }
    match (expected, verdict) {
        (Expected::Passes, verdict) if verdict.is_passed() => Ok(()),
        (Expected::Passes, verdict) => Err(format!("the solution fails: {verdict:?}")),
        (Expected::Fails(_), verdict) if verdict.is_passed() => Err("passes and must not".into()),
        (Expected::Fails(part), Verdict::Refused(messages)) if messages.contains(part) => Ok(()),
        (Expected::Fails(part), Verdict::Graded { outcomes, .. })
            if outcomes
                .iter()
                .any(|outcome| outcome.finding.as_ref().is_some_and(|finding| finding.contains(part))) =>
        {
            Ok(())
        }
        (Expected::Fails(part), verdict) => Err(format!("no finding has `{part}`: {verdict:?}")),
    }
}
