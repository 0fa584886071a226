//! Block, thread, warp and lane of elements.

use crate::checks::{Checks, that};
use crate::lines;
use std::path::Path;

/// Threads of a block, and of a warp.
const BLOCK: u64 = 96;
const WARP: u64 = 32;

pub fn grade(checks: &mut Checks, answer: &Path) {
    for element in [0, 95, 96, 250, 479] {
        checks.check(&format!("element {element}"), || {
            let lines = lines::read(answer)?;
            lines::only(&lines, &["0", "95", "96", "250", "479"])?;
            let given = lines::numbers(&lines, &element.to_string(), "ELEMENT BLOCK THREAD WARP LANE")?;
            let thread = element % BLOCK;
            let want = [
                ("block", element / BLOCK, "a block has 96 elements, counted from 0"),
                ("thread", thread, "threads are counted in each block, from 0"),
                ("warp", thread / WARP, "warps are counted in each block, 32 threads each"),
                ("lane", thread % WARP, "a lane is the place in the warp, 0 to 31"),
            ];
            for ((name, want, why), given) in want.into_iter().zip(given) {
                that(given == want, || {
                    format!("element {element}: {name} {given} instead of {want}: {why}")
                })?;
            }
            Ok(())
        });
    }
}
