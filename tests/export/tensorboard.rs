//! Event files: complete records, the numbers of `metrics.jsonl`, and one file in each folder after repeated writing.

use crate::bcreid;
use crate::command::{fail, succeed};
use bcreid::data::decode;
use bcreid::export::tensorboard::proto::{Content, Event, HistogramProto, What};
use bcreid::export::tensorboard::{EventWriter, Histogram};
use bcreid::run::metrics::StepMetrics;
use prost::Message;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// The messages of an event file, every checksum looked at.
#[track_caller]
fn events(mut bytes: &[u8]) -> Vec<Event> {
    let masked =
        |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at(8);
        let (checksum, rest) = rest.split_at(4);
        assert_eq!(checksum, masked(length));
        let (message, rest) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        let (checksum, rest) = rest.split_at(4);
        assert_eq!(checksum, masked(message));
        events.push(Event::decode(message).unwrap());
        bytes = rest;
    }
    assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".into())));
    assert!(matches!(events[1].what, Some(What::SessionLog(log)) if log.status == 1 && events[1].step == 0));
    events.split_off(2)
}

/// The one event file in a folder that holds something.
#[track_caller]
fn only_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| !file.ends_with("run.txt"));
    let files: Vec<PathBuf> = files.filter(|file| fs::metadata(file).unwrap().len() > 0).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("events.out.tfevents.") && name.ends_with(".bcreid"), "{name}");
    file.clone()
}

/// Every number of training: by step, by tag.
type Scalars = BTreeMap<i64, BTreeMap<String, u32>>;

#[track_caller]
fn scalars(events: &[Event]) -> Scalars {
    let mut all = Scalars::new();
    for event in events {
        let Some(What::Summary(summary)) = &event.what else { panic!("{event:?}") };
        let values = summary.value.iter().filter_map(|value| match value.content {
            Some(Content::SimpleValue(number)) if !value.tag.starts_with("evaluation/") => {
                Some((value.tag.clone(), number.to_bits()))
            }
            _ => None,
        });
        let values: BTreeMap<String, u32> = values.collect();
        if !values.is_empty() {
            assert!(all.insert(event.step, values).is_none(), "step {} twice", event.step);
        }
    }
    all
}

/// What an event file must say of a run's `metrics.jsonl`.
fn expected(run: &Path) -> Scalars {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let step = |line: &str| {
        let l: StepMetrics = serde_json::from_str(line).unwrap();
        let values = [
            ("loss/total", l.loss),
            ("loss/softmax", l.softmax),
            ("loss/positive", l.positive),
            ("loss/hinge", l.hinge),
            ("loss/center", l.center),
            ("loss/triplet", l.triplet),
            ("loss/circle", l.circle),
            ("loss/contrastive", l.contrastive),
            ("loss/center_loss", l.center_loss),
            ("loss/verification", l.verification),
            ("loss/attributes", l.attributes),
            ("schedule/rate", l.rate),
            ("schedule/lambda", l.lambda),
            ("distance/intra", l.intra),
            ("distance/inter", l.inter),
            ("distance/inter_min", l.inter_min),
        ];
        let values = values.into_iter().filter_map(|(tag, value)| Some((tag.to_string(), value?.to_bits())));
        (l.step as i64, values.collect())
    };
    text.lines().map(step).collect()
}

/// A run folder as training leaves it, as far as curves go.
fn made_up_run(run: &Path, steps: u64) {
    fs::create_dir_all(run).unwrap();
    fs::write(run.join("config.toml"), "").unwrap();
    let line = |step: u64| StepMetrics {
        step,
        loss: Some(3.0 / (step as f32 + 1.0)),
        softmax: Some(0.1 * step as f32),
        positive: Some(1e-30),
        hinge: Some(f32::MAX),
        center: Some(0.0),
        rate: Some(0.01),
        lambda: Some(1.0),
        intra: (!step.is_multiple_of(3)).then_some(0.3),
        inter: Some(0.7),
        inter_min: None,
        triplet: Some(0.5),
        circle: Some(0.25 * step as f32),
        contrastive: (step > 0).then_some(0.125),
        center_loss: Some(2.0 * step as f32),
        verification: Some(0.5 * step as f32),
        attributes: Some(0.75),
    };
    let lines: Vec<String> =
        (0..steps).map(|step| serde_json::to_string(&line(step)).unwrap() + "\n").collect();
    fs::write(run.join("metrics.jsonl"), lines.concat()).unwrap();
}

