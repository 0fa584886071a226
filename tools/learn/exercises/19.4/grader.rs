//! Engines for tasks, with what the page of the chapter says about each.

use crate::checks::{Checks, Finding, that};
use crate::lines;
use std::path::Path;

const ENGINES: [&str; 6] = ["bcreid", "caffe", "pytorch", "llm.c", "candle", "burn"];
const LETTERS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Its letter, and for each engine in the order of `ENGINES` why it cannot do it; nothing if it can.
struct Task {
    letter: &'static str,
    why_not: [Option<&'static str>; 6],
}

const NOT_ITS_LOSS: Option<&str> = Some("the loss is not among its operations: it would be code of your own");
const CUDA_ONLY: Option<&str> = Some("its kernels and libraries are those of CUDA, as far as the page says");
const NO_BROWSER: Option<&str> = Some("the page names no browser among its devices");

const TASKS: [Task; 6] = [
    Task {
        letter: "a",
        why_not: [
            Some("one process uses one device, and there is no attention"),
            Some("it is an engine for networks from a file, and the page names no attention"),
            Some(
                "it can train on eight GPUs, but the program for GPT-2 is yours to write; one engine is such a program",
            ),
            None,
            Some("its first goal is inference; one engine is a program for this training"),
            Some("the page does not say whether it trains on several GPUs"),
        ],
    },
    Task {
        letter: "b",
        why_not: [None, NOT_ITS_LOSS, NOT_ITS_LOSS, NOT_ITS_LOSS, NOT_ITS_LOSS, NOT_ITS_LOSS],
    },
    Task { letter: "c", why_not: [NO_BROWSER, NO_BROWSER, NO_BROWSER, NO_BROWSER, None, None] },
    Task {
        letter: "d",
        why_not: [
            Some("its backward functions are not recorded, so a gradient has no gradient"),
            Some("its backward pass is a function of each layer, which nothing differentiates"),
            None,
            Some("its backward pass is written by hand, and there is no record of it"),
            Some("the page does not say that it can; it says so of another engine"),
            Some("the page does not say that it can; it says so of another engine"),
        ],
    },
    Task { letter: "e", why_not: [CUDA_ONLY, CUDA_ONLY, None, CUDA_ONLY, CUDA_ONLY, None] },
    Task {
        letter: "f",
        why_not: [
            None,
            Some("a snapshot has neither the state of its generators nor the place in the data (chapter 17)"),
            Some(
                "deterministic algorithms are an option, and the loader's state is not saved for you (chapter 17)",
            ),
            None,
            Some("some of its kernels add atomically, and the system seeds its shuffle (chapter 17)"),
            Some("the page says nothing about it for this engine"),
        ],
    },
];

fn one(lines: &[Vec<String>], task: &Task) -> Finding {
    let engine = lines::behind(lines, task.letter, "TASK ENGINE")?[0].to_lowercase();
    let at = ENGINES.iter().position(|name| *name == engine);
    let at = at.ok_or_else(|| format!("`{engine}` is none of {}", ENGINES.join(", ")))?;
    let why = task.why_not[at];
    that(why.is_none(), || format!("{} {engine}: {}", task.letter, why.unwrap_or_default()))
}

pub fn grade(checks: &mut Checks, answer: &Path) {
    for task in &TASKS {
        checks.check(&format!("task {}", task.letter), || {
            let lines = lines::read(answer)?;
            lines::only(&lines, &LETTERS)?;
            one(&lines, task)
        });
    }
}
