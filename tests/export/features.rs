//! Features as `.npy` with `.csv`, as `.arrow`, and back.

use crate::bcreid;
use crate::command::{fail, succeed};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::FileReader;
use bcreid::export::features::{read, write};
use bcreid::weights::{Features, Origin};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

fn sample() -> Features {
    let paths = ["a/0001_c1.jpg", "b, \"quoted\"\n\u{e9}.png", " blanks .png"].map(String::from);
    let values = vec![1.0, -2.0, 0.5, 0.0, 1e-30, f32::MIN_POSITIVE, 3.0, -0.0, 0.1];
    let features = Features::new(values, 3, vec![1, -1, 7], vec![0, -1, 3], paths.into()).unwrap();
    features.with_origin(Origin {
        network: Some("abc".into()),
        mirrored: Some(true),
        pooled: Some("mean".into()),
        layer: Some("neck".into()),
    })
}

/// Without what only this program's own files keep.
fn plain(features: &Features) -> Features {
    features.clone().with_origin(Origin::default())
}

/// A `.npy` with this dictionary and these bytes behind it.
fn npy(folder: &Path, header: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join("x.npy");
    let length = (header.len() as u16).to_le_bytes();
    fs::write(&path, [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), bytes].concat()).unwrap();
    path
}

#[test]
fn npy_with_its_list_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.npy");
    write(&sample(), &path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }";
    assert_eq!(bytes[..10], *b"\x93NUMPY\x01\x00\x76\x00");
    assert_eq!(bytes[10..10 + header.len()], *header);
    assert_eq!((bytes.len(), bytes[127]), (128 + 9 * 4, b'\n'), "elements start at a multiple of 64");
    assert_eq!(bytes[128..132], 1f32.to_le_bytes());
    let list = fs::read_to_string(path.with_extension("csv")).unwrap();
    assert_eq!(
        list,
        "path,pid,camid\na/0001_c1.jpg,1,0\n\"b, \"\"quoted\"\"\n\u{e9}.png\",-1,\n blanks .png,7,3\n"
    );

    let back = read(&path).unwrap();
    assert_eq!(back, plain(&sample()));
    let bits = |features: &Features| features.features().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&back), bits(&sample()));
    let unknown = Features::new(vec![1.0, 2.0], 1, vec![3, 4], vec![-1, -1], Vec::new()).unwrap();
    write(&unknown, &path).unwrap();
    assert_eq!(read(&path).unwrap(), unknown);
}

#[test]
fn arrays_of_other_toolboxes_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let doubles: Vec<u8> = [0.1f64, 1e-50, -3.5, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n";
    let path = npy(folder.path(), header, &doubles);
    fs::write(path.with_extension("csv"), "\u{feff}camid , pid,more\r\n2, 5 ,x\r\n 1,0,y\r\n").unwrap();
    let features = read(&path).unwrap();
    assert_eq!(features.features(), [0.1, 0.0, -3.5, 4.0]);
    assert_eq!((features.pids(), features.camids()), (&[5, 0][..], &[2, 1][..]));
    assert!(features.paths().is_empty());

    // The longer header of version 2, and a list of pids alone.
    let bytes = fs::read(&path).unwrap();
    let length = (header.len() as u32).to_le_bytes();
    fs::write(&path, [b"\x93NUMPY\x02\x00", &length[..], &bytes[10..]].concat()).unwrap();
    fs::write(path.with_extension("csv"), "pid\n5\n6\n").unwrap();
    assert!(!read(&path).unwrap().has_cameras());
}

fn table(path: &Path) -> (Vec<RecordBatch>, std::collections::HashMap<String, String>) {
    let reader = FileReader::try_new(fs::File::open(path).unwrap(), None).unwrap();
    let metadata = reader.schema().metadata().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    (reader.map(|batch| batch.unwrap()).collect(), metadata)
}

