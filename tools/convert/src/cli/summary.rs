//! Summary of a conversion: the tensors that were used, left out or absent.

use crate::Result;
use crate::network::{Network, title_of};
use bcreid::console::say;
use bcreid::error::excerpt;

/// Prints which tensors of the file were used.
///
/// # Errors
/// Standard output cannot be written.
pub fn report(network: &Network<'_>) -> Result<()> {
    let from_file = network.places.iter().filter(|place| place.source.is_some()).count();
    say(format_args!("mapped: {from_file} tensors of {}", title_of(&network.config.model)))?;
    if !network.left_out.is_empty() {
        let (counters, others): (Vec<&str>, Vec<&str>) =
            network.left_out.iter().partition(|name| name.ends_with("num_batches_tracked"));
        if !counters.is_empty() {
            say(format_args!("left out: {} num_batches_tracked counters", counters.len()))?;
        }
        if !others.is_empty() {
            say(format_args!("left out: {}", some_of(others.into_iter())))?;
        }
    }
    let absent = network.places.iter().find(|place| place.source.is_none());
    absent.map_or(Ok(()), |place| say(format_args!("absent in the file, set to 0: {}", place.name)))
}

/// Lists a few names and the number of the others.
pub fn some_of<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<String> = names.take(SHOWN).map(short).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

/// A name from a file, escaped and shortened for display.
pub fn short(name: &str) -> String {
    const LONGEST: usize = 100;
    excerpt(name, LONGEST)
}
