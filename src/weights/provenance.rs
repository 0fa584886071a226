//! Provenance: what the weights of a file were made from. A weight file states it in its metadata; a run states it in
//! `provenance.json` too, with its date and duration ([`crate::run::provenance`]).
//!
//! | metadata | |
//! |---|---|
//! | `provenance` | of trained weights and checkpoints: [`Training`] as JSON |
//! | `source`, `source_sha256`, `source_format`, `source_url`, `licence` | of converted weights: [`Conversion`] |
//!
//! A file's statements are claims of its author. They are read within bounds and shown escaped, and nothing but the
//! comparison of runs depends on them; a statement that cannot be read is no error. They hold no date, so that equal
//! runs write equal files.

mod data_set;
mod text;
mod words;

pub use data_set::{AttributesFile, DataSet};
pub use text::Text;

use super::TensorFile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The metadata key of [`Training`].
pub const PROVENANCE: &str = "provenance";
/// The metadata keys of [`Conversion`].
const CONVERSION: [&str; 5] = ["source", "source_sha256", "source_format", "source_url", "licence"];
/// Longest JSON of a provenance that is read, in bytes. What [`Training::to_json`] writes is shorter.
const MAX_JSON: usize = 256 << 10;
/// Most starts that a chain names: a run, the weights that it started from, the run that made those, ...
const MAX_STARTS: usize = 4;
/// Most devices of a training.
const MAX_DEVICES: usize = 4;

/// The provenance of the weights of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// The file states none: an earlier version of this program wrote it, or another program.
    #[default]
    NotRecorded,
    /// The file's statement cannot be read, for this reason.
    Unreadable(Text),
    /// Left out of a long chain of starts.
    Omitted,
    /// Converted from a file of another program.
    Converted(Box<Conversion>),
    /// Trained by this program.
    Trained(Box<Training>),
}

/// A conversion from a file of another program. `None`: not stated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conversion {
    /// Name of the converted file.
    pub file: Option<Text>,
    /// SHA-256 of the converted file, in hexadecimal.
    pub sha256: Option<Text>,
    /// Format of the converted file, for example `PyTorch zip archive`.
    pub format: Option<Text>,
    /// Where the converted file is from, such as its address.
    pub url: Option<Text>,
    /// Licence of the weights.
    pub licence: Option<Text>,
}

/// A training run as its weights state it: a function of settings, start, data, version and device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Training {
    /// The initial weights.
    pub start: Start,
    /// The training images; `None`: not recorded.
    pub data: Option<DataSet>,
    /// Version of the program that began the run; `None`: not recorded.
    pub version: Option<Text>,
    /// Devices on which the run trained, in the order of their first use ([`crate::device::Device::describe`]).
    pub devices: Vec<Text>,
}

/// The initial weights of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Not recorded.
    #[default]
    NotRecorded,
    /// Drawn from the run's seed.
    Random,
    /// The weights of a file.
    Weights(WeightsFile),
}

/// A weight file: name, content and provenance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightsFile {
    /// Name of the file, without its folder.
    pub file: Text,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: Text,
    /// Provenance that the file states.
    pub provenance: Provenance,
}

impl Provenance {
    /// The provenance in a weight file's metadata.
    pub fn of(file: &TensorFile) -> Self {
        let metadata = file.metadata();
        if let Some(json) = metadata.get(PROVENANCE) {
            return match Training::from_json(json) {
                Ok(training) => Provenance::Trained(training.into()),
                Err(why) => Provenance::Unreadable(Text::new(&why)),
            };
        }
        let text = |key: &str| metadata.get(key).map(|text| Text::new(text));
        let [file, sha256, format, url, licence] = CONVERSION.map(text);
        let conversion = Conversion { file, sha256, format, url, licence };
        if conversion == Conversion::default() {
            return Provenance::NotRecorded;
        }
        Provenance::Converted(conversion.into())
    }

