//! Starts and training images of runs, and the differences between runs in them.

use super::run::Run;
use super::view_models::SettingView;
use crate::run::RunProvenance;
use crate::weights::provenance::Start;

/// A row of the table: name, value of a run, meaning.
type Row = (&'static str, fn(&RunProvenance) -> String, &'static str);

const STARTED_FROM: Row = (
    "Started from",
    |run| run.training.start.to_string(),
    "initial weights; bcreid doctor --weights RUN shows the whole chain",
);
const TRAINED_ON: Row = (
    "Trained on",
    |run| trained_on(run),
    "training images; equal lists have equal names, persons and cameras",
);
/// The rows of the table.
const ROWS: [Row; 5] = [
    STARTED_FROM,
    TRAINED_ON,
    ("Trained by", |run| run.training.trained_by(), "version of the program, and the device"),
    ("Began", RunProvenance::began_in_words, "time of the first step"),
    ("Time of training", RunProvenance::duration_in_words, "to the newest checkpoint, without interruptions"),
];

fn trained_on(run: &RunProvenance) -> String {
    let data = run.training.data.as_ref();
    let list = data.map_or(String::new(), |data| format!(", list {}", data.list_sha256.digits()));
    run.training.trained_on() + &list
}

/// The table of all runs.
pub fn rows(runs: &[Run]) -> Vec<SettingView> {
    ROWS.iter().map(|row| view(row, runs)).collect()
}

/// The start and the data set, each if it is not the same in all runs.
pub fn differing(runs: &[Run]) -> Vec<SettingView> {
    let differs = |is_same: fn(&RunProvenance, &RunProvenance) -> Option<bool>| {
        runs.iter().any(|run| is_same(&runs[0].provenance, &run.provenance) == Some(false))
    };
    let rows = [(STARTED_FROM, differs(is_same_start)), (TRAINED_ON, differs(is_same_data))];
    rows.into_iter().filter(|(_, differs)| *differs).map(|(row, _)| view(&row, runs)).collect()
}

/// A sentence about runs without any difference.
pub fn equality(runs: &[Run]) -> &'static str {
    let is_known = |run: &Run| {
        let Run { provenance, .. } = run;
        is_same_start(provenance, provenance).is_some() && is_same_data(provenance, provenance).is_some()
    };
    match runs.iter().filter(|run| is_known(run)).count() {
        known if known == runs.len() => {
            "The runs have the same settings, initial weights and training images."
        }
        _ => {
            "The runs have the same settings. Whether they started from the same weights and were trained on the same \
             images is not recorded for all of them."
        }
    }
}

/// Whether two runs started from the same weights; `None` if neither states it. A run that states it and one that does
/// not are not the same.
fn is_same_start(one: &RunProvenance, other: &RunProvenance) -> Option<bool> {
    match (&one.training.start, &other.training.start) {
        (Start::NotRecorded, Start::NotRecorded) => None,
        (Start::Weights(one), Start::Weights(other)) => Some(one.sha256 == other.sha256),
        (one, other) => Some(one == other),
    }
}

/// As [`is_same_start`], of the training images.
fn is_same_data(one: &RunProvenance, other: &RunProvenance) -> Option<bool> {
    match (&one.training.data, &other.training.data) {
        (None, None) => None,
        (Some(one), Some(other)) => Some(one.is_same(other)),
        _ => Some(false),
    }
}

fn view((key, value, meaning): &Row, runs: &[Run]) -> SettingView {
    SettingView {
        key: key.to_string(),
        values: runs.iter().map(|run| value(&run.provenance)).collect(),
        meaning: meaning.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::Settings;
    use super::*;
    use crate::weights::provenance::{DataSet, Text, Training, WeightsFile};

    fn run(start: Start, list: Option<&str>) -> Run {
        let data = list.map(|list| DataSet { list_sha256: Text::new(list), ..DataSet::default() });
        let provenance = RunProvenance {
            training: Training { start, data, ..Training::default() },
            ..RunProvenance::default()
        };
        let (steps, validations) = (vec![], vec![]);
        let settings = Settings::default();
        Run { name: "a".into(), folder: "a".into(), settings, provenance, steps, validations }
    }

    fn weights(file: &str, sha256: &str) -> Start {
        let (file, sha256) = (Text::new(file), Text::new(sha256));
        Start::Weights(WeightsFile { file, sha256, ..WeightsFile::default() })
    }

    #[test]
    fn runs_differ_by_the_contents_of_their_starts_and_lists() {
        let keys = |runs: &[Run]| differing(runs).into_iter().map(|row| row.key).collect::<Vec<_>>();
        let (start, data) = ("Started from", "Trained on");
        let random = || run(Start::Random, Some("1"));
        for (other, differing) in [
            (random(), vec![]),
            (run(Start::Random, Some("2")), vec![data]),
            (run(weights("a", "1"), Some("1")), vec![start]),
            (run(Start::NotRecorded, None), vec![start, data]),
        ] {
            assert_eq!(keys(&[random(), other]), differing);
        }
        let renamed = [run(weights("a", "1"), Some("1")), run(weights("b", "1"), Some("1"))];
        assert_eq!(keys(&renamed), Vec::<String>::new());
        assert!(equality(&renamed).contains("initial weights and training images"));
        assert_eq!(keys(&[run(weights("a", "1"), Some("1")), run(weights("a", "2"), Some("1"))]), [start]);
        let old = [run(Start::NotRecorded, None), run(Start::NotRecorded, None)];
        assert_eq!(keys(&old), Vec::<String>::new());
        assert!(equality(&old).contains("is not recorded"));
    }
}