#[test]
fn arrow_holds_every_row_with_nulls_for_what_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.arrow");
    write(&sample(), &path).unwrap();
    let first = fs::read(&path).unwrap();
    write(&sample(), &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first, "the same features give the same bytes");
    let (batches, metadata) = table(&path);
    let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
    let known = ["network", "mirrored", "pooled", "layer"].map(|key| metadata[key].as_str());
    assert_eq!(known, ["abc", "true", "mean", "neck"]);
    let names: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["path", "pid", "camid", "feature"]);
    let paths: Vec<Option<&str>> = batch["path"].as_string::<i32>().iter().collect();
    assert_eq!(paths, sample().paths().iter().map(|path| Some(path.as_str())).collect::<Vec<_>>());
    assert_eq!(batch["pid"].as_primitive::<Int64Type>().values()[..], [1, -1, 7]);
    let camids: Vec<Option<i64>> = batch["camid"].as_primitive::<Int64Type>().iter().collect();
    assert_eq!(camids, [Some(0), None, Some(3)]);
    let rows = batch["feature"].as_fixed_size_list();
    assert_eq!(rows.value_length(), 3);
    let values = rows.values().as_primitive::<Float32Type>().values();
    assert_eq!(
        bytemuck::cast_slice::<f32, u32>(values),
        bytemuck::cast_slice::<f32, u32>(sample().features())
    );
}

#[test]
fn arrow_puts_long_tables_into_several_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.arrow");
    // Two rows of 4 MiB go into a batch of 8.
    let (rows, dim) = (5usize, 1 << 20);
    let values: Vec<f32> = (0..rows * dim).map(|i| (i % 1009) as f32).collect();
    let features = Features::new(values, dim, vec![1; rows], vec![-1; rows], Vec::new()).unwrap();
    write(&features, &path).unwrap();
    let (batches, _) = table(&path);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 2, 1]);
    assert!(batches.iter().all(|batch| batch["path"].null_count() == batch.num_rows()));
    let mut seen = 0;
    for batch in &batches {
        let values = batch["feature"].as_fixed_size_list().values().as_primitive::<Float32Type>().values();
        assert!(**values == features.features()[seen..seen + values.len()]);
        seen += values.len();
    }
    assert_eq!(seen, rows * dim);
}

