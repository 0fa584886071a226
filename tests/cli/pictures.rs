//! Pictures of nearest images, and the files of TensorBoard's projector.

use crate::support::{bcreid, data, fail, own_data, stderr, succeed, train};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A run on the small data set and its gallery's features.
fn trained(folder: &Path) -> (PathBuf, PathBuf) {
    let (run, gallery) = (folder.join("run"), folder.join("g.safetensors"));
    succeed(&mut train(data(), &run, &[]));
    let mut extract = bcreid();
    extract.arg("extract").arg("--weights").arg(&run).arg("--out").arg(&gallery);
    succeed(extract.arg("--images").arg(data().join("bounding_box_test")));
    (run, gallery)
}

fn images(part: &str) -> Vec<PathBuf> {
    let mut images: Vec<PathBuf> =
        fs::read_dir(data().join(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
    images.sort();
    images
}

fn query(run: &Path, gallery: &Path, out: &Path) -> Command {
    let mut command = bcreid();
    command.arg("query").arg("--run").arg(run).arg("--gallery").arg(gallery).arg("--out").arg(out);
    command.arg("--image").args(&images("query")[..2]).arg("--images").arg(data());
    command
}

#[test]
fn the_nearest_images_as_a_picture_and_as_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let (run, gallery) = trained(folder.path());
    let at = |name: &str| folder.path().join(name);
    let table = succeed(query(&run, &gallery, &at("q.png")).args(["--top", "5", "--threshold", "0.2"]));
    assert!(table.contains("accepted") && (table.contains(" yes ") || table.contains(" no ")), "{table}");
    let picture = image::open(at("q.png")).unwrap().into_rgb8();
    // Twice the drawing: margins, the query, a gap and five images.
    assert_eq!(picture.width(), 2 * (40 + 86 + 26 + 5 * 86));
    // The query lies in its place, twice as large as in the drawing.
    let own = image::open(&images("query")[0]).unwrap().into_rgb8();
    let place = image::imageops::crop_imm(&picture, 40, 2 * 47, 144, 288).to_image();
    let mean = |of: &image::RgbImage| {
        of.pixels().map(|p| f64::from(p.0[0])).sum::<f64>() / f64::from(of.width() * of.height())
    };
    assert!((mean(&own) - mean(&place)).abs() < 4.0, "{} and {}", mean(&own), mean(&place));

    succeed(query(&run, &gallery, &at("m.png")).args(["--top", "5", "--maps"]));
    let with_maps = image::open(at("m.png")).unwrap();
    assert!(with_maps.height() > picture.height() + 4 * 288, "two maps for each of two queries");

    succeed(query(&run, &gallery, &at("q.html")).args(["--top", "5", "--maps", "--threshold", "99"]));
    let html = fs::read_to_string(at("q.html")).unwrap();
    assert_eq!(html.matches("<img src=\"data:image/jpeg;base64,").count(), 2 * 6);
    assert_eq!(html.matches("<img class=\"map\"").count(), 2 * 6 * 2);
    assert!(!html.contains("alt=\"\"") && html.contains("activation map of rank 1: person "));
    assert!(
        !html.contains("http") && html.contains("default-src 'none'")
            || html.contains("default-src &#39;none&#39;")
    );
    assert!(!html.contains(&data().display().to_string()), "no folder of this machine");
    assert!(!html.contains(" limit\""), "all are below the threshold");
    succeed(query(&run, &gallery, &at("l.html")).args(["--top", "5", "--threshold", "1e-9"]));
    assert_eq!(fs::read_to_string(at("l.html")).unwrap().matches(" limit\"").count(), 2);
}

#[test]
fn wrong_requests_of_pictures_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (run, gallery) = trained(folder.path());
    let at = |name: &str| folder.path().join(name);
    assert!(fail(&mut query(&run, &gallery, &at("q.jpg"))).contains(".png or .html"));
    assert!(fail(&mut query(&run, &gallery, &at("none/q.png"))).contains("folder does not exist"));
    for threshold in ["0", "-1", "nan", "inf"] {
        let asked = format!("--threshold={threshold}");
        assert!(
            fail(query(&run, &gallery, &at("q.png")).arg(asked)).contains("a distance above 0"),
            "{threshold}"
        );
    }
    assert!(
        fail(query(&run, &gallery, &at("q.png")).args(["--maps", "--flip"]))
            .contains("leave one of them out")
    );
    fs::write(at("there.png"), "mine").unwrap();
    assert!(fail(&mut query(&run, &gallery, &at("there.png"))).contains("--force"));
    assert_eq!(fs::read(at("there.png")).unwrap(), b"mine");
    succeed(query(&run, &gallery, &at("there.png")).arg("--force"));
    let mut without = bcreid();
    without
        .arg("query")
        .arg("--features")
        .arg(&gallery)
        .arg("--gallery")
        .arg(&gallery)
        .arg("--out")
        .arg(at("a.png"));
    // The parser of the arguments says what is missing.
    let said = stderr(&without.output().unwrap());
    assert!(said.contains("required") && said.contains("--images <DIR>"), "{said}");
    let said = stderr(&without.arg("--images").arg(data()).arg("--maps").output().unwrap());
    assert!(said.contains("required") && said.contains("--run <RUN>"), "{said}");
    let mut many = bcreid();
    many.arg("query")
        .arg("--features")
        .arg(&gallery)
        .arg("--gallery")
        .arg(&gallery)
        .arg("--images")
        .arg(data());
    assert!(fail(many.args(["--top", "2000", "--out"]).arg(at("a.png"))).contains("at most 2000 are drawn"));
    assert!(!at("q.png").exists() && !at("a.png").exists());
}