fn tensorboard(runs: &[&Path]) -> Command {
    let mut command = bcreid();
    command.args(["tensorboard", "--device", "cpu"]).args(runs);
    command
}

#[test]
fn the_curves_of_a_run_bit_for_bit_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    made_up_run(&run, 5000);
    let written = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    fs::File::options().append(true).open(run.join("metrics.jsonl")).unwrap().set_modified(written).unwrap();
    let said = succeed(&mut tensorboard(&[&run]));
    assert!(said.contains("tensorboard --logdir"), "{said}");
    let file = only_file(&run.join("tensorboard"));
    assert!(file.ends_with("events.out.tfevents.1700000000.bcreid"), "{file:?}");
    let bytes = fs::read(&file).unwrap();
    let found = events(&bytes);
    assert!(found.iter().all(|event| event.wall_time == 1_700_000_000.25));
    assert_eq!(scalars(&found), expected(&run));
    assert!(!scalars(&found)[&3].contains_key("distance/intra"));

    // Again, and again after more steps: one file, with all of them.
    succeed(&mut tensorboard(&[&run]));
    assert_eq!(fs::read(only_file(&run.join("tensorboard"))).unwrap(), bytes);
    made_up_run(&run, 5010);
    let cut = fs::read_to_string(run.join("metrics.jsonl")).unwrap() + "{\"step\":5010,\"lo";
    fs::write(run.join("metrics.jsonl"), &cut).unwrap();
    let theirs = run.join("tensorboard/events.out.tfevents.1700000000.host.77.0");
    fs::write(&theirs, "dear").unwrap();
    succeed(&mut tensorboard(&[&run]));
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "dear");
    fs::remove_file(&theirs).unwrap();
    assert_eq!(scalars(&events(&fs::read(only_file(&run.join("tensorboard"))).unwrap())).len(), 5010);
}

/// What TensorBoard shows beside curves: tags with their descriptions, by step.
fn descriptions(events: &[Event]) -> Vec<(i64, String, String)> {
    let mut all = Vec::new();
    for event in events {
        let Some(What::Summary(summary)) = &event.what else { panic!("{event:?}") };
        all.extend(summary.value.iter().filter_map(|value| {
            let metadata = value.metadata.as_ref()?;
            let text = metadata.summary_description.clone();
            // Without a part of TensorBoard its reader warns of the tag.
            let part = metadata.plugin_data.as_ref().map(|part| part.plugin_name.as_str());
            assert!(part == Some(if text.is_empty() { "text" } else { "scalars" }), "{value:?}");
            Some((event.step, value.tag.clone(), text)).filter(|(_, _, text)| !text.is_empty())
        }));
    }
    all
}

#[test]
fn the_first_step_says_whether_losses_are_sums_or_means() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    for (settings, word) in [("", "sum"), ("[loss]\nreduction = \"mean\"\n", "mean")] {
        made_up_run(&run, 3);
        fs::write(run.join("config.toml"), settings).unwrap();
        succeed(&mut tensorboard(&[&run]));
        let found = descriptions(&events(&fs::read(only_file(&run.join("tensorboard"))).unwrap()));
        let text = format!("The {word} over the batch (loss.batch_contrastive.reduction).");
        let tags = ["loss/positive", "loss/hinge", "loss/center"];
        assert_eq!(found, tags.map(|tag| (0, tag.to_string(), text.clone())), "{settings}");
    }
}

