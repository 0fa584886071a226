//! The charts, one file each: they turn the values of runs into a [`super::figure::Figure`].

pub mod cmc;
pub mod curves;
pub mod figure1;
pub mod pairs;

use super::figure::{Key, Mark};
use super::palette::Colour;
use super::run::Run;

/// Legend of runs, with a line in the run's colour for each.
fn legend_of_runs(runs: &[Run]) -> Vec<Key> {
    let key = |(index, run): (usize, &Run)| Key {
        name: run.name.clone(),
        colour: Colour::Run(index),
        mark: Mark::Line,
    };
    runs.iter().enumerate().map(key).collect()
}
