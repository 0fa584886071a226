//! Inputs of a command stay as they are: no output takes their place or lies between the images of a data set.

use crate::support::{assert_says, called, data, fail, succeed, text, train};
use std::fs;
use std::path::Path;

/// --force overwrites earlier outputs, and no input of the command; pictures do not become images of a data set.
#[test]
fn force_destroys_no_input() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = at("run");
    succeed(&mut train(data(), &run, &["solver.iterations=1", "solver.lr_milestones=[]"]));
    let (weights, features) = (run.join("weights.safetensors"), at("g.safetensors"));
    let images = data().join("query");
    let mut extract =
        called(&["extract", "--weights", text(&run), "--images", text(&images), "--out", text(&features)]);
    succeed(&mut extract);
    let image = at("a.png");
    let picture = fs::read_dir(&images).unwrap().next().unwrap().unwrap().path();
    fs::copy(picture, &image).unwrap();
    let before = [&weights, &features, &image].map(|file| fs::read(file).unwrap());
    let (run, weights, features, images) = (text(&run), text(&weights), text(&features), text(&images));
    let of_features = ["eval", "--query", features, "--gallery", features, "--ignore-cameras"];
    let query = ["query", "--run", run, "--image", text(&image), "--gallery", features];
    for line in [
        &["extract", "--weights", run, "--images", images, "--out", weights, "--force"][..],
        &["extract", "--weights", weights, "--images", images, "--out", weights, "--force"],
        &["features", features, "--out", features, "--force"],
        &[&query[..], &["--images", images, "--out", text(&image), "--force"]].concat(),
        &[&query[..], &["--json", features, "--force"]].concat(),
        &[&of_features[..], &["--json", features, "--force"]].concat(),
    ] {
        assert_says(&fail(&mut called(line)), &["is the input itself; give another name"]);
    }
    let inside = Path::new(images).join("new/maps");
    for out in [images, text(&inside)] {
        let maps = ["activations", "--weights", run, "--images", images, "--out", out, "--force"];
        assert_says(&fail(&mut called(&maps)), &["in the folder of --images", "give a folder outside"]);
    }
    assert!(!inside.exists());
    let png = Path::new(images).join("new.png");
    succeed(&mut called(&["eval", "--run", run, "--data", text(data())]));
    for (line, option) in [
        (&[&query[..], &["--images", text(data()), "--out", text(&png)]].concat()[..], "--images"),
        (&["tensorboard", run, "--out", text(&inside)], "the evaluation's images"),
        (&["tensorboard", run, "--images", images, "--out", text(&inside)], "--images"),
    ] {
        let place = format!("in the folder of {option}");
        assert_says(&fail(&mut called(line)), &[&place, "give a folder outside"]);
    }
    assert!(!png.exists() && !inside.exists());
    let after = [weights, features, text(&image)].map(|file| fs::read(file).unwrap());
    assert!(before == after);
}
