//! The plan of a data set: its pictures and their file names in the Market-1501 layout.

use super::Synth;
use super::draws::{DrawOwner, Draws};

/// The folders of the layout.
pub const FOLDERS: [&str; 3] = ["bounding_box_train", "query", "bounding_box_test"];
/// The folder of all boxes of each query's person from the query's camera.
pub const BOXES: &str = "gt_bbox";

/// The split of a picture, as an index into [`FOLDERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Training images, `bounding_box_train`.
    Train = 0,
    /// Query images, `query`.
    Query = 1,
    /// Gallery images, `bounding_box_test`.
    Gallery = 2,
}

/// The subject of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A person of the set.
    Person { pid: usize },
    /// Junk, pid -1: a box that misses most of a person.
    Junk { pid: usize },
    /// A distractor, pid 0000: a box without a person.
    Distractor,
}

/// A picture to be drawn.
#[derive(Clone, Debug)]
pub struct Task {
    /// Index in the plan, which selects the random stream.
    pub number: usize,
    pub split: Split,
    /// File name without the folder.
    pub name: String,
    pub subject: Subject,
    /// Camera, counted from 0.
    pub camera: usize,
}

impl Task {
    /// Whether the picture shows a test identity: every camera that sees a test identity has a query of it.
    pub fn is_box_of_a_query(&self) -> bool {
        matches!(self.subject, Subject::Person { .. }) && matches!(self.split, Split::Query | Split::Gallery)
    }
}

/// Probability that a camera beyond an identity's first two does not see the identity.
const UNSEEN: f32 = 0.15;
/// Number of sequences of a camera's recording.
const SEQUENCES: usize = 6;
/// Frames between two pictures of a walk.
const FRAME_STEP: usize = 25;

/// Lists the pictures of a set.
pub fn plan(synth: &Synth) -> Vec<Task> {
    let mut draws = Draws::new(synth.seed, DrawOwner::Plan, 0);
    let mut tasks = Vec::new();
    let (fewest, most) = (*synth.images_per_camera.start(), *synth.images_per_camera.end());
    for pid in 1..=synth.train_ids + synth.test_ids {
        let training = pid <= synth.train_ids;
        for camera in cameras_of_identity(synth.cameras, &mut draws) {
            let start = draws.below(900_000);
            let sequence = 1 + draws.below(SEQUENCES);
            for i in 0..fewest + draws.below(most - fewest + 1) {
                let (split, hand_drawn) = match (training, i) {
                    (true, _) => (Split::Train, false),
                    (false, 0) => (Split::Query, true),
                    (false, _) => (Split::Gallery, false),
                };
                // Market-1501 numbers hand-drawn boxes 00 and detected boxes from 01 on.
                let number = if hand_drawn { 0 } else { 1 + draws.below(3) };
                let name = name(&format!("{pid:04}"), camera, sequence, start + i * FRAME_STEP, number);
                push(&mut tasks, split, name, Subject::Person { pid }, camera);
            }
        }
    }
    for i in 0..synth.distractors {
        let camera = draws.below(synth.cameras);
        let name = name("0000", camera, 1 + i % SEQUENCES, i * FRAME_STEP, 1 + draws.below(3));
        push(&mut tasks, Split::Gallery, name, Subject::Distractor, camera);
    }
    for i in 0..synth.junk {
        let camera = draws.below(synth.cameras);
        let pid = synth.train_ids + 1 + draws.below(synth.test_ids);
        let name = name("-1", camera, 1 + i % SEQUENCES, i * FRAME_STEP, 1 + draws.below(3));
        push(&mut tasks, Split::Gallery, name, Subject::Junk { pid }, camera);
    }
    tasks
}

fn push(tasks: &mut Vec<Task>, split: Split, name: String, subject: Subject, camera: usize) {
    tasks.push(Task { number: tasks.len(), split, name, subject, camera });
}

/// The cameras that see an identity, ascending: at least two, all with equal probability.
fn cameras_of_identity(cameras: usize, draws: &mut Draws) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cameras).collect();
    for i in (1..cameras).rev() {
        order.swap(i, draws.below(i + 1));
    }
    let mut seen: Vec<usize> = order
        .into_iter()
        .enumerate()
        .filter(|&(i, _)| i < 2 || !draws.chance(UNSEEN))
        .map(|(_, c)| c)
        .collect();
    seen.sort_unstable();
    seen
}

/// A Market-1501 file name: `0002_c1s1_000451_03.jpg`.
fn name(label: &str, camera: usize, sequence: usize, frame: usize, number: usize) -> String {
    format!("{label}_c{}s{sequence}_{frame:06}_{number:02}.jpg", camera + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn every_identity_has_two_cameras_and_some_identities_miss_a_camera() {
        let synth = Synth { train_ids: 300, test_ids: 200, cameras: 3, ..Synth::default() };
        let tasks = plan(&synth);
        let mut seen: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for task in &tasks {
            if let Subject::Person { pid } = task.subject {
                seen.entry(pid).or_default().insert(task.camera);
            }
        }
        let with = |cameras: usize| seen.values().filter(|s| s.len() == cameras).count();
        assert_eq!(seen.len(), 500);
        assert_eq!(with(2) + with(3), 500);
        // 15 in 100 expected, a standard deviation of 8.
        assert!((40..110).contains(&with(2)), "{} identities at two cameras", with(2));
        let names: BTreeSet<_> = tasks.iter().map(|task| (task.split as usize, &task.name)).collect();
        assert_eq!(names.len(), tasks.len());
    }
}
