//! The fatbin itself: all chips, all kernels, no spills.

use bcreid::device::cuda::fatbin::{self, Fatbin};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

/// What a build without `BCREID_CUDA_ARCHS` compiles for, where nvcc knows it.
const CHIPS: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];

/// The kernels of this build, or a note that there are none; written past the test's capture, which would hide it.
fn kernels() -> Option<&'static Fatbin> {
    match fatbin::embedded() {
        Ok(kernels) => Some(kernels),
        Err(why) => {
            let required = std::env::var_os("BCREID_REQUIRE_KERNELS").is_some_and(|value| value == "1");
            assert!(!required, "BCREID_REQUIRE_KERNELS=1, but kernels: {why}");
            std::io::stderr().write_all(format!("skipped, kernels: {why}\n").as_bytes()).unwrap();
            None
        }
    }
}

#[test]
fn every_chip_that_was_asked_for_has_machine_code() {
    let Some(kernels) = kernels() else { return };
    let (found, ptx) = (kernels.architectures, kernels.ptx);
    // Read when this test is compiled, as the build script does.
    match option_env!("BCREID_CUDA_ARCHS").filter(|list| !list.is_empty()) {
        Some(list) => {
            let asked: BTreeSet<u32> = list.split(',').map(|n| n.trim().parse().unwrap()).collect();
            assert_eq!(found, asked.into_iter().collect::<Vec<_>>());
        }
        // An older nvcc lacks the newest chips, a later one will lack the oldest.
        None if !kernels.nvcc.starts_with("13.0.") => {
            assert!(found.iter().all(|n| CHIPS.contains(n)), "{found:?}");
        }
        None => assert_eq!((found, ptx), (&CHIPS[..], 100)),
    }
    assert!(found.contains(&ptx), "PTX of {ptx} beside machine code of {found:?}");
}

#[test]
fn the_bytes_hold_the_images_that_the_table_names() {
    let Some(kernels) = kernels() else { return };
    let bytes = kernels.bytes;
    assert_eq!(bytes.as_ptr().addr() % 64, 0);
    let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    // A header: magic, version (u16), its own size (u16), the size of what follows (u64).
    assert_eq!(u32_at(0), 0xBA55_ED50);
    let mut at = usize::from(u16_at(6));
    assert_eq!(at + u64_at(8), bytes.len());
    // Images: kind (u16), version (u16), size of its header (u32), of its contents (u64), ..., at 28 its chip (u32).
    let (mut machine_code, mut ptx) = (Vec::new(), Vec::new());
    while at < bytes.len() {
        match u16_at(at) {
            1 => ptx.push(u32_at(at + 28)),
            2 => machine_code.push(u32_at(at + 28)),
            kind => panic!("an image of kind {kind} at byte {at}"),
        }
        at += u32_at(at + 4) as usize + u64_at(at + 8);
    }
    machine_code.sort_unstable();
    assert_eq!((machine_code.as_slice(), ptx.as_slice()), (kernels.architectures, &[kernels.ptx][..]));
}

/// The names in the `SOFTCUDA_KERNELS(...)` lines of `cuda/*.cu`.
fn named_in_sources() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cu") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let lists: Vec<&str> = source.split("\nSOFTCUDA_KERNELS(").skip(1).collect();
        assert!(!lists.is_empty(), "{}: no SOFTCUDA_KERNELS line", path.display());
        for list in lists {
            let (list, _) = list.split_once(')').unwrap();
            names.extend(list.split(',').map(|name| name.trim().to_string()));
        }
    }
    names
}

#[test]
fn every_kernel_of_the_sources_is_there_for_every_chip_and_no_other() {
    let Some(kernels) = kernels() else { return };
    let found: BTreeSet<String> = kernels.kernels.iter().map(|kernel| kernel.name.to_string()).collect();
    assert_eq!(found, named_in_sources(), "left: embedded, right: named in cuda/*.cu");
    assert_eq!(found.len(), kernels.kernels.len(), "a name twice");
    for kernel in kernels.kernels {
        let chips: Vec<u32> = kernel.builds.iter().map(|build| build.architecture).collect();
        assert_eq!(chips, kernels.architectures, "{}", kernel.name);
        for build in kernel.builds {
            assert!(build.code_bytes > 0 && build.registers > 0, "{}: {build:?}", kernel.name);
        }
    }
}

#[test]
fn no_kernel_spills_or_has_a_stack_frame() {
    let Some(kernels) = kernels() else { return };
    let builds =
        kernels.kernels.iter().flat_map(|kernel| kernel.builds.iter().map(move |build| (kernel.name, build)));
    let bad: Vec<String> = builds
        .filter(|(_, build)| build.spill_bytes > 0 || build.stack_bytes > 0)
        .map(|(name, build)| format!("{name}: {build:?}"))
        .collect();
    assert!(
        bad.is_empty(),
        "local memory is slow; fewer values at a time, or smaller blocks:\n{}",
        bad.join("\n")
    );
}
