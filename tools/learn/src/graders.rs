//! The graders of kernels, also those of operations, and of answers in lines.

use crate::checks::Checks;
use crate::exercise::Number;
use std::path::Path;

#[path = "../exercises/12.1/grader.rs"]
mod exercise_12_1;
#[path = "../exercises/12.2/grader.rs"]
mod exercise_12_2;
#[path = "../exercises/12.3/grader.rs"]
mod exercise_12_3;
#[path = "../exercises/12.4/grader.rs"]
mod exercise_12_4;
#[path = "../exercises/12.5/grader.rs"]
mod exercise_12_5;
#[path = "../exercises/13.1/grader.rs"]
mod exercise_13_1;
#[path = "../exercises/13.2/grader.rs"]
mod exercise_13_2;
#[path = "../exercises/13.3/grader.rs"]
mod exercise_13_3;
#[path = "../exercises/13.4/grader.rs"]
mod exercise_13_4;
#[path = "../exercises/14.1/kernels.rs"]
mod exercise_14_1;
#[path = "../exercises/14.2/grader.rs"]
mod exercise_14_2;
#[path = "../exercises/14.3/grader.rs"]
mod exercise_14_3;
#[path = "../exercises/19.4/grader.rs"]
mod exercise_19_4;
#[path = "../exercises/1.2/grader.rs"]
mod exercise_1_2;
#[path = "../exercises/1.3/grader.rs"]
mod exercise_1_3;
#[path = "../exercises/4.2/grader.rs"]
mod exercise_4_2;
#[path = "../exercises/5.3/grader.rs"]
mod exercise_5_3;

/// A grader gets the file of the answer.
pub type Grade = fn(&mut Checks, &Path);

const ALL: [(&str, Grade); 17] = [
    ("1.2", exercise_1_2::grade),
    ("1.3", exercise_1_3::grade),
    ("4.2", exercise_4_2::grade),
    ("5.3", exercise_5_3::grade),
    ("12.1", exercise_12_1::grade),
    ("12.2", exercise_12_2::grade),
    ("12.3", exercise_12_3::grade),
    ("12.4", exercise_12_4::grade),
    ("12.5", exercise_12_5::grade),
    ("13.1", exercise_13_1::grade),
    ("13.2", exercise_13_2::grade),
    ("13.3", exercise_13_3::grade),
    ("13.4", exercise_13_4::grade),
    ("14.1", exercise_14_1::grade),
    ("14.2", exercise_14_2::grade),
    ("14.3", exercise_14_3::grade),
    ("19.4", exercise_19_4::grade),
];

/// The grader of an exercise, if it is one of this program.
pub fn of(number: Number) -> Option<Grade> {
    let number = number.to_string();
    ALL.iter().find(|(own, _)| *own == number).map(|(_, grade)| *grade)
}
