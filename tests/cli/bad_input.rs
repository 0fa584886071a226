//! Wrong input: a one-line error that names what is wrong and how to fix it, a failing exit status, no partial output.

use crate::support::{bcreid, data, fail, own_data, stderr, succeed, train};
use std::fs;
use std::path::{Path, PathBuf};

/// Training on `data` must fail with all of `words` in its line, and leave no run folder.
#[track_caller]
fn refused(data: &Path, more: &[&str], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let error = fail(&mut train(data, &out, more));
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(!out.exists(), "a run folder was made in spite of: {error}");
}

fn some_image(folder: &Path) -> PathBuf {
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all.swap_remove(0)
}

#[test]
fn folders_that_are_missing_empty_or_laid_out_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    refused(&at("nowhere"), &[], &["nowhere"]);
    fs::create_dir(at("empty")).unwrap();
    refused(&at("empty"), &[], &["empty", "bounding_box_train"]);
    fs::create_dir_all(at("other/images")).unwrap();
    fs::write(at("other/images/a.jpg"), b"x").unwrap();
    refused(&at("other"), &[], &["other", "bounding_box_train"]);
    fs::create_dir_all(at("hollow/bounding_box_train")).unwrap();
    refused(&at("hollow"), &[], &["bounding_box_train"]);
}

#[test]
fn images_that_cannot_be_read_are_named_and_may_be_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let set = own_data(folder.path());
    let image = some_image(&set.join("bounding_box_train"));
    let name = image.file_name().unwrap().to_str().unwrap();
    let bytes = fs::read(&image).unwrap();
    for spoilt in [&bytes[..bytes.len() / 2], &b"<html>not an image</html>"[..], &b""[..]] {
        fs::write(&image, spoilt).unwrap();
        refused(&set, &[], &[name, "data.bad_images=skip"]);
    }
    succeed(&mut train(&set, &folder.path().join("run"), &["data.bad_images=skip"]));
}

#[test]
fn names_without_a_pid_and_sets_of_one_identity() {
    let folder = tempfile::tempdir().unwrap();
    let set = own_data(folder.path());
    let train_images = set.join("bounding_box_train");
    fs::copy(some_image(&train_images), train_images.join("holiday.jpg")).unwrap();
    refused(&set, &[], &["holiday.jpg"]);
    fs::remove_file(train_images.join("holiday.jpg")).unwrap();
    let keep = some_image(&train_images).file_name().unwrap().to_str().unwrap()[..4].to_string();
    for entry in fs::read_dir(&train_images).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_str().unwrap().starts_with(&keep) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    refused(&set, &["solver.batch=2"], &["identit"]);
}

#[test]
fn batches_larger_than_the_set_and_settings_that_do_not_exist() {
    refused(data(), &["solver.batch=1024"], &["1024"]);
    refused(data(), &["loss.lamda=1"], &["loss.lamda", "loss.batch_contrastive.weight"]);
    refused(data(), &["solver.lr=fast"], &["solver.lr"]);
    refused(data(), &["data.sampler=pk", "data.pk_images=3"], &["data.pk_images"]);
}

#[test]
fn a_run_folder_that_exists_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.txt"), "dear").unwrap();
    let error = fail(&mut train(data(), folder.path(), &[]));
    assert!(error.contains("exists") && error.contains("--resume"), "{error}");
    assert_eq!(fs::read_to_string(folder.path().join("mine.txt")).unwrap(), "dear");
    let mut resume = bcreid();
    resume.arg("train").arg("--data").arg(data()).arg("--out").arg(folder.path()).arg("--resume");
    let error = fail(&mut resume);
    assert!(error.contains("not a run folder"), "{error}");
}

