//! Hostile files of features, weights and metrics: refused in one line, within 300 MB and 2 s.

use crate::support::{bcreid, fail, limited, succeed};
use bcreid::weights::Features;
use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The error of a call within the limits.
#[track_caller]
fn fail_within_limits(command: &mut Command) -> String {
    fail(&mut limited(command))
}

/// Bytes of a header that nearly reaches the format's limit.
const LONG: usize = 98_000_000;

/// Writes a header that `fill` writes, padded to `length` (at least), and a hole of `data` bytes behind it.
fn safetensors(path: &Path, length: usize, data: u64, fill: impl FnOnce(&mut dyn Write)) -> PathBuf {
    let mut writer = BufWriter::new(File::create(path).unwrap());
    writer.write_all(&[0; 8]).unwrap();
    fill(&mut writer);
    let mut file = writer.into_inner().unwrap();
    let written = file.stream_position().unwrap() - 8;
    let padding = (length as u64).saturating_sub(written).max(written.next_multiple_of(8) - written);
    file.write_all(&vec![b' '; padding as usize]).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&(written + padding).to_le_bytes()).unwrap();
    file.set_len(8 + written + padding + data).unwrap();
    path.to_path_buf()
}

/// The entries of a feature file of `rows` rows with one value each.
fn entries(rows: u64) -> String {
    let entry = |name: &str, dtype: &str, shape: &str, from: u64, to: u64| {
        format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{from},{to}]}}")
    };
    [
        entry("pids", "I64", &rows.to_string(), 0, 8 * rows),
        entry("camids", "I64", &rows.to_string(), 8 * rows, 16 * rows),
        entry("features", "F32", &format!("{rows},1"), 16 * rows, 20 * rows),
    ]
    .join(",")
}

/// A sparse feature file: a few kilobytes on the disk.
fn sparse(path: &Path, rows: u64) -> PathBuf {
    safetensors(path, 0, 20 * rows, |writer| write!(writer, "{{{}}}", entries(rows)).unwrap())
}

fn small(path: &Path) -> PathBuf {
    let paths = (0..4).map(|i| format!("{i}.jpg")).collect();
    Features::new(vec![1.0, 2.0, 3.0, 4.0], 1, vec![1, 2, 1, 2], vec![1, 1, 2, 2], paths)
        .unwrap()
        .write(path)
        .unwrap();
    path.to_path_buf()
}

fn query(query: &Path, gallery: &Path) -> Command {
    let mut command = bcreid();
    command.arg("query").arg("--features").arg(query).arg("--gallery").arg(gallery);
    command
}

fn eval(query: &Path, gallery: &Path) -> Command {
    let mut command = bcreid();
    command.args(["eval", "--device", "cpu", "--query"]).arg(query).arg("--gallery").arg(gallery);
    command
}

#[test]
fn a_sparse_feature_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let huge = sparse(&at("huge.safetensors"), 400_000_000);
    let own = small(&at("small.safetensors"));
    let features = |file: &Path| {
        let mut command = bcreid();
        command.arg("features").arg(file).arg("--out").arg(at("out.npy"));
        command
    };
    for mut command in
        [query(&own, &huge), query(&huge, &own), eval(&own, &huge), eval(&huge, &own), features(&huge)]
    {
        let error = fail_within_limits(&mut command);
        assert!(error.contains("huge.safetensors: it claims 400000000 images"), "{error}");
    }
    // Identities and cameras stay in the file: of two million rows only the page of the features is in memory.
    let many = sparse(&at("many.safetensors"), 200_001);
    let error = fail_within_limits(&mut query(&many, &own));
    assert!(error.contains("200001 queries, and one call ranks at most 100000"), "{error}");
    let found = succeed(&mut query(&own, &many));
    assert!(found.contains("row 0"), "{found}");
    // The list of a NumPy array is compared with the array before the array is read.
    let array = at("huge.npy");
    let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (400000000, 1), }";
    let header = format!("{text:<117}\n");
    let mut file = File::create(&array).unwrap();
    file.write_all(b"\x93NUMPY\x01\x00").unwrap();
    file.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(10 + header.len() as u64 + 1_600_000_000).unwrap();
    fs::write(array.with_extension("csv"), "pid\n1\n2\n").unwrap();
    let mut command = bcreid();
    command.arg("features").arg(&array).arg("--out").arg(at("out.safetensors"));
    let error = fail_within_limits(&mut command);
    assert!(error.contains("400000000 rows, but the .csv beside it lists 2"), "{error}");
    // A list of zeros: one line without an end.
    File::create(array.with_extension("csv")).unwrap().set_len(96 << 20).unwrap();
    assert!(fail_within_limits(&mut command).contains("huge.csv"));
    File::create(array.with_extension("csv")).unwrap().set_len(1 << 40).unwrap();
    assert!(fail_within_limits(&mut command).contains("larger than 96 MiB"));
}

