//! Feature and weight files: round trips, wrong contents, and random bytes.

use bcreid::Error;
use bcreid::autograd::{ParamSpecs, Params};
use bcreid::device::Device;
use bcreid::weights::{About, Features, TensorOut, load_into, model_tensors, read_tensors, write_tensors};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

fn sample() -> Features {
    let paths = vec!["a/0001_c1.jpg".to_string(), "b \"quoted\"\n\u{e9}.png".to_string()];
    Features::new(vec![1.0, -2.0, 0.5, 0.0, 1e-30, 7.0], 3, vec![1, -1], vec![0, 3], paths).unwrap()
}

fn write(folder: &Path, tensors: &[TensorOut<'_>], metadata: &[(&str, &str)]) -> PathBuf {
    let path = folder.join("file.safetensors");
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    write_tensors(&path, tensors, &metadata).unwrap();
    path
}

/// Feature tensors of `n` rows, to be spoilt.
fn tensors(features: &[f32], shape: &[usize], pids: &[i64], camids: &[i64]) -> [TensorOut<'static>; 3] {
    [
        TensorOut::f32("features", shape, features.to_vec()),
        TensorOut::i64("pids", &[pids.len()], pids.to_vec()),
        TensorOut::i64("camids", &[camids.len()], camids.to_vec()),
    ]
}

#[test]
fn features_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.safetensors");
    sample().write(&path).unwrap();
    assert_eq!(Features::read(&path).unwrap(), sample());
    let first = std::fs::read(&path).unwrap();
    sample().write(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first, "the same features give the same bytes");
    // The format's own reader agrees, and finds every tensor aligned.
    let file = safetensors::SafeTensors::deserialize(&first).unwrap();
    assert_eq!(file.tensor("features").unwrap().shape(), [2, 3]);
    assert_eq!(file.tensor("pids").unwrap().data()[..8], 1i64.to_le_bytes());
    let without_paths = write(folder.path(), &tensors(&[1.0, 2.0], &[2, 1], &[5, 6], &[-1, -1]), &[]);
    let read = Features::read(&without_paths).unwrap();
    assert!(read.paths().is_empty() && !read.has_cameras());
}

/// Rows that come piece by piece give the same file, and an error on the way none.
#[test]
fn features_need_not_be_in_memory_to_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
    let features = sample();
    features.write(&whole).unwrap();
    let about = About {
        pids: features.pids(),
        camids: features.camids(),
        paths: features.paths(),
        origin: features.origin(),
        labels: features.labels(),
        weights: None,
    };
    let rows = |values: &[f32]| about.write(&pieces, 3, |write| values.chunks(3).try_for_each(write));
    rows(features.features()).unwrap();
    assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&pieces).unwrap());
    std::fs::remove_file(&pieces).unwrap();
    let refused = about.write(&pieces, features.dim(), |write| {
        write(features.row(0))?;
        Err(Error::Data("an image is broken".into()))
    });
    assert_eq!(refused.unwrap_err().to_string(), "an image is broken");
    let spoilt = rows(&[1.0, 2.0, 3.0, 4.0, f32::NAN, 6.0]).unwrap_err().to_string();
    assert!(spoilt.contains("row 1") && spoilt.contains("holds NaN at 1"), "{spoilt}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Features, their shape, pids, camids, the list of paths, and what the error must say.
type Case<'a> = (&'a [f32], &'a [usize], &'a [i64], &'a [i64], &'a str, &'a str);

#[test]
fn wrong_features_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let good: (&[f32], &[usize], &[i64], &[i64]) = (&[1.0, 2.0], &[2, 1], &[5, 6], &[1, 2]);
    let (nan, inf) = ([1.0, f32::NAN], [f32::INFINITY, 1.0]);
    let cases: [Case<'_>; 14] = [
        (&nan, good.1, good.2, good.3, "", "row 1 holds NaN at 0"),
        (&inf, good.1, good.2, good.3, "[\"x.jpg\",\"y\"]", "row 0 (x.jpg) holds inf at 0"),
        (&[1e30, 1.0], good.1, good.2, good.3, "", "row 0 is 1.0e30 long"),
        (good.0, &[2], good.2, good.3, "", "features has shape [2]"),
        (good.0, &[1, 2], good.2, good.3, "", "pids has shape [2]; features has 1 row"),
        (good.0, good.1, good.2, &[1], "", "camids has shape [1]; features has 2 rows"),
        (&[], &[0, 4], &[], &[], "", "0 images with 4 values"),
        (&[], &[2, 0], good.2, good.3, "", "2 images with 0 values"),
        (good.0, good.1, &[5, -2], good.3, "", "pids[1] is -2"),
        (good.0, good.1, good.2, &[1, -9], "", "camids[1] is -9"),
        (good.0, good.1, good.2, &[1, -1], "", "camids of 1 of 2 images of persons are unknown"),
        (good.0, good.1, good.2, good.3, "[\"x.jpg\"]", "2 images, but 1 path"),
        (good.0, good.1, good.2, good.3, "[1, 2]", "not a JSON list of strings"),
        (good.0, good.1, good.2, good.3, "{", "not a JSON list of strings"),
    ];
    for (features, shape, pids, camids, paths, expected) in cases {
        let metadata = [("paths", paths)];
        let metadata = if paths.is_empty() { &[][..] } else { &metadata[..] };
        let path = write(folder.path(), &tensors(features, shape, pids, camids), metadata);
        let error = Features::read(&path).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("file.safetensors"),
            "{error}\nwanted: {expected}"
        );
        assert!(!error.contains('\n'));
    }
    let refused = |tensors: &[TensorOut<'_>]| {
        Features::read(&write(folder.path(), tensors, &[])).unwrap_err().to_string()
    };
    assert!(
        refused(&[TensorOut::f32("x", &[1], vec![1.0])]).contains("no tensor \"features\"; it holds \"x\"")
    );
    let mut of_floats = tensors(good.0, good.1, good.2, good.3);
    of_floats[1] = TensorOut::f32("pids", &[2], vec![5.0, 6.0]);
    assert!(refused(&of_floats).contains("pids is F32; I64 is needed"));
    assert!(Features::new(vec![1.0; 5], 2, vec![1, 2], vec![1, 2], vec![]).is_err());
    assert!(Features::new(vec![1.0; 4], 2, vec![1, 2], vec![1], vec![]).is_err());
}