    /// The entries of a weight file's metadata that state this provenance.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        match self {
            Provenance::NotRecorded | Provenance::Unreadable(_) | Provenance::Omitted => BTreeMap::new(),
            Provenance::Converted(conversion) => conversion.metadata(),
            Provenance::Trained(training) => [(PROVENANCE.to_string(), training.to_json())].into(),
        }
    }

    /// The same with at most `starts` starts, the newest ones.
    fn with_starts(self, starts: usize) -> Self {
        match self {
            Provenance::Trained(training) => Provenance::Trained(training.with_starts(starts).into()),
            other => other,
        }
    }
}

impl Conversion {
    /// The entries of a weight file's metadata.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let Conversion { file, sha256, format, url, licence } = self;
        let entry =
            |(key, text): (&str, &Option<Text>)| Some((key.to_string(), text.as_ref()?.as_str().into()));
        CONVERSION.into_iter().zip([file, sha256, format, url, licence]).filter_map(entry).collect()
    }
}

impl Training {
    /// A run of this version that begins on the device of this description ([`crate::device::Device::describe`]).
    pub fn new(start: Start, data: DataSet, device: &str) -> Self {
        let (version, devices) = (Some(Text::new(env!("CARGO_PKG_VERSION"))), vec![Text::new(device)]);
        Training { start, data: Some(data), version, devices }.bounded()
    }

    /// The run when it is resumed on the device of this description. What an earlier version did not record stays so.
    pub fn resumed(mut self, device: &str) -> Self {
        let device = Text::new(device);
        if !self.devices.is_empty() && !self.devices.contains(&device) {
            self.devices.push(device);
            self.devices.truncate(MAX_DEVICES);
        }
        self
    }

    /// Reads the JSON of [`Training::to_json`]. Unknown keys are ignored, and absent ones are not recorded.
    ///
    /// # Errors
    /// A description of the fault: another form, or more than 256 KiB.
    pub fn from_json(json: &str) -> Result<Self, String> {
        if json.len() > MAX_JSON {
            return Err(format!("it has {} bytes, and at most {MAX_JSON} are read", json.len()));
        }
        let training: Training = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(training.bounded())
    }

    /// The run with the newest starts of its chain and the first devices, as many as are kept.
    pub fn bounded(self) -> Self {
        self.with_starts(MAX_STARTS)
    }

    /// The run as JSON in one line.
    ///
    /// # Panics
    /// Never: all keys are texts.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("all keys are texts")
    }

    fn with_starts(mut self, starts: usize) -> Self {
        self.devices.truncate(MAX_DEVICES);
        if let Start::Weights(file) = &mut self.start {
            let provenance = std::mem::take(&mut file.provenance);
            file.provenance = match (provenance, starts) {
                (Provenance::Trained(_), 0 | 1) => Provenance::Omitted,
                (provenance, _) => provenance.with_starts(starts.saturating_sub(1)),
            };
        }
        self
    }
}

impl WeightsFile {
    /// Reads the JSON of [`WeightsFile::to_json`]; `None` for other texts.
    pub fn from_json(json: &str) -> Option<Self> {
        if json.len() > MAX_JSON {
            return None;
        }
        let file: WeightsFile = serde_json::from_str(json).ok()?;
        Some(WeightsFile { provenance: file.provenance.with_starts(MAX_STARTS), ..file })
    }

