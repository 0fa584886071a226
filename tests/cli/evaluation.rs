//! `bcreid eval` and `bcreid query` with several data sets and all options.

use crate::support::{bcreid, data, fail, stderr, succeed, train};
use bcreid::weights::Features;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A run to evaluate, made once.
fn run() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        succeed(&mut train(data(), &path, &[]));
        (folder, path)
    });
    path
}

fn eval(more: &[&str]) -> std::process::Command {
    let mut command = bcreid();
    command.args(["eval", "--run"]).arg(run()).arg("--data").arg(data()).args(more);
    command
}

#[test]
fn protocols_and_several_data_sets() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("result.json");
    let text = succeed(&mut eval(&["--multi-query", "mean", "--rerank", "--k1", "5", "--k2", "2"]));
    assert!(text.contains("Query: multi-query, mean of all boxes"), "{text}");
    assert!(text.contains("re-ranked by k-reciprocal neighbours (k1 5, k2 2, lambda 0.3)"), "{text}");

    // It does not take the place of a plain evaluation.
    succeed(&mut eval(&[]));
    let kept = |name: &str| run().join("evaluations").join(name).join("result.json").is_file();
    assert!(kept("set") && kept("set+multi-query-mean+rerank-5-2-0.3"));

    // The test part of another set, and distractors for both.
    let other = folder.path().join("other");
    let sizes = ["--train-ids", "1", "--test-ids", "3", "--seed", "5", "--cameras", "2"];
    succeed(bcreid().arg("synth").arg("--out").arg(&other).args(sizes));
    let distractors = other.join("bounding_box_train");
    let text = succeed(eval(&[]).arg(&other).arg("--distractors").arg(&distractors).arg("--json").arg(&json));
    assert!(text.contains("\n set ") && text.contains("\n other "), "{text}");
    let rows: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!((&rows[0]["data"], &rows[1]["data"]), (&"set".into(), &"other".into()));
    let added = std::fs::read_dir(&distractors).unwrap().count() as u64;
    let own = std::fs::read_dir(data().join("bounding_box_test")).unwrap().count() as u64;
    assert_eq!(rows[0]["gallery"].as_u64(), Some(own + added));
    let kept = run().join("evaluations/set+distractors/gallery.safetensors");
    let pids = Features::read(&kept).unwrap().pids()[own as usize..].to_vec();
    assert!(pids.iter().all(|&pid| pid == 0), "{pids:?}");

    // Other distractors, another evaluation; the same ones, the same.
    let kept = |name: &str| run().join("evaluations").join(name).join("result.json");
    let more = other.join("bounding_box_test");
    succeed(eval(&[]).arg("--distractors").arg(&more));
    assert!(kept("set+distractors-2").is_file());
    succeed(eval(&[]).arg("--distractors").arg(&distractors));
    assert!(!kept("set+distractors-3").exists());
    let images = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(kept(name)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(json["images"].clone()).unwrap()
    };
    assert!(images("set+distractors")[1].ends_with("bounding_box_train"), "{:?}", images("set+distractors"));
    assert!(images("set+distractors-2")[1].ends_with("bounding_box_test"));
    let error = fail(eval(&[]).arg("--distractors").arg(&distractors).arg(&distractors));
    assert!(error.contains("given twice"), "{error}");
    for part in ["query", ""] {
        let error = fail(eval(&[]).arg("--distractors").arg(data().join(part)));
        assert!(error.contains("holds images of a data set"), "{error}");
    }
    let error = fail(eval(&[]).arg("--distractors").arg(&distractors).arg(&other));
    assert!(error.contains("given twice"), "{error}");

    let error = fail(&mut eval(&["--multi-query", "mean", "--ignore-cameras"]));
    assert!(error.contains("leave one of the two out"), "{error}");
    assert!(fail(&mut eval(&["--rerank", "--k1", "0"])).contains("k1"));
    assert!(fail(eval(&[]).arg(data())).contains("two data sets are in folders called set"));
    // A broken image in the second set does not cost the first one's figures.
    let broken = std::fs::read_dir(other.join("query")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&broken, b"no image").unwrap();
    let output = eval(&[]).arg(&other).output().unwrap();
    assert!(
        !output.status.success()
            && String::from_utf8_lossy(&output.stderr).contains(broken.to_str().unwrap())
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("rank-1"));
    std::fs::remove_dir_all(other.join("gt_bbox")).unwrap();
    let error =
        fail(bcreid().args(["eval", "--multi-query", "max", "--run"]).arg(run()).arg("--data").arg(&other));
    assert!(error.contains("no gt_bbox"), "{error}");
}