#[test]
fn what_is_no_file_of_ours_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8]| {
        let path = folder.path().join("x");
        std::fs::write(&path, bytes).unwrap();
        read_tensors(&path).unwrap_err().to_string()
    };
    assert!(refused(b"").contains("only 0 bytes long"));
    assert!(refused(b"PK\x03\x04 some zip file").contains("seems to be a zip archive"));
    assert!(refused(b"\x02\0\0\0\0\0\0\0{]").contains("header cannot be read"));
    assert!(refused(b"\x02\0\0\0\0\0\0\0{}xyz").contains("need 0 bytes and it holds 3"));
    let path = folder.path().join("f.safetensors");
    sample().write(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert!(refused(&whole[..whole.len() - 1]).contains("cut short"));
    assert!(read_tensors(folder.path()).unwrap_err().to_string().contains("a folder; a file is needed"));
    let absent = folder.path().join("absent");
    assert!(read_tensors(&absent).unwrap_err().to_string().contains("absent"));
    // Sizes whose product or sum would not fit into 64 bits.
    for (shape, offsets) in [
        ("[18446744073709551615]", "[0,18446744073709551615]"),
        ("[4294967296,4294967296]", "[0,0]"),
        ("[18446744073709551616]", "[0,0]"),
        ("[1]", "[1,0]"),
        ("[1]", "[0,18446744073709551615]"),
        ("[-1]", "[0,1]"),
    ] {
        let header = format!("{{\"a\":{{\"dtype\":\"U8\",\"shape\":{shape},\"data_offsets\":{offsets}}}}}");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        assert!(refused(&bytes).contains("not a whole safetensors file"), "{header}");
    }
}

/// A header of any length leaves the tensors unaligned; they are read all the same.
#[test]
fn unaligned_tensors_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for pad in 0..8 {
        let header = format!(
            "{{\"a\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}}}{}",
            " ".repeat(pad)
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()));
        std::fs::write(&path, bytes).unwrap();
        let file = read_tensors(&path).unwrap();
        assert_eq!(*file.tensor("a").unwrap().f32().unwrap(), [1.5, -2.0]);
    }
}

/// A gallery of a million images, with paths as long as those of MSMT17 in a home folder, is read.
#[test]
fn a_gallery_of_a_million_images_is_read() {
    const ROWS: usize = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let gallery = folder.path().join("gallery.safetensors");
    let path =
        |i: usize| format!("/home/user/data/MSMT17_V1/test/{:04}/{i:08}_01_0303morning_0015_0.jpg", i % 3060);
    let paths: Vec<String> = (0..ROWS).map(path).collect();
    let pids: Vec<i64> = (0..ROWS as i64).collect();
    let values = (0..ROWS).map(|i| i as f32).collect();
    Features::new(values, 1, pids.clone(), vec![1; ROWS], paths).unwrap().write(&gallery).unwrap();
    let read = Features::read(&gallery).unwrap();
    assert_eq!((read.pids(), &read.paths()[ROWS - 1]), (&pids[..], &path(ROWS - 1)));
}

fn specs(classes: usize) -> ParamSpecs {
    let mut specs = ParamSpecs::default();
    specs.add("conv1.weight", [2, 3]);
    specs.add("fc.weight", [classes, 2]);
    specs.add_buffer("bn1.running_mean", [2], 1.0);
    specs
}