/// Images of identity folders have the names 1.jpg, 2.jpg, ...
#[test]
fn two_queries_of_one_name_have_different_headings() {
    let folder = tempfile::tempdir().unwrap();
    let (run, gallery) = trained(folder.path());
    let (out, at) = (folder.path().join("q.html"), |name: &str| folder.path().join(name).join("1.jpg"));
    let queries = ["ann", "bob"].map(at);
    for (query, image) in queries.iter().zip(images("query")) {
        fs::create_dir(query.parent().unwrap()).unwrap();
        fs::copy(image, query).unwrap();
    }
    let mut command = bcreid();
    command.arg("query").arg("--run").arg(&run).arg("--gallery").arg(&gallery).arg("--out").arg(&out);
    succeed(command.arg("--image").args(&queries).arg("--images").arg(data()));
    let html = fs::read_to_string(&out).unwrap();
    assert!(html.contains("ann/1.jpg") && html.contains("bob/1.jpg"), "{html}");
}

/// Two evaluations of one data set show the same persons, by their own numbers or names.
#[test]
fn the_legend_of_a_map_names_the_persons_of_several_evaluations() {
    let folder = tempfile::tempdir().unwrap();
    let (run, _) = trained(folder.path());
    let out = folder.path().join("map.svg");
    for more in [&[][..], &["--ignore-cameras"]] {
        succeed(bcreid().arg("eval").arg("--run").arg(&run).arg("--data").arg(data()).args(more));
    }
    succeed(bcreid().args(["plot", "map"]).arg(&run).arg("--out").arg(&out));
    let svg = fs::read_to_string(&out).unwrap();
    let first = images("query")[0].file_name().unwrap().to_str().unwrap()[..4].parse::<u32>().unwrap();
    assert!(svg.contains(&format!("person {first}")) && !svg.contains("coloured person"), "{svg}");
}

/// The features name images of another folder, which the user did not name.
#[test]
fn images_of_other_folders_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (run, gallery) = trained(folder.path());
    let (other, out) = (folder.path().join("other"), folder.path().join("q.html"));
    fs::create_dir(&other).unwrap();
    let mut command = bcreid();
    command.arg("query").arg("--run").arg(&run).arg("--gallery").arg(&gallery).arg("--out").arg(&out);
    command.arg("--image").arg(&images("query")[0]).arg("--images").arg(&other);
    let output = command.output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("left out"), "{}", stderr(&output));
    let html = fs::read_to_string(&out).unwrap();
    assert_eq!(html.matches("<img src=\"data:").count(), 1, "the query alone");
    assert!(html.contains("not in a folder given by --images"));
    command.arg("--force");
    let moved = own_data(&other);
    assert!(moved.is_dir());
    succeed(&mut command);
    assert_eq!(
        fs::read_to_string(&out).unwrap().matches("<img src=\"data:").count(),
        11,
        "found by their names"
    );
}

