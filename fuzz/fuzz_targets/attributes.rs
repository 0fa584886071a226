//! Attributes of persons, for a data set of three persons, of whom two have names.

#![no_main]

use bcreid::data::{Attributes, Classes, Labels, Sample};
use bcreid_fuzz::{folder, good};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = folder();
    let file = folder.path().join("attributes.csv");
    std::fs::write(&file, bytes).expect("room");
    let sample = |pid| Sample { path: "a.jpg".into(), pid, camid: None };
    let classes = Classes::new(&[1, 2, 7].map(sample)).expect("three persons");
    let Some(read) = good(Attributes::read(&file, &classes, &Labels::default())) else { return };
    let sizes = read.sizes();
    assert_eq!((read.names.len(), read.table.len()), (sizes.len(), 3 * sizes.len()));
    for (i, class) in read.table.iter().enumerate() {
        assert!((0..sizes[i % sizes.len()] as i32).contains(class), "{class} of {sizes:?}");
    }
});