#[cfg(unix)]
#[test]
fn reports_of_chosen_evaluations_and_of_another_result() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let copied = std::process::Command::new("cp").arg("-r").arg(run()).arg(at("run")).status().unwrap();
    assert!(copied.success());
    let _ = std::fs::remove_dir_all(at("run/evaluations"));
    for more in [&[][..], &["--ignore-cameras"], &["--multi-query", "mean"]] {
        succeed(bcreid().args(["eval", "--run"]).arg(at("run")).arg("--data").arg(data()).args(more));
    }
    let report = |more: &[&str]| {
        let mut command = bcreid();
        command.arg("report").arg(at("run")).arg("--out").arg(at("page.html")).arg("--force").args(more);
        command
    };
    let page = |more: &[&str]| {
        succeed(&mut report(more));
        std::fs::read_to_string(at("page.html")).unwrap()
    };
    // Pairs are those of each evaluation: its cameras, its pooled queries.
    let all = page(&[]);
    let bins = all.split("id=\"pairs-data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let bins: serde_json::Value = serde_json::from_str(bins).unwrap();
    let same = |place: usize| -> i64 {
        bins[place]["same"].as_array().unwrap().iter().map(|count| count.as_i64().unwrap()).sum()
    };
    let [plain, without_cameras, pooled] = [0, 1, 2];
    assert!(all.contains("set+ignore-cameras") && all.contains("set+multi-query-mean"));
    assert!(same(without_cameras) > same(plain), "{} and {}", same(without_cameras), same(plain));
    assert!(same(pooled) == same(plain) && bins[pooled] != bins[plain]);
    let one = page(&["--evaluation", "set"]);
    assert!(!one.contains("set+ignore-cameras") && !one.contains("of a checkpoint"));
    let error = fail(&mut report(&["--evaluation", "sat"]));
    assert!(error.contains("they have set, set+ignore-cameras, set+multi-query-mean"), "{error}");

    let plot = |more: &[&str]| {
        let mut command = bcreid();
        command.arg("plot").args(more).arg(at("run")).arg("--out").arg(at("plot.svg")).arg("--force");
        command
    };
    assert!(fail(&mut plot(&["curves", "--evaluation", "set"])).contains("leave it out"));
    std::fs::remove_file(at("run/weights.safetensors")).unwrap();
    assert!(page(&[]).contains("these figures may be of a checkpoint"));
    let output = plot(&["cmc"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("may be of a checkpoint"));
    // The network of the first checkpoint is not that of the last.
    let first = std::fs::read_dir(at("run/checkpoints")).unwrap().map(|entry| entry.unwrap().path()).min();
    std::fs::copy(first.unwrap(), at("run/weights.safetensors")).unwrap();
    assert!(page(&[]).contains("of other weights than the run&#39;s result"), "{}", page(&[]));
}

#[test]
fn options_that_would_be_ignored_or_lose_a_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut extract = bcreid();
    extract.args(["extract", "--weights"]).arg(run()).arg("--images").arg(data().join("query"));
    succeed(extract.arg("--out").arg(at("q.safetensors")));
    let query = |more: &[&str]| {
        let mut command = bcreid();
        command.arg("query").arg("--features").arg(at("q.safetensors")).arg("--gallery");
        command.arg(at("q.safetensors")).args(more);
        command
    };
    let text = succeed(&mut query(&[]));
    assert!(text.contains("Nothing is dropped") && text.contains("pool5 of the image alone"), "{text}");
    assert!(fail(&mut query(&["--flip"])).contains("extracted already"));
    let before = std::fs::read(at("q.safetensors")).unwrap();
    let error = fail(query(&["--json"]).arg(at("q.safetensors")));
    assert!(error.contains("q.safetensors is the input itself"), "{error}");
    assert_eq!(std::fs::read(at("q.safetensors")).unwrap(), before);

    succeed(bcreid().arg("features").arg(at("q.safetensors")).arg("--out").arg(at("q.npy")));
    let eval = |name: &str| {
        let mut command = bcreid();
        command
            .arg("eval")
            .arg("--query")
            .arg(at(name))
            .arg("--gallery")
            .arg(at(name))
            .arg("--ignore-cameras");
        let text = succeed(command.args(["--json", "-"]));
        let mut report: serde_json::Value = serde_json::from_str(&text).unwrap();
        // An array does not name its network.
        report.as_object_mut().unwrap().remove("feature");
        report
    };
    assert_eq!(eval("q.npy"), eval("q.safetensors"));
    // An array without its list, under another name.
    std::fs::rename(at("q.npy"), at("array")).unwrap();
    let array =
        || bcreid().arg("eval").arg("--query").arg(at("array")).arg("--gallery").arg(at("array")).output();
    let error = stderr(&array().unwrap());
    assert!(error.contains("NumPy array") && error.contains("bcreid features"), "{error}");
}