fn model(classes: usize) -> Params {
    let mut params = Params::new(&Device::cpu(), &specs(classes)).unwrap();
    for (i, param) in params.params_mut().iter_mut().enumerate() {
        param.value.f32_mut().iter_mut().enumerate().for_each(|(j, v)| *v = (10 * i + j) as f32);
    }
    params
}

fn values(params: &Params) -> Vec<Vec<f32>> {
    let learned = params.params().iter().map(|p| p.value.to_host_f32().unwrap());
    learned.chain(params.buffers().iter().map(|b| b.value.to_host_f32().unwrap())).collect()
}

#[test]
fn weights_fill_a_model_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let metadata = BTreeMap::from([("wiring".to_string(), "v1.5".to_string())]);
    let mut stored = model(4);
    stored.buffers_mut()[0].value.f32_mut().fill(-3.0);
    let mut tensors = model_tensors(&stored).unwrap();
    tensors.push(TensorOut::i64("num_batches_tracked", &[], vec![9]));
    write_tensors(&path, &tensors, &metadata).unwrap();
    let file = read_tensors(&path).unwrap();
    assert_eq!(file.metadata(), &metadata);

    let mut same = model(4);
    same.params_mut().iter_mut().for_each(|p| p.value.f32_mut().fill(0.0));
    let loaded = load_into(&mut same, &file, |_| false).unwrap();
    assert_eq!((loaded.loaded, loaded.kept.len()), (3, 0));
    assert_eq!(loaded.unused, ["num_batches_tracked"]);
    assert_eq!(values(&same), values(&stored));

    let mut with_centers = specs(5);
    with_centers.add_buffer("centers", [5, 2], 0.0);
    let mut wider = Params::new(&Device::cpu(), &with_centers).unwrap();
    let before = values(&wider);
    let error = load_into(&mut wider, &file, |name| name == "centers").unwrap_err().to_string();
    assert!(error.contains("fc.weight is [4, 2] in the file and [5, 2] in the model"), "{error}");
    assert!(error.contains("0 missing, 1 of another shape, 0 not in the model"), "{error}");
    let error = load_into(&mut wider, &file, |name| name.starts_with("fc.")).unwrap_err().to_string();
    assert!(error.contains("centers [5, 2] is missing (in all 1 missing"), "{error}");
    assert_eq!(values(&wider), before);
    let head = |name: &str| name.starts_with("fc.") || name == "centers";
    let loaded = load_into(&mut wider, &file, head).unwrap();
    assert_eq!((loaded.loaded, loaded.kept), (2, vec!["fc.weight".to_string(), "centers".to_string()]));
    assert_eq!(values(&wider)[1], before[1]);
    assert_eq!(values(&wider)[2], [-3.0, -3.0]);

    // A larger network's weights hold all that a smaller one asks for.
    let mut larger = model_tensors(&stored).unwrap();
    let extra = |name: &&str| TensorOut::f32(*name, &[1], vec![0.0]);
    larger.extend(["fc.bias", "centers", "momentum/conv2.weight"].iter().map(extra));
    let fitting = read_tensors(&write(folder.path(), &larger, &[])).unwrap();
    assert_eq!(load_into(&mut same, &fitting, |_| false).unwrap().unused.len(), 3);
    larger.extend(["layer4.2.conv1.weight", "layer4.2.bn1.weight"].iter().map(extra));
    let larger = read_tensors(&write(folder.path(), &larger, &[])).unwrap();
    let error = load_into(&mut same, &larger, |_| true).unwrap_err().to_string();
    assert!(error.contains("\"layer4.2.bn1.weight\" is not in the model (in all 0 missing"), "{error}");
    assert!(error.contains("2 not in the model") && error.contains("belong to another model"), "{error}");

    let spoilt = write(folder.path(), &[TensorOut::f32("conv1.weight", &[2, 3], vec![f32::NAN; 6])], &[]);
    let error = load_into(&mut same, &read_tensors(&spoilt).unwrap(), |_| true).unwrap_err().to_string();
    assert!(error.contains("conv1.weight[0] is NaN"), "{error}");
}

/// Reads the bytes as features and touches every tensor; an error is as good as a result, a panic is not.
fn read_anything(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    if let Ok(features) = Features::read(file.path()) {
        assert!(features.features().iter().all(|v| v.is_finite()));
    }
    if let Ok(tensors) = read_tensors(file.path()) {
        for name in tensors.names() {
            let view = tensors.tensor(name).unwrap();
            let _ = (view.f32(), view.i64(), view.shape());
        }
    }
}

static SAMPLE_BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let file = tempfile::NamedTempFile::new().unwrap();
    sample().write(file.path()).unwrap();
    std::fs::read(file.path()).unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_anything(&bytes);
    }

    #[test]
    fn a_random_header_never_panics(header in "[\\[\\]{}:,\"a-z0-9_ FI-]{0,120}") {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        read_anything(&bytes);
    }

    #[test]
    fn truncations_and_mutations_never_panic(
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = SAMPLE_BYTES.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_anything(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read_anything(&bytes);
    }
}
