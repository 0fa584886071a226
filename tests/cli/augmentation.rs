//! Augmentations and samplers, from the settings to the bits of runs and to messages.

use crate::support::{bcreid, data, fail, stderr, succeed, train};
use std::fs;
use std::path::Path;
use std::process::Command;

const ALL: &[&str] = &[
    "data.crop=true",
    "data.pad=3",
    "data.resize=[72, 40]",
    "data.brightness=0.3",
    "data.contrast=0.2",
    "data.saturation=0.4",
    "data.erase=0.5",
    "data.erase_fill=noise",
];

fn resumed(run: &Path) -> Command {
    let mut resume = bcreid();
    resume.arg("train").arg("--data").arg(data()).arg("--out").arg(run).args([
        "--resume",
        "--iterations",
        "12",
    ]);
    resume
}

fn metrics(run: &Path) -> String {
    fs::read_to_string(run.join("metrics.jsonl")).unwrap()
}

/// A run that is stopped in the middle has the bits of a whole one, and each setting changes the bits.
#[test]
fn augmented_runs_resume_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, settings) in [
        ("augmented", ALL),
        ("pairs", &["data.sampler=pairs", "data.pairs_decay=0.5"]),
        ("by images", &["data.sampler=pk", "data.pk_images=2", "data.pk_order=images"]),
    ] {
        let (whole, part) = (at(name), at(&format!("{name}, in parts")));
        succeed(&mut train(data(), &whole, settings));
        succeed(&mut train(data(), &part, &[settings, &["solver.iterations=5"]].concat()));
        succeed(&mut resumed(&part));
        assert_eq!(metrics(&part), metrics(&whole), "{name}");
        let weights = |run: &Path| {
            let file = bcreid::weights::read_tensors(&run.join("weights.safetensors")).unwrap();
            let tensor = |name: &str| (name.to_string(), file.get(name).unwrap().bytes().to_vec());
            file.names().map(tensor).collect::<Vec<_>>()
        };
        assert!(weights(&part) == weights(&whole), "{name}");
    }
    let first_loss = |name: &str, settings: &[&str]| {
        succeed(&mut train(
            data(),
            &at(name),
            &[settings, &["solver.iterations=1", "model.dropout=0"]].concat(),
        ));
        metrics(&at(name))
    };
    let plain = first_loss("plain", &[]);
    assert_eq!(first_loss("again", &["data.resize=[64, 32]"]), plain, "the input's size crops nothing");
    for (i, setting) in [
        "data.resize=[72, 32]",
        "data.brightness=0.3",
        "data.contrast=0.3",
        "data.saturation=0.3",
        "data.erase=1",
    ]
    .iter()
    .enumerate()
    {
        assert_ne!(first_loss(&format!("one{i}"), &[setting]), plain, "{setting}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for (settings, words) in [
        (&["data.resize=[60, 32]"][..], ["data.resize = [60, 32]", "at least these"]),
        (&["data.resize=[64, 5000]"], ["data.resize", "at most 4096"]),
        (&["data.resize=64"], ["data.resize", "a list of 2"]),
        (&["data.erase=1.5"], ["data.erase = 1.5", "0 to 1"]),
        (&["data.erase=0.5", "data.erase_area=[0.5, 0.1]"], ["data.erase_area", "ascending"]),
        (&["data.erase=0.5", "data.erase_aspect=3"], ["data.erase_aspect = 3", "0.01 to 1"]),
        (&["data.erase_fill=grey"], ["data.erase_fill", "mean, noise"]),
        (&["data.contrast=-1"], ["data.contrast", "0 to 10"]),
        (&["data.sampler=pairs", "solver.batch=7"], ["solver.batch", "even"]),
        (&["data.sampler=pairs", "solver.batch=200"], ["pairs", "solver.batch to at most"]),
        (&["data.sampler=pairs", "data.pairs_positive=2"], ["data.pairs_positive", "0 to 1"]),
        (&["data.sampler=pairs", "data.pairs_positive=0"], ["no batch can hold", "batch-contrastive"]),
        (&["data.pk_order=random"], ["data.pk_order", "identities, images"]),
        (&["data.random_erase=0.5"], ["random_erase", "data.erase"]),
        (&["INPUT.REA.PROB=0.5"], ["REA.PROB", "data.erase"]),
        (&["data.color_jitter=true"], ["color_jitter", "data.brightness"]),
    ] {
        let error = fail(&mut train(data(), &out, settings));
        assert!(words.iter().all(|word| error.contains(word)), "{settings:?}: {error}");
        assert!(!out.exists(), "{settings:?}");
    }
    let idle = ["data.erase_fill=noise", "data.pk_order=images", "data.pairs_decay=0.9"];
    let output = train(data(), &out, &idle).output().unwrap();
    let said = stderr(&output);
    for note in [
        "data.erase_fill = \"noise\" has no effect with data.erase = 0",
        "data.pk_order = \"images\" has no effect with data.sampler = \"random\"",
        "data.pairs_decay = 0.9 has no effect with data.sampler = \"random\"",
    ] {
        assert!(output.status.success() && said.contains(note), "{note}: {said}");
    }
}