#[test]
fn weights_of_another_shape_or_kind() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    succeed(&mut train(data(), &run, &[]));
    let with = |weights: &Path, more: &[&str]| {
        let out = folder.path().join("new");
        let error = fail(train(data(), &out, more).arg("--weights").arg(weights));
        assert!(!out.exists(), "a run folder was made in spite of: {error}");
        error
    };
    let weights = run.join("weights.safetensors");
    let error = with(&weights, &["model.width=16"]);
    assert!(error.contains("[8, 7, 7, 3]") && error.contains("[16, 7, 7, 3]"), "{error}");
    let error = with(&weights, &["model.wiring=caffe"]);
    assert!(error.contains("wiring"), "{error}");
    let whole = fs::read(&weights).unwrap();
    let cut = folder.path().join("cut.safetensors");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    assert!(with(&cut, &[]).contains("cut.safetensors"));
    assert!(with(&some_image(&data().join("query")), &[]).contains(".jpg"));
    let torch = folder.path().join("resnet50.pth");
    fs::write(&torch, b"PK\x03\x04 and so on, long enough to look like a header").unwrap();
    assert!(with(&torch, &[]).contains("bcreid-convert"));
    // Metadata of another network than the tensors: doctor finds it by the check that training uses.
    let doctor = |file: &Path| fail(bcreid().arg("doctor").arg("--weights").arg(file));
    let file = bcreid::weights::read_tensors(&weights).unwrap();
    let tensors: Vec<_> = file
        .names()
        .map(|name| {
            let view = file.tensor(name).unwrap();
            let values = view.f32().unwrap();
            bcreid::weights::TensorOut::f32(name, view.shape(), values)
        })
        .collect();
    let mut metadata = file.metadata().clone();
    let config = metadata.get_mut("config").unwrap();
    assert!(config.contains("width = 8"), "{config}");
    *config = config.replacen("width = 8", "width = 16", 1);
    let other = folder.path().join("other.safetensors");
    bcreid::weights::write_tensors(&other, &tensors, &metadata).unwrap();
    let error = doctor(&other);
    assert!(error.contains("[8, 7, 7, 3]") && error.contains("metadata"), "{error}");
    assert!(with(&other, &["model.width=16"]).contains("[8, 7, 7, 3]"));
    succeed(bcreid().arg("doctor").arg("--weights").arg(&weights));
    // Files of other formats, given for weights and for features.
    let caffe = folder.path().join("some.caffemodel");
    fs::write(&caffe, b"\x0a\x04name\xa2\x06\x10\x0a\x05conv1").unwrap();
    let image = some_image(&data().join("query"));
    for (path, words) in [
        (&caffe, ["seems to be a Caffe model", "bcreid-convert"]),
        (&torch, ["seems to be a zip archive", "bcreid-convert"]),
        (&image, ["seems to be a JPEG image", "weights are a .safetensors file"]),
    ] {
        for error in [with(path, &[]), doctor(path)] {
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
    let eval = |file: &Path| fail(bcreid().arg("eval").arg("--query").arg(file).arg("--gallery").arg(file));
    for (path, word) in [(&image, "bcreid extract"), (&torch, "bcreid features"), (&caffe, "bcreid extract")]
    {
        let error = eval(path);
        assert!(error.contains("seems to be") && error.contains(word), "{error}");
    }
    let bare = folder.path().join("bare.safetensors");
    bcreid::weights::write_tensors(&bare, &[], &Default::default()).unwrap();
    assert!(with(&bare, &[]).contains("run it through bcreid-convert first"));
    assert!(with(&folder.path().join("none.safetensors"), &[]).contains("none.safetensors"));
}

#[test]
fn evaluation_says_why_no_query_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pids: Vec<i64>, camids: Vec<i64>| {
        let path = folder.path().join(name);
        let n = pids.len();
        let features = (0..2 * n).map(|i| i as f32 + 1.0).collect();
        let features = bcreid::weights::Features::new(features, 2, pids, camids, Vec::new()).unwrap();
        features.write(&path).unwrap();
        path
    };
    let query = file("q.safetensors", vec![1, 2], vec![1, 1]);
    let same_camera = file("g.safetensors", vec![1, 2], vec![1, 1]);
    let strangers = file("s.safetensors", vec![8, 9], vec![2, 2]);
    let eval = |gallery: &Path| {
        let mut eval = bcreid();
        fail(eval.arg("eval").arg("--query").arg(&query).arg("--gallery").arg(gallery))
    };
    assert!(eval(&same_camera).contains("camera"));
    assert!(eval(&strangers).contains("pid"));
    assert!(eval(&folder.path().join("none.safetensors")).contains("none.safetensors"));
}

#[test]
fn devices_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let demo = |device: &str| fail(bcreid().args(["demo", "--device", device, "--out"]).arg(&out));
    // On a machine without CUDA for another reason than on one with a few devices.
    let error = demo("cuda:99");
    assert!(error.contains("device cuda:99: ") && error.contains("--device cpu"), "{error}");
    let error = fail(bcreid().args(["demo", "--device", "cpu", "--precision", "tf32", "--out"]).arg(&out));
    assert!(error.contains("precision tf32 needs a CUDA device"), "{error}");
    let error = stderr(&bcreid().args(["demo", "--precision", "fp8", "--out"]).arg(&out).output().unwrap());
    assert!(error.contains("f32, tf32, bf16"), "{error}");
    assert!(demo("tpu").contains("tpu"));
    assert!(fail(bcreid().args(["config"]).args(["--set", "x"])).contains("section.key=value"));
    let mut threads = std::process::Command::new(env!("CARGO_BIN_EXE_bcreid"));
    assert!(fail(threads.args(["--threads", "999999", "config"])).contains("1 to 1024"));
    assert!(!out.exists());
}
