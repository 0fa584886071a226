//! From image files to batches: layouts, lists, decoding, resizing, the loader, and what each says about wrong
//! input.

mod cache;
mod dataset;
mod decode;
#[allow(dead_code)] // Shared with the operations' tests; not everything is needed here.
#[path = "../ops/golden.rs"]
mod golden;
mod layouts;
mod list;
mod loader;
mod made;
mod omniglot;
mod resize;
mod slips;
mod stream;
#[path = "../common/trees.rs"]
mod trees;
