//! Options of data sets: their layout, and the split of those that have several.

use crate::console::counted;
use crate::data::{Dataset, Layout, OpenOptions};
use crate::{Error, Result};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Layout and split of data sets, where their folders do not show them.
#[derive(Clone, Debug, Default, Args)]
pub struct Opening {
    /// The layout of the data set, if the folder does not show it: market1501, dukemtmc, occluded-dukemtmc,
    /// cuhk03-np-detected, cuhk03-np-labeled, msmt17, veri776, mars, viper, folders or list; one for all data sets, or one
    /// for each.
    #[arg(long, value_name = "NAME", value_enum, requires = "data", num_args = 1.., hide_possible_values = true)]
    layout: Vec<Layout>,
    /// The split of a data set with several, such as VIPeR, from 1 (default: 1).
    #[arg(long, value_name = "N", requires = "data")]
    split: Option<usize>,
}

/// The values of the flag. The library itself does not use clap.
impl ValueEnum for Layout {
    fn value_variants<'a>() -> &'a [Self] {
        &Layout::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// Checks that there is something at a path of --data.
fn require_there(data: &Path) -> Result<()> {
    match std::fs::metadata(data) {
        Err(e) if e.kind() == ErrorKind::NotFound => Err(Error::Data(format!(
            "--data {}: no such file or folder; give the folder of a data set, or a list of its images",
            data.display()
        ))),
        _ => Ok(()),
    }
}

impl Opening {
    /// Opens the data sets.
    pub fn open_all(&self, data: &[PathBuf]) -> Result<Vec<Dataset>> {
        if self.layout.len() > 1 && self.layout.len() != data.len() {
            return Err(Error::Data(format!(
                "--layout names {} for {}; give one for all, or one for each",
                counted(self.layout.len(), "layout"),
                counted(data.len(), "data set")
            )));
        }
        data.iter().try_for_each(|data| require_there(data))?;
        let layouts =
            data.iter().enumerate().map(|(i, data)| (data, self.layout.get(i).or(self.layout.first())));
        let open = |(data, layout): (&PathBuf, Option<&Layout>)| {
            Dataset::open_as(data, OpenOptions { layout: layout.copied(), split: self.split })
        };
        layouts.map(open).collect()
    }

    /// Opens one data set.
    pub fn open(&self, data: &Path) -> Result<Dataset> {
        Ok(self.open_all(&[data.to_path_buf()])?.remove(0))
    }

    /// Checks that options of data sets are given beside a data set alone. clap does not require --data where an option is
    /// given that excludes it.
    pub fn require_data(&self, has_data: bool) -> Result<()> {
        match self.typed().trim() {
            "" => Ok(()),
            _ if has_data => Ok(()),
            typed => Err(Error::Config(format!(
                "{typed} is about a data set, and --data is not given; leave it out, or give --data DIR"
            ))),
        }
    }

    /// The options as they are typed, for a command to be repeated.
    pub fn typed(&self) -> String {
        let layouts: Vec<&str> = self.layout.iter().map(|layout| layout.name()).collect();
        let layouts =
            if layouts.is_empty() { String::new() } else { format!(" --layout {}", layouts.join(" ")) };
        layouts + &self.split.map_or(String::new(), |split| format!(" --split {split}"))
    }
}