    /// The file as JSON in one line.
    ///
    /// # Panics
    /// Never: all keys are texts.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("all keys are texts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(provenance: Provenance) -> Start {
        Start::Weights(WeightsFile { file: Text::new("a"), sha256: Text::new("12"), provenance })
    }

    fn trained(start: Start) -> Training {
        Training::new(start, DataSet::default(), "cpu")
    }

    /// Number of starts that a training names.
    fn starts(training: &Training) -> usize {
        match &training.start {
            Start::Weights(WeightsFile { provenance: Provenance::Trained(inner), .. }) => 1 + starts(inner),
            _ => 1,
        }
    }

    #[test]
    fn a_chain_of_starts_stays_short_and_is_read_as_it_was_written() {
        let mut training = trained(Start::Random);
        for generation in 1..10 {
            assert_eq!(starts(&training), generation.min(MAX_STARTS));
            assert_eq!(Training::from_json(&training.to_json()).unwrap(), training);
            training = trained(weights(Provenance::Trained(training.into())));
        }
        assert!(training.to_json().contains("\"omitted\""), "{}", training.to_json());
        // A conversion at the end of a chain is no start, and stays.
        let conversion = Conversion { licence: Some(Text::new("MIT")), ..Conversion::default() };
        let mut training = trained(weights(Provenance::Converted(conversion.into())));
        for _ in 1..MAX_STARTS {
            training = trained(weights(Provenance::Trained(training.into())));
        }
        assert!(training.to_json().contains("MIT") && !training.to_json().contains("omitted"));
    }

    #[test]
    fn the_longest_texts_are_read_again() {
        let long = || Some(Text::new(&"\u{1}".repeat(1000)));
        let (file, sha256, format, url, licence) = (long(), long(), long(), long(), long());
        let converted = Conversion { file, sha256, format, url, licence };
        let text = || long().unwrap();
        let attributes = Some(AttributesFile { file: text(), sha256: text(), attributes: u64::MAX });
        let data =
            DataSet { name: text(), layout: text(), list_sha256: text(), attributes, ..DataSet::default() };
        let mut provenance = Provenance::Converted(converted.into());
        for _ in 0..MAX_STARTS {
            let start = Start::Weights(WeightsFile { file: text(), sha256: text(), provenance });
            let devices = vec![text(); MAX_DEVICES];
            let training = Training { start, data: Some(data.clone()), version: long(), devices };
            provenance = Provenance::Trained(training.into());
        }
        let Provenance::Trained(training) = provenance else { unreachable!() };
        assert_eq!(Training::from_json(&training.to_json()).as_ref(), Ok(&*training));
    }

    #[test]
    fn nothing_recorded_and_things_unknown_are_read() {
        assert_eq!(Training::from_json("{}").unwrap(), Training::default());
        let newer = r#"{"version":"9","weather":{"rain":[1]},"data":{"images":3,"moon":1},"start":"random"}"#;
        let training = Training::from_json(newer).unwrap();
        assert_eq!((&training.start, training.data.unwrap().images), (&Start::Random, 3));
    }

    #[test]
    fn what_is_none_of_ours_is_no_provenance() {
        let deep = |levels: usize| {
            let open = r#"{"start":{"weights":{"provenance":{"trained":"#.repeat(levels);
            format!("{open}{{}}{}", "}}}}".repeat(levels))
        };
        assert_eq!(starts(&Training::from_json(&deep(20)).unwrap()), MAX_STARTS);
        let huge = format!(r#"{{"version":"{}"}}"#, "x".repeat(MAX_JSON));
        for (json, why) in [
            (deep(5000).as_str(), "recursion limit"),
            (&huge, "at most 262144 are read"),
            ("", "EOF"),
            ("[1]", "expected value"),
            (r#"{"devices":7}"#, "invalid type"),
            (r#"{"start":"moon"}"#, "unknown variant"),
            (r#"{"data":{"images":-1}}"#, "invalid value"),
        ] {
            let error = Training::from_json(json).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn a_device_is_named_once_and_an_unrecorded_one_stays_unknown() {
        let run = trained(Start::Random).resumed("cpu").resumed("gpu").resumed("cpu");
        assert_eq!(run.devices, ["cpu", "gpu"].map(Text::new));
        let many = (0..9).fold(run, |run, number| run.resumed(&number.to_string()));
        assert_eq!(many.devices.len(), MAX_DEVICES);
        assert!(Training::default().resumed("cpu").devices.is_empty());
    }
}