#[test]
fn wrong_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }\n";
    let values: Vec<u8> = [1f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let cases: [(&str, &[u8], &str, &str); 14] = [
        (good, &values[..7], "pid\n1\n2\n", "2 x 1, but 7 bytes follow"),
        (good, &[&values[..], b"\0"].concat(), "pid\n1\n2\n", "but 9 bytes follow"),
        (&good.replace("2, 1", "4611686018427387904, 4"), &values, "pid\n1\n", "but 8 bytes follow"),
        (&good.replace("2, 1", "0, 1"), b"", "pid\n", "0 images"),
        (&good.replace("<f4", "<i4"), &values, "pid\n1\n2\n", "\"<i4\""),
        ("nothing", &values, "pid\n1\n2\n", "not that of a plain array"),
        (good, &[&values[..4], &f32::NAN.to_le_bytes()].concat(), "pid\n1\n2\n", "row 1 holds NaN"),
        (good, &values, "pid\n1\n", "2 rows, but the .csv beside it lists 1"),
        (good, &values, "pid\n1\nx\n", "x.csv line 3: pid \"x\""),
        (
            good,
            &values,
            "pid\neva\n1\n",
            "not a whole number; number them, and give the names in the column pid_name",
        ),
        (good, &values, "pid,camid\n1,2\n2\n", "x.csv line 3: 1 field, but the header has 2"),
        (
            good,
            &values,
            "person\n1\n2\n",
            "x.csv line 1: found \"person\"; the header must be path,pid,camid",
        ),
        (good, &values, "pid,camid\n1,2\n2,-7\n", "camids[1] is -7"),
        (good, &values, "pid,camid\n1,2\n2,\n", "cam"),
    ];
    for (header, bytes, list, expected) in cases {
        let path = npy(folder.path(), header, bytes);
        fs::write(path.with_extension("csv"), list).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("x."), "{expected}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let path = npy(folder.path(), good, &values);
    fs::remove_file(path.with_extension("csv")).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("x.csv: no such file"));
    fs::write(&path, b"\x93NUMPY\x09\x00").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("version 9.0"));
    fs::write(&path, b"\x93NUMPY\x02\x00\xff\xff\xff\xff{").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("4294967295 bytes"));
    assert!(
        read(folder.path().join("x.arrow").as_path())
            .unwrap_err()
            .to_string()
            .contains("can be written but not read")
    );
    fs::create_dir(folder.path().join("d.npy")).unwrap();
    assert!(read(&folder.path().join("d.npy")).unwrap_err().to_string().contains("folder"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a file holds, reading it ends in features or in one line.
    #[test]
    fn no_bytes_make_it_panic(
        start in prop_oneof![Just(0usize), Just(6), Just(10), Just(69)],
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0usize..90, byte in any::<u8>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = npy(folder.path(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }", &[0; 8]);
        fs::write(path.with_extension("csv"), "pid\n1\n2\n").unwrap();
        let mut whole = fs::read(&path).unwrap();
        let at = at % whole.len();
        whole[at] = byte;
        for content in [[&whole[..start], &bytes].concat(), whole] {
            fs::write(&path, content).unwrap();
            if let Err(error) = read(&path) {
                prop_assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
        fs::write(npy(folder.path(), header, &[0; 8]).with_extension("csv"), &bytes).unwrap();
        if let Err(error) = read(&path) {
            prop_assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}

#[test]
fn the_program_converts_and_overwrites_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    sample().write(&at("a.safetensors")).unwrap();
    let convert = |from: &str, to: &str, more: &[&str]| {
        let mut command = bcreid();
        command.arg("features").arg(at(from)).arg("--out").arg(at(to)).args(more);
        command
    };
    let said = succeed(&mut convert("a.safetensors", "b.npy", &[]));
    assert!(said.contains("b.npy, ") && said.contains("b.csv: 3 features of 3 values"), "{said}");
    succeed(&mut convert("b.npy", "c.safetensors", &[]));
    assert_eq!(Features::read(&at("c.safetensors")).unwrap(), plain(&sample()));
    succeed(&mut convert("b.npy", "d.arrow", &[]));
    assert_eq!(table(&at("d.arrow")).0[0].num_rows(), 3);

    let before = fs::read(at("c.safetensors")).unwrap();
    let error = fail(&mut convert("a.safetensors", "c.safetensors", &[]));
    assert!(error.contains("c.safetensors exists") && error.contains("--force"), "{error}");
    assert_eq!(fs::read(at("c.safetensors")).unwrap(), before);
    succeed(&mut convert("a.safetensors", "c.safetensors", &["--force"]));
    assert_eq!(Features::read(&at("c.safetensors")).unwrap(), sample());
    fs::remove_file(at("b.npy")).unwrap();
    let error = fail(&mut convert("a.safetensors", "b.npy", &[]));
    assert!(error.contains("b.csv exists"), "{error}");
    let error = fail(&mut convert("a.safetensors", "e.parquet", &[]));
    assert!([".safetensors", ".npy", ".arrow"].iter().all(|known| error.contains(known)), "{error}");
    assert!(fail(&mut convert("a.safetensors", "no/such/f.npy", &[])).contains("folder does not exist"));
    assert!(fail(&mut convert("d.arrow", "e.npy", &[])).contains("can be written but not read"));
    assert!(!at("e.npy").exists() && !at("e.csv").exists());
}

#[test]
fn extraction_looks_at_its_result_first() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let extract = |out: &str, more: &[&str]| {
        let mut command = bcreid();
        command
            .args(["extract", "--weights", "nowhere", "--images", "nowhere", "--out"])
            .arg(at(out))
            .args(more);
        fail(&mut command)
    };
    fs::write(at("f.csv"), "dear").unwrap();
    assert!(extract("f.npy", &[]).contains("f.csv exists"));
    assert!(extract("f.npy", &["--force"]).contains("nowhere"));
    assert!(extract("f.bin", &[]).contains(".safetensors, .npy"));
    assert_eq!(fs::read_to_string(at("f.csv")).unwrap(), "dear");
}