#[test]
fn several_runs_in_one_folder_keep_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (run, steps) in [("a/full", 3), ("b/full", 4), ("a/baseline", 5)] {
        made_up_run(&at(run), steps);
    }
    let (a, b, c) = (at("a/full"), at("b/full"), at("a/baseline"));
    succeed(tensorboard(&[&a, &b, &c]).arg("--out").arg(at("all")));
    for (name, steps) in [("a/full", 3), ("b/full", 4), ("baseline", 5)] {
        let found = events(&fs::read(only_file(&at("all").join(name))).unwrap());
        assert_eq!(scalars(&found).len(), steps, "{name}");
    }
    assert!(!a.join("tensorboard").exists());
    // Again the same run, but not another one of its name.
    succeed(tensorboard(&[&c]).arg("--out").arg(at("all")));
    made_up_run(&at("z/baseline"), 6);
    let error = fail(tensorboard(&[&at("z/baseline")]).arg("--out").arg(at("all")));
    assert!(error.contains("holds the events of") && error.contains("a/baseline"), "{error}");
}

#[test]
fn a_diverged_step_has_no_numbers_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    made_up_run(&run, 2);
    let more = fs::read_to_string(run.join("metrics.jsonl")).unwrap()
        + "{\"step\":2,\"loss\":null,\"softmax\":null,\"positive\":1,\"hinge\":1,\"center\":1,\"rate\":1,\"lambda\":1,\
           \"intra\":null,\"inter\":null,\"inter_min\":null}\n";
    fs::write(run.join("metrics.jsonl"), more).unwrap();
    succeed(&mut tensorboard(&[&run]));
    let found = scalars(&events(&fs::read(only_file(&run.join("tensorboard"))).unwrap()));
    let tags: Vec<&String> = found[&2].keys().collect();
    assert_eq!(tags, ["loss/center", "loss/hinge", "loss/positive", "schedule/lambda", "schedule/rate"]);
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(fail(&mut tensorboard(&[&at("nowhere")])).contains("nowhere: not a run folder: no such folder"));
    made_up_run(&at("run"), 0);
    assert!(fail(&mut tensorboard(&[&at("run")])).contains("no step in it yet"));
    fs::write(at("run/metrics.jsonl"), "{\"step\":0}\nhello\n").unwrap();
    assert!(fail(&mut tensorboard(&[&at("run")])).contains("metrics.jsonl: line 2"));
    assert!(!at("run/tensorboard").exists());
    // Somebody trains in it, and may be writing the same file.
    made_up_run(&at("run"), 2);
    let lock = fs::File::create(at("run/lock")).unwrap();
    lock.lock().unwrap();
    assert!(fail(&mut tensorboard(&[&at("run")])).contains("another process is working"));
    succeed(tensorboard(&[&at("run")]).arg("--out").arg(at("elsewhere")));
}

