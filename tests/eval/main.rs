//! Evaluation against hand-computed rankings, a plain reference and published figures; feature and weight
//! files against whatever a disk may hold.

mod files;
mod hand;
mod offset;
mod page;
mod protocols;
mod published;
mod reference;
mod rerank;

use bcreid::weights::Features;

/// One-dimensional features: an image is a place on a line, its distance to a query at 0 is that place.
fn line(places: &[f32], pids: &[i64], camids: &[i64]) -> Features {
    Features::new(places.to_vec(), 1, pids.to_vec(), camids.to_vec(), Vec::new()).unwrap()
}