#[test]
fn activation_maps_as_files() {
    let folder = tempfile::tempdir().unwrap();
    let (run, _) = trained(folder.path());
    let (images_folder, out) = (folder.path().join("images"), folder.path().join("maps"));
    fs::create_dir_all(images_folder.join("sub")).unwrap();
    fs::copy(&images("query")[0], images_folder.join("a.jpg")).unwrap();
    fs::copy(&images("query")[1], images_folder.join("sub/b.jpg")).unwrap();
    let activations = || {
        let mut command = bcreid();
        command.arg("activations").arg("--weights").arg(&run).arg("--out").arg(&out);
        command.arg("--images").arg(&images_folder).args(["--batch", "1"]);
        command
    };
    assert!(succeed(&mut activations()).contains("2 maps"));
    let map = image::open(out.join("a.jpg.png")).unwrap().into_rgb8();
    let own = image::open(images_folder.join("a.jpg")).unwrap().into_rgb8();
    assert_eq!(map.dimensions(), own.dimensions());
    assert!(map != own && out.join("sub/b.jpg.png").is_file());
    // The largest value has the brightest colour, the palest yellow.
    assert!(map.pixels().any(|p| p.0[0] > 150 && p.0[0] > p.0[2]), "a bright place");
    assert!(fail(&mut activations()).contains("--force"));
    succeed(activations().arg("--force"));
    assert!(fail(activations().args(["--force", "--flip"])).contains("leave it out"));
    fs::write(images_folder.join("c.jpg"), "no picture").unwrap();
    assert!(fail(activations().arg("--force")).contains("c.jpg"));
    #[cfg(unix)]
    {
        fs::remove_file(images_folder.join("c.jpg")).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::remove_dir_all(out.join("sub")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, out.join("sub")).unwrap();
        assert!(fail(activations().arg("--force")).contains("symbolic link"));
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    }
}

#[test]
fn a_report_with_activation_maps() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    succeed(&mut train(data(), &run, &[]));
    succeed(bcreid().arg("eval").arg("--run").arg(&run).arg("--data").arg(data()));
    let page = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        succeed(bcreid().arg("report").arg(&run).args(["--queries", "1", "--out"]).arg(&out).args(more));
        fs::read_to_string(&out).unwrap()
    };
    let (without, with) = (page("a.html", &[]), page("b.html", &["--maps"]));
    assert_eq!(without.matches("class=\"map\"").count(), 0);
    let images = without.matches("<img src=\"data:").count();
    assert_eq!(with.matches("<img src=\"data:").count(), images);
    assert_eq!(with.matches("<img class=\"map\"").count(), 2 * images);
    assert!(
        with.contains("alt=\"similarity map of rank 1: ") && with.contains("alt=\"activation map of query: ")
    );
    // Weights that are not those of the evaluation have no maps.
    succeed(&mut train(data(), &folder.path().join("other"), &["run.seed=1"]));
    fs::copy(folder.path().join("other/weights.safetensors"), run.join("weights.safetensors")).unwrap();
    let other = page("c.html", &["--maps"]);
    assert_eq!(other.matches("<img class=\"map\"").count(), 0);
    assert!(other.contains("no activation maps, because an evaluation is of other weights"));
}

#[test]
fn features_for_the_projector() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    succeed(&mut train(data(), &run, &[]));
    let projector = || {
        let mut command = bcreid();
        command.arg("tensorboard").arg("--projector").arg(&run);
        command
    };
    assert!(fail(&mut projector()).contains("has no evaluation"));
    succeed(bcreid().arg("eval").arg("--run").arg(&run).arg("--data").arg(data()));
    succeed(&mut projector());
    // A second call replaces the files of the first.
    let said = succeed(&mut projector());
    assert!(said.contains("projector_config.pbtxt: "), "{said}");
    let tensorboard = run.join("tensorboard");
    let config = fs::read_to_string(tensorboard.join("projector_config.pbtxt")).unwrap();
    for file in ["tensors.tsv", "metadata.tsv", "sprite.png"] {
        assert!(config.contains(&format!("\"projector/set/{file}\"")), "{config}");
    }
    let read = |file: &str| fs::read_to_string(tensorboard.join("projector/set").join(file)).unwrap();
    let stored = bcreid::weights::Features::read(&run.join("evaluations/set/query.safetensors")).unwrap();
    let (tensors, metadata) = (read("tensors.tsv"), read("metadata.tsv"));
    let first: Vec<f32> = tensors.lines().next().unwrap().split('\t').map(|v| v.parse().unwrap()).collect();
    assert_eq!(first, stored.row(0), "the values are those of the evaluation, bit for bit");
    let rows = tensors.lines().count();
    assert_eq!(metadata.lines().count(), rows + 1);
    assert!(metadata.starts_with("pid\tcamera\tpart\timage\n"));
    assert!(
        metadata.lines().skip(1).all(|line| line.split('\t').count() == 4 && !line.starts_with("-1")),
        "{metadata}"
    );
    assert!(metadata.lines().nth(1).unwrap().contains("\tquery\tquery/"), "{metadata}");
    let sprite = image::open(tensorboard.join("projector/set/sprite.png")).unwrap().into_rgb8();
    let side = (rows as f64).sqrt().ceil() as u32;
    assert_eq!(sprite.dimensions(), (32 * side, 64 * side));
    let last = image::imageops::crop_imm(&sprite, 0, 0, 32, 64).to_image();
    assert!(
        last.pixels().collect::<std::collections::HashSet<_>>().len() > 100,
        "the first image shows something"
    );
}