#[test]
fn distributions_and_pictures() {
    let mut bytes = Vec::new();
    let mut writer = EventWriter::new(&mut bytes, 5.0).unwrap();
    writer.histogram(6.0, 7, "pairs/same", &Histogram::of(&[0.0, 0.25, 1.0], 2)).unwrap();
    writer.image(6.0, 8, "lists/best", b"\x89PNG", [3, 2]).unwrap();
    writer.flush().unwrap();
    let found = events(&bytes);
    let content = |event: &Event| match &event.what {
        Some(What::Summary(summary)) => (summary.value[0].tag.clone(), summary.value[0].content.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!((found[0].step, found[1].step, found[1].wall_time), (7, 8, 6.0));
    let (tag, Some(Content::Histo(histogram))) = content(&found[0]) else { panic!() };
    let expected = HistogramProto {
        min: 0.0,
        max: 1.0,
        num: 3.0,
        sum: 1.25,
        sum_squares: 1.0625,
        bucket_limit: vec![0.5, 1.0],
        bucket: vec![2.0, 1.0],
    };
    assert_eq!((tag.as_str(), histogram), ("pairs/same", expected));
    let (tag, Some(Content::Image(image))) = content(&found[1]) else { panic!() };
    assert_eq!((tag.as_str(), image.width, image.height, image.colorspace), ("lists/best", 3, 2, 3));
    assert_eq!(image.encoded_image_string, b"\x89PNG");
}

/// Curves that come while a run trains: stopped, resumed, resumed without being asked, evaluated.
#[test]
fn a_run_that_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let sizes = ["--train-ids", "6", "--test-ids", "4", "--cameras", "2", "--images-per-camera", "2"];
    succeed(bcreid().arg("synth").arg("--out").arg(at("set")).args(sizes));
    let mut start = bcreid();
    start
        .args(["train", "--device", "cpu", "--tensorboard", "--data"])
        .arg(at("set"))
        .arg("--out")
        .arg(at("run"));
    for setting in [
        "model.arch=slim",
        "model.width=4",
        "model.depths=[1, 1, 1, 1]",
        "model.dropout=0.5",
        "input.height=64",
        "input.width=32",
        "solver.batch=8",
        "solver.iterations=6",
        "solver.lr_milestones=[]",
        "run.checkpoint_every=4",
        "run.checkpoints_kept=9",
        "run.log_every=2",
    ] {
        start.args(["--set", setting]);
    }
    succeed(&mut start);
    let watched = || fs::read(only_file(&at("run/tensorboard"))).unwrap();
    let first = events(&watched());
    assert_eq!(scalars(&first), expected(&at("run")));
    assert!(first.is_sorted_by_key(|event| event.wall_time) && first[0].wall_time > 1.7e9);

    // As if it had been killed between step 4 and the end, and goes on.
    fs::remove_file(at("run/checkpoints/step_0000000006.safetensors")).unwrap();
    fs::remove_file(at("run/weights.safetensors")).unwrap();
    let mut resume = bcreid();
    resume
        .args(["train", "--device", "cpu", "--resume", "--data"])
        .arg(at("set"))
        .arg("--out")
        .arg(at("run"));
    let before = only_file(&at("run/tensorboard"));
    succeed(&mut resume);
    // Readers go on to the next name once a file has no more for them.
    assert!(only_file(&at("run/tensorboard")) > before && fs::metadata(&before).unwrap().len() == 0);
    assert_eq!(scalars(&events(&watched())), scalars(&first));
    assert_eq!(scalars(&first).len(), 6);

    succeed(bcreid().args(["eval", "--device", "cpu", "--run"]).arg(at("run")).arg("--data").arg(at("set")));
    succeed(&mut tensorboard(&[&at("run")]));
    let all = events(&watched());
    assert_eq!(scalars(&all), scalars(&first));
    let mut pairs = BTreeMap::new();
    let mut lists = Vec::new();
    // Frames of matches, and bars around other persons.
    let (mut green, mut red) = (0, 0);
    for event in &all {
        let Some(What::Summary(summary)) = &event.what else { panic!("{event:?}") };
        for value in &summary.value {
            match &value.content {
                Some(Content::Histo(histogram)) => {
                    assert_eq!(histogram.bucket.iter().sum::<f64>(), histogram.num);
                    pairs.insert(value.tag.clone(), histogram.num);
                }
                Some(Content::Image(image)) => {
                    let picture = decode::decode(&image.encoded_image_string).unwrap();
                    assert_eq!((picture.width as i32, picture.height as i32), (image.width, image.height));
                    for pixel in picture.pixels.chunks_exact(3) {
                        green += usize::from(pixel == [0x2f, 0x8f, 0x4e]);
                        red += usize::from(pixel == [0xb8, 0x3b, 0x2e]);
                    }
                    lists.push(value.tag.clone());
                    assert_eq!(event.step, 5);
                }
                _ => {}
            }
        }
    }
    // 8 queries; each has one image of its person under the other camera.
    assert_eq!(pairs["pairs/set/same"], 8.0, "{pairs:?}");
    assert!(pairs["pairs/set/different"] > 100.0, "{pairs:?}");
    assert!(green > 0 && red > 0, "{green} and {red} pixels of frames");
    lists.sort();
    let kinds = [("best", 3), ("random", 2), ("worst", 3)];
    let names = kinds.iter().flat_map(|(kind, n)| (1..=*n).map(move |i| format!("lists/set/{kind}/{i}")));
    assert_eq!(lists, names.collect::<Vec<_>>());
}