/// Headers of 98 MB that hold as much as they can of one thing.
#[test]
fn long_headers() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let own = small(&at("small.safetensors"));
    let repeat = |writer: &mut dyn Write, start: &str, part: &dyn Fn(usize) -> String, end: &str| {
        let mut left = LONG - start.len() - end.len();
        writer.write_all(start.as_bytes()).unwrap();
        for i in 0.. {
            let part = part(i);
            if part.len() > left {
                break;
            }
            left -= part.len();
            writer.write_all(part.as_bytes()).unwrap();
        }
        writer.write_all(end.as_bytes()).unwrap();
    };
    let empty = "\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
    let tensors = |i| format!("\"{i}\":{{{empty},");
    let four = entries(4);
    /// Name, start, repeated part, end, words of the error.
    type Case<'a> = (&'a str, String, &'a dyn Fn(usize) -> String, String, &'a str);
    let cases: [Case<'_>; 8] = [
        ("tensors", "{".into(), &tensors, format!("\"end\":{{{empty}}}"), "more than 65536 tensors"),
        (
            "sizes",
            "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0],\"shape\":[0".into(),
            &|_| ",1".into(),
            "]}}".into(),
            "more than 16 dimensions",
        ),
        (
            "entries",
            "{\"__metadata__\":{".into(),
            &|i| format!("\"{i}\":\"\","),
            "\"end\":\"\"}}".into(),
            "more than 256 entries",
        ),
        ("name", "{\"".into(), &|_| "\\u0007".into(), format!("\":{{{empty}}}"), "a name has"),
        (
            "network",
            format!("{{{four},\"__metadata__\":{{\"network\":\""),
            &|_| "\\u0007".into(),
            "\"}}".into(),
            "metadata \"network\" has",
        ),
        (
            "paths",
            format!("{{{four},\"__metadata__\":{{\"paths\":\"[\\\"\\\""),
            &|_| ",\\\"\\\"".into(),
            "]\"}}".into(),
            "4 images, but",
        ),
        (
            "no paths",
            format!("{{{four},\"__metadata__\":{{\"paths\":\"[[[0"),
            &|_| ",0".into(),
            "]]]\"}}".into(),
            "not a JSON list of strings",
        ),
        ("nested", "{\"a\":{\"x\":".into(), &|_| "[".into(), "".into(), "header cannot be read"),
    ];
    for (name, start, part, end, words) in cases {
        let file = safetensors(&at("long.safetensors"), 0, 80, |writer| repeat(writer, &start, part, &end));
        let error = fail_within_limits(&mut query(&own, &file));
        assert!(error.contains("long.safetensors: ") && error.contains(words), "{name}: {error}");
        assert!(error.len() < 600, "{name}: {} bytes", error.len());
    }
    // Weights need no long header at all.
    let error = fail_within_limits(bcreid().arg("doctor").arg("--weights").arg(at("long.safetensors")));
    assert!(
        error.contains("its header has 93.5 MiB, and that of a file of weights at most 16.0 MiB"),
        "{error}"
    );
    let file = safetensors(&at("w.safetensors"), 16 << 20, 0, |writer| {
        write!(writer, "{{\"__metadata__\":{{\"config\":\"").unwrap();
        (0..(16 << 20) / 6 - 20).for_each(|_| writer.write_all(b"\\u0007").unwrap());
        write!(writer, "\"}}}}").unwrap();
    });
    let error = fail_within_limits(bcreid().arg("doctor").arg("--weights").arg(&file));
    assert!(error.contains("w.safetensors: ") && error.len() < 600, "{} bytes", error.len());
}

#[test]
fn metrics_of_more_steps_than_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("config.toml"), "").unwrap();
    let mut writer = BufWriter::new(File::create(run.join("metrics.jsonl")).unwrap());
    (0..2_000_002).for_each(|step| writeln!(writer, "{{\"step\":{step}}}").unwrap());
    drop(writer);
    let plot = || {
        let mut command = bcreid();
        command.args(["plot", "curves"]).arg(&run).arg("--out").arg(folder.path().join("a.svg"));
        command
    };
    let error = fail_within_limits(&mut plot());
    assert!(error.contains("the 2,000,001st step"), "{error}");
    // Holes: a line without an end.
    File::create(run.join("metrics.jsonl")).unwrap().set_len(1 << 40).unwrap();
    assert!(fail_within_limits(&mut plot()).contains("longer than any that training writes"));
    File::create(run.join("config.toml")).unwrap().set_len(1 << 40).unwrap();
    let error = fail_within_limits(&mut plot());
    assert!(error.contains("config.toml: larger than 1 MiB"), "{error}");
}

/// Trains on a folder with these files: one short line that holds `words`, within the limits.
fn refuse_data_set(files: &[(&str, &str)], words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (file, content) in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let mut train = bcreid();
    train.arg("train").arg("--data").arg(root).arg("--out").arg(root.join("run"));
    let error = fail_within_limits(&mut train);
    assert!(error.contains(words) && error.len() < 3000, "{words}: {}", &error[..error.len().min(500)]);
}

const FEW: &str = "a list names at most 1000000 images";

#[test]
fn lists_of_millions_of_images() {
    let lines = format!("path,pid\n{}", "a.jpg,b\n".repeat(1_000_002));
    refuse_data_set(&[("a.jpg", ""), ("train.csv", &lines)], FEW);
    refuse_data_set(&[("train/a", ""), ("list_train.txt", &"a\n".repeat(30_000_000))], FEW);
}

/// One record of millions of fields, whose lines are short; in the header too.
#[test]
fn records_of_millions_of_fields() {
    let fields = "\"\n\",".repeat(12_000_000);
    refuse_data_set(&[("train.csv", &format!("path,pid,camid\n{fields}"))], "train.csv line 2");
    refuse_data_set(&[("train.csv", &fields)], "train.csv line 1");
}

#[test]
fn errors_about_long_values_are_short() {
    let long = format!("[\"{}\"]", "A".repeat(15 << 20));
    let files = [("cam_a/1_a.bmp", ""), ("cam_b/1_b.bmp", ""), ("splits.json", long.as_str())];
    refuse_data_set(&files, "not a list of splits");
}
