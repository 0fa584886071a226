//! The counts of the versions of L2 normalisation, from the simulated GPU.

use crate::checks::{Checks, Numbers, that};
use crate::gpu;
use crate::lines;
use softcuda::{Device, Launch, Report, args};
use std::path::Path;

const ROWS: usize = 5;
const FEATURES: usize = 33;
const BLOCK: u32 = 64;

/// Runs a version.
fn count(device: &Device, version: &str) -> Result<Report, String> {
    let host = Numbers::new(131).many_f32(ROWS * FEATURES);
    let x = device.upload("x", &host).map_err(gpu::told)?;
    let y = device.unwritten::<f32>("y", ROWS * FEATURES).map_err(gpu::told)?;
    let norms = device.unwritten::<f32>("norms", ROWS).map_err(gpu::told)?;
    let (m, n) = (ROWS as i32, FEATURES as i32);
    let a_block_a_row = args![&x, &y, &norms, n].to_vec();
    let with_m = args![&x, &y, &norms, m, n].to_vec();
    let (kernel, blocks, arguments) = match version {
        "1" => ("l2_normalize_v1_thread_a_row", (ROWS as u32).div_ceil(BLOCK), with_m),
        "2" => ("l2_normalize_v2_tree", ROWS as u32, a_block_a_row),
        "3" => ("l2_normalize_v3_warp_a_row", (ROWS as u32).div_ceil(BLOCK / 32), with_m),
        _ => ("l2_normalize_forward_f32", ROWS as u32, a_block_a_row),
    };
    device.launch(kernel, &Launch::new(blocks, BLOCK), &arguments).map_err(gpu::told)
}

pub fn grade(checks: &mut Checks, answer: &Path) {
    for version in ["1", "2", "3", "4"] {
        checks.check(&format!("version {version}"), || {
            let lines = lines::read(answer)?;
            lines::only(&lines, &["1", "2", "3", "4"])?;
            let given = lines::numbers(&lines, version, "VERSION READ WRITTEN BARRIERS WARP")?;
            let report = count(&gpu::of_repository("cuda/lab/l2_normalize.cu")?, version)?;
            let of_a_pass = (4 * ROWS * FEATURES) as u64;
            let read = match given[0] == 3 * of_a_pass {
                true => "an element that is multiplied by itself is loaded once",
                false => "each pass over a row counts, before any cache",
            };
            let want = [
                ("bytes read", report.global_bytes_read, read),
                ("bytes written", report.global_bytes_written, "y and norms, 4 bytes each"),
                ("barriers", report.barriers, "those that a block passes, added over all blocks"),
                ("warp operations", report.warp_operations, "the shuffles of a warp, added over all warps"),
            ];
            for ((what, want, why), given) in want.into_iter().zip(given) {
                that(given == want, || format!("{given} {what} instead of {want}: {why}"))?;
            }
            Ok(())
        });
    }
}
