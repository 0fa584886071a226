//! `bcreid doctor`: its report of the kernels in this build.

use super::support::{bcreid, succeed};
use bcreid::device::cuda::fatbin;

#[test]
fn doctor_lists_the_kernels_or_how_to_get_them() {
    let looked = succeed(bcreid().arg("doctor"));
    match fatbin::embedded() {
        Ok(kernels) => {
            let sum = format!("cuda kernels: {} in ", kernels.kernels.len());
            assert!(looked.contains(&sum) && looked.contains(kernels.nvcc), "{looked}");
            for architecture in kernels.architectures {
                assert!(looked.contains(&format!("sm_{architecture}")), "{looked}");
            }
            for kernel in kernels.kernels {
                let row = looked.lines().find(|line| line.split_whitespace().next() == Some(kernel.name));
                assert_eq!(row.unwrap_or(&looked).split_whitespace().count(), 4, "{looked}");
            }
        }
        Err(why) => assert!(looked.contains(&format!("cuda kernels: {why}")), "{looked}"),
    }
}