/// Images without identities: drawn beside the others, counted, compared when a run is resumed.
#[test]
fn images_without_identities_enter_the_softmax_loss() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let generated = at("generated");
    fs::create_dir_all(generated.join("inner")).unwrap();
    for (i, entry) in fs::read_dir(data().join("query")).unwrap().take(5).enumerate() {
        let name = if i < 2 { format!("inner/{i}.jpg") } else { format!("{i}.jpg") };
        fs::copy(entry.unwrap().path(), generated.join(name)).unwrap();
    }
    let setting = format!("data.unlabelled={}", generated.display());
    let settings = ["loss.batch_contrastive.weight=0", "data.sampler=epochs", &setting];
    succeed(&mut train(data(), &at("whole"), &settings));
    succeed(&mut train(data(), &at("part"), &[&settings[..], &["solver.iterations=5"]].concat()));
    succeed(&mut resumed(&at("part")));
    assert_eq!(metrics(&at("part")), metrics(&at("whole")));
    succeed(&mut train(data(), &at("without"), &settings[..2]));
    assert_ne!(metrics(&at("without")), metrics(&at("whole")));
    let told = succeed(bcreid().arg("doctor").arg("--weights").arg(at("whole")));
    assert!(told.contains("and 5 images without an identity"), "{told}");

    // Another image, or one fewer, belongs to another run.
    fs::remove_file(generated.join("2.jpg")).unwrap();
    let error = fail(&mut resumed(&at("part")));
    assert!(error.contains("belongs to another run or data set"), "{error}");

    for (more, words) in [
        (
            &["loss.batch_contrastive.weight=1"][..],
            &["data.unlabelled", "loss.batch_contrastive.weight to 0"][..],
        ),
        (&["loss.triplet.weight=1"], &["data.unlabelled", "no identity"]),
        (&["data.sampler=pk"], &["data.unlabelled", "random or epochs"]),
        (&["data.sampler=pairs"], &["data.unlabelled", "random or epochs"]),
        (&["data.unlabelled=3"], &["data.unlabelled", "text"]),
    ] {
        let error = fail(&mut train(data(), &at("refused"), &[&settings[..], more].concat()));
        assert!(words.iter().all(|word| error.contains(word)), "{more:?}: {error}");
    }
    let refused = |folder: &Path| {
        let setting = format!("data.unlabelled={}", folder.display());
        fail(&mut train(data(), &at("refused"), &[settings[0], settings[1], &setting]))
    };
    assert!(refused(&at("nowhere")).contains("nowhere is not a folder"));
    fs::create_dir_all(at("empty")).unwrap();
    assert!(refused(&at("empty")).contains("no image"));
    fs::write(generated.join("3.jpg"), b"no picture").unwrap();
    let error = refused(&generated);
    assert!(error.contains("3.jpg") && error.contains("bad_images"), "{error}");
    assert!(!at("refused").exists());
    let skip = [&settings[..], &["data.bad_images=skip"]].concat();
    succeed(&mut train(data(), &at("skipping"), &skip));
    assert!(fs::read_to_string(at("skipping").join("skipped.txt")).unwrap().contains("3.jpg"));
}
