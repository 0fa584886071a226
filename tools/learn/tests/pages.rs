//! The exercises and the pages of the book agree.

use bcreid_learn::exercise;
use bcreid_learn::repository;
use std::collections::BTreeSet;
use std::fs;

/// Each exercise has a grader, and this line on its page.
fn mark(number: &str) -> String {
    format!("\nStart: `bcreid learn start {number}`\n")
}

#[test]
fn each_exercise_has_a_grader() {
    let root = repository::find().unwrap();
    // This also finds an exercise that no page has.
    let exercises = exercise::all(&root).unwrap();
    let mut graded = BTreeSet::new();
    for exercise in &exercises {
        let number = exercise.number.to_string();
        let task = format!("\n{}\n", exercise.task);
        let page = exercise.page.display();
        assert!(
            task.contains(&mark(&number)),
            "{page}: exercise {number} has no line `{}`",
            mark(&number).trim()
        );
        assert_eq!(task.matches("\nStart: ").count(), 1, "{page}: exercise {number}");
        graded.insert(mark(&number));
    }
    for entry in fs::read_dir(repository::pages(&root)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| line.starts_with("Start: ")) {
            assert!(graded.contains(&format!("\n{line}\n")), "{}: {line}: no such exercise", path.display());
        }
        for number in text.lines().filter_map(|line| line.strip_prefix("### Exercise ")?.split(':').next()) {
            assert!(graded.contains(&mark(number)), "{}: exercise {number} has no grader", path.display());
        }
    }
}

#[test]
fn each_exercise_names_a_section_that_helps() {
    for exercise in exercise::all(&repository::find().unwrap()).unwrap() {
        let text = fs::read_to_string(&exercise.page).unwrap();
        let heading = format!("\n## {}\n", exercise.read);
        assert!(text.contains(&heading), "{} has no section {:?}", exercise.page.display(), exercise.read);
        assert!(!exercise.chapter_title.is_empty(), "{}", exercise.page.display());
    }
}