#[test]
fn features_of_another_network_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("run");
    succeed(&mut train(data(), &other, &["run.seed=9"]));
    let gallery = folder.path().join("gallery.safetensors");
    succeed(
        bcreid()
            .args(["extract", "--weights"])
            .arg(&other)
            .arg("--images")
            .arg(data().join("query"))
            .arg("--out")
            .arg(&gallery),
    );
    let image = std::fs::read_dir(data().join("query")).unwrap().next().unwrap().unwrap().path();
    let query = |run: &Path, json: &Path| {
        let mut command = bcreid();
        command.args(["query", "--run"]).arg(run).arg("--image").arg(&image).arg("--gallery").arg(&gallery);
        command.arg("--json").arg(json);
        command
    };
    let json = folder.path().join("hits.json");
    assert!(fail(&mut query(run(), &json)).contains("two networks"));
    succeed(&mut query(&other, &json));
    let found: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(found[0]["hits"][0]["path"].as_str(), image.to_str());
    assert!(found[0]["hits"][0]["distance"].as_f64().unwrap() < 1e-3);
    // Features instead of an image: every row finds itself.
    let mut by_features = bcreid();
    by_features.args(["query", "--top", "1", "--features"]).arg(&gallery).arg("--gallery").arg(&gallery);
    assert!(fail(by_features.arg("--json").arg(&json)).contains("hits.json exists"));
    succeed(by_features.arg("--force"));
    // Standard output has the same JSON, and nothing else.
    let mut printed = bcreid();
    printed
        .args(["query", "--top", "1", "--json", "-", "--features"])
        .arg(&gallery)
        .arg("--gallery")
        .arg(&gallery);
    let printed: serde_json::Value = serde_json::from_str(&succeed(&mut printed)).unwrap();
    let found: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(printed, found);
    for found in found.as_array().unwrap() {
        assert_eq!(found["query"], found["hits"][0]["path"]);
    }
}

/// A gallery of 2 GiB, most of it a hole in the file, ranked and searched by a process that may not have 400 MB.
#[cfg(target_os = "linux")]
#[test]
fn a_gallery_larger_than_the_memory() {
    use std::io::Write;
    const ROWS: usize = 262_144;
    const DIM: usize = 2048;
    let folder = tempfile::tempdir().unwrap();
    let (query, gallery) =
        (folder.path().join("query.safetensors"), folder.path().join("gallery.safetensors"));
    let unit = |at: usize| (0..DIM).map(|i| if i == at { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
    let features = [unit(3), unit(5)].concat();
    Features::new(features, DIM, vec![1, 2], vec![1, 1], Vec::new()).unwrap().write(&query).unwrap();

    // Identities and cameras first, then the features: the file's own order does not matter.
    let (ids, values) = (8 * ROWS, 4 * ROWS * DIM);
    let header = serde_json::json!({
        "pids": { "dtype": "I64", "shape": [ROWS], "data_offsets": [0, ids] },
        "camids": { "dtype": "I64", "shape": [ROWS], "data_offsets": [ids, 2 * ids] },
        "features": { "dtype": "F32", "shape": [ROWS, DIM], "data_offsets": [2 * ids, 2 * ids + values] },
    });
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let start = 8 + header.len() + 2 * ids;
    let mut file = std::fs::File::create(&gallery).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&header).unwrap();
    // The first person's match is the last row, the second's the row before; all others are distractors.
    let pid = |row: usize| if row < ROWS - 2 { 0i64 } else { (ROWS - row) as i64 };
    file.write_all(&(0..ROWS).flat_map(|row| pid(row).to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    file.write_all(&2i64.to_le_bytes().repeat(ROWS)).unwrap();
    file.set_len((start + values) as u64).unwrap();
    let put = |row: usize, value: &[f32]| {
        use std::os::unix::fs::FileExt;
        let bytes: Vec<u8> = value.iter().flat_map(|v| v.to_le_bytes()).collect();
        file.write_all_at(&bytes, (start + 4 * row * DIM) as u64).unwrap();
    };
    // Nearest to the first query: its match. Nearest to the second: a distractor at distance 0, then its match.
    put(ROWS - 1, &unit(3));
    put(ROWS - 2, &unit(5).iter().map(|v| 0.5 * v).collect::<Vec<_>>());
    put(70_000, &unit(5));

    let bounded = |arguments: &[&std::ffi::OsStr]| {
        let mut command = std::process::Command::new("sh");
        // Private memory that can be written to; a mapped file is none.
        command.args([
            "-c",
            "ulimit -d 400000; exec \"$0\" --threads 2 \"$@\"",
            env!("CARGO_BIN_EXE_bcreid"),
        ]);
        command.args(arguments);
        succeed(&mut command)
    };
    let json = folder.path().join("result.json");
    let json = json.as_os_str();
    let (query, gallery) = (query.as_os_str(), gallery.as_os_str());
    bounded(&[
        "eval".as_ref(),
        "--query".as_ref(),
        query,
        "--gallery".as_ref(),
        gallery,
        "--force".as_ref(),
        "--json".as_ref(),
        json,
    ]);
    let result: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((result["rank1"].as_f64(), result["rank5"].as_f64()), (Some(0.5), Some(1.0)));
    assert_eq!(result["map_sum"].as_f64(), Some(0.75));
    bounded(&[
        "query".as_ref(),
        "--features".as_ref(),
        query,
        "--gallery".as_ref(),
        gallery,
        "--force".as_ref(),
        "--json".as_ref(),
        json,
    ]);
    let found: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let nearest = |query: usize| found[query]["hits"][0]["index"].as_u64();
    assert_eq!((nearest(0), nearest(1)), (Some(ROWS as u64 - 1), Some(70_000)));
}
