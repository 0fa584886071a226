//! Maps of a pair of images, and drawings of hostile input: one line of error, within limits of memory and time, and
//! nothing written through a link.

use crate::support::{TINY, bcreid, data, fail, limited, stderr, succeed, train};
use bcreid::config::Config;
use bcreid::device::Device;
use bcreid::eval::activation::Pair;
use bcreid::eval::extract::Extractor;
use bcreid::weights::{Features, network, write_tensors};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A trained run that no test writes into.
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

/// Two images of the data set.
fn two() -> [PathBuf; 2] {
    let entries = fs::read_dir(data().join("query")).unwrap();
    let mut images: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    images.sort();
    [images[0].clone(), images[images.len() - 1].clone()]
}

fn activations(images: &Path, out: &Path) -> Command {
    let mut command = bcreid();
    command.arg("activations").arg("--weights").arg(run()).arg("--images").arg(images).arg("--out").arg(out);
    command
}

fn pair(images: [&Path; 2], out: &Path) -> Command {
    let mut command = bcreid();
    command.arg("activations").arg("--weights").arg(run()).arg("--out").arg(out).arg("--pair").args(images);
    command
}

/// Header and values of a NumPy array f32.
fn array(file: &Path) -> (String, Vec<f32>) {
    let bytes = fs::read(file).unwrap();
    let start = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let values = bytes[start..].chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
    (String::from_utf8_lossy(&bytes[10..start]).into_owned(), values.collect())
}

#[test]
fn what_brings_a_pair_together() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [a, b] = two();
    let said = succeed(&mut pair([&a, &b], &at("ab")));
    // The values are those of the library, in the shape of the feature map: 64 x 32 pixels, 32 to a position.
    let mut extractor = Extractor::load(run(), &Device::cpu()).unwrap();
    let maps = extractor.feature_maps(vec![a.clone(), b.clone()]).unwrap();
    let expected = Pair::of(&maps[0].1, &maps[1].1).unwrap();
    assert!(expected.distance > 0.0 && said.contains(&format!("distance {:.4} between", expected.distance)));
    for (name, heat) in ["first", "second"].into_iter().zip(&expected.similarity) {
        let (header, values) = array(&at(&format!("ab/{name}.npy")));
        assert!(header.contains(&format!("'shape': ({}, {})", heat.height, heat.width)), "{header}");
        assert_eq!((heat.height, heat.width, &values), (2, 1, &heat.values));
        assert!(
            values.iter().any(|v| *v > 0.0) && values.iter().all(|v| (0.0..=2.0).contains(v)),
            "{values:?}"
        );
    }
    // The picture is the image, brightest where the values are largest.
    let picture = image::open(at("ab/first.png")).unwrap().into_rgb8();
    let own = image::open(&a).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), own.dimensions());
    let (width, height) = picture.dimensions();
    let light = |y: u32| (0..width).map(|x| u32::from(picture.get_pixel(x, y).0[0])).sum::<u32>();
    let values = &expected.similarity[0].values;
    let (top, bottom) = (light(0), light(height - 1));
    assert_eq!(values[0] > values[1], top > bottom, "{values:?}, {top} and {bottom}");
    // The distance is that of a search.
    let gallery = at("g.safetensors");
    let mut extract = bcreid();
    extract.arg("extract").arg("--weights").arg(run()).arg("--images").arg(&b).arg("--out").arg(&gallery);
    succeed(&mut extract);
    let mut query = bcreid();
    query.arg("query").arg("--run").arg(run()).arg("--image").arg(&a).arg("--gallery").arg(&gallery);
    let table = succeed(&mut query);
    assert!(table.contains(&format!(" {:.4} ", expected.distance)), "{table}");
    // The other order exchanges the files.
    succeed(&mut pair([&b, &a], &at("ba")));
    for ending in ["npy", "png"] {
        let read = |file: &str| fs::read(at(&format!("{file}.{ending}"))).unwrap();
        assert_eq!(read("ab/first"), read("ba/second"));
        assert_eq!(read("ab/second"), read("ba/first"));
    }
}

#[test]
fn a_pair_of_equal_images_has_empty_maps() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _] = two();
    let copy = folder.path().join("copy.jpg");
    fs::copy(&a, &copy).unwrap();
    for (name, batch) in [("one", "1"), ("two", "2")] {
        let out = folder.path().join(name);
        let output = pair([&a, &copy], &out).args(["--batch", batch]).output().unwrap();
        assert!(
            output.status.success() && stderr(&output).contains("the maps are empty"),
            "{}",
            stderr(&output)
        );
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("distance 0.0000 between"));
        assert!(["first", "second"].iter().all(|name| array(&out.join(format!("{name}.npy"))).1 == [0.0; 2]));
    }
}

#[test]
fn wrong_requests_of_a_pair_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [a, b] = two();
    let out = at("out");
    succeed(&mut pair([&a, &b], &out));
    let error = fail(&mut pair([&a, &b], &out));
    assert!(error.contains("first.png exists") && error.contains("--force"), "{error}");
    succeed(pair([&a, &b], &out).arg("--force"));
    assert!(fail(pair([&a, &b], &at("new")).arg("--flip")).contains("leave it out"));
    assert!(fail(pair([&a, &b], &at("new")).args(["--bad-images", "skip"])).contains("--bad-images skip"));
    fs::write(at("file"), "mine").unwrap();
    assert!(fail(pair([&a, &b], &at("file")).arg("--force")).contains("file: not a folder"));
    fs::write(at("empty.jpg"), "").unwrap();
    assert!(fail(&mut pair([&a, &at("empty.jpg")], &at("new"))).contains("empty.jpg: the file is empty"));
    assert!(fail(&mut pair([&at("absent.jpg"), &b], &at("new"))).contains("absent.jpg"));
    assert!(fail(&mut pair([folder.path(), &b], &at("new"))).contains("a folder; a file is needed"));
    assert!(!at("new").exists());
    // The parser of the arguments refuses the rest.
    for more in [vec!["--images", "x"], vec!["--pair", "x"]] {
        let output = pair([&a, &b], &at("new")).args(&more).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", stderr(&output));
    }
    // No name that the program chose is written through a link, and no pipe stops it.
    let (linked, victim) = (at("linked"), at("victim"));
    fs::create_dir(&linked).unwrap();
    fs::write(&victim, "dear").unwrap();
    for name in ["first.png", "second.png", "first.npy", "second.npy"] {
        symlink(&victim, linked.join(name)).unwrap();
        let error = fail(pair([&a, &b], &linked).arg("--force"));
        assert!(error.contains(name) && error.contains("a symbolic link"), "{error}");
        assert_eq!(fs::read_dir(&linked).unwrap().count(), 1, "nothing is written before the check");
        fs::remove_file(linked.join(name)).unwrap();
        assert!(Command::new("mkfifo").arg(linked.join(name)).status().unwrap().success());
        let error = fail(limited(&pair([&a, &b], &linked)).arg("--force"));
        assert!(error.contains(name) && error.contains("a pipe that nothing reads"), "{error}");
        fs::remove_dir_all(&linked).unwrap();
        fs::create_dir(&linked).unwrap();
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "dear");
}

#[test]
fn unreadable_images_of_a_folder_are_left_out_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("images")).unwrap();
    fs::write(at("images/a.jpg"), "").unwrap();
    let skip = |out: &str| {
        let mut command = bcreid();
        command.arg("activations").arg("--weights").arg(run()).arg("--images").arg(at("images"));
        command.args(["--bad-images", "skip", "--out"]).arg(at(out));
        command
    };
    assert!(fail(&mut skip("none")).contains("none of 1 image can be read"));
    fs::copy(&two()[0], at("images/b.jpg")).unwrap();
    let output = skip("some").output().unwrap();
    assert!(
        stderr(&output).contains("left out: ") && stderr(&output).contains("a.jpg"),
        "{}",
        stderr(&output)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains(": 1 map"));
    assert!(at("some/b.jpg.png").is_file() && !at("some/a.jpg.png").exists() && !at("none").exists());
}

/// A PNG header that claims a size, without pixels.
fn claim(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
    bytes.extend([8, 2, 0, 0, 0]);
    let crc = crc32(&bytes[12..]);
    bytes.extend(crc.to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

fn query(image: &Path, gallery: &Path, images: &Path, out: &Path) -> Command {
    let mut command = bcreid();
    command.arg("query").arg("--run").arg(run()).arg("--image").arg(image).arg("--gallery").arg(gallery);
    command.arg("--images").arg(images).arg("--maps").arg("--out").arg(out);
    command
}

#[test]
fn maps_of_strange_images() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [a, _] = two();
    let gallery = at("g.safetensors");
    let mut extract = bcreid();
    extract.arg("extract").arg("--weights").arg(run()).arg("--images").arg(data().join("query"));
    succeed(extract.arg("--out").arg(&gallery));
    // Names of images are shown, and may hold what a terminal or a browser would obey.
    for (width, height, name) in
        [(1, 1, "1\u{1b}[31m\u{202e}.png"), (30_000, 1, "2.png"), (1, 30_000, "3<b>.png")]
    {
        let image = at(name);
        image::RgbImage::new(width, height).save(&image).unwrap();
        let output = limited(&pair([&image, &a], &at("out"))).arg("--force").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
        assert!(output.status.success() && !said.contains(['\u{1b}', '\u{202e}']), "{said}");
        let mut own = limited(&query(&image, &gallery, data(), &at("q.html")));
        let output = own.arg("--force").output().unwrap();
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let page = fs::read_to_string(at("q.html")).unwrap();
        assert!(!page.contains(['\u{1b}', '\u{202e}']) && !page.contains("3<b>"), "{name}");
        let folder = activations(&image, &at("m"));
        let output = limited(&folder).output().unwrap();
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let drawn = image::open(at("m").join(format!("{name}.png"))).unwrap();
        assert_eq!((drawn.width(), drawn.height()), (width.min(512), height.min(512)));
    }
    for (bytes, name) in [
        (claim(60_000, 60_000), "claim.png"),
        (claim(0, 5), "none.png"),
        (claim(64, 64), "cut.png"),
        (Vec::new(), "empty.png"),
        (b"<svg/>".to_vec(), "drawing.png"),
    ] {
        let image = at(name);
        fs::write(&image, bytes).unwrap();
        let folder = activations(&image, &at("bad"));
        for command in [
            pair([&image, &a], &at("bad")),
            pair([&a, &image], &at("bad")),
            query(&image, &gallery, data(), &at("bad.html")),
            folder,
        ] {
            let error = fail(&mut limited(&command));
            assert!(error.contains(name), "{error}");
        }
    }
    assert!(!at("bad").exists() && !at("bad.html").exists());
}

/// The settings in the metadata of a weight file are a claim.
#[test]
fn maps_of_weights_that_lie() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [a, b] = two();
    let weights = at("w.safetensors");
    for (lie, words) in [
        (
            vec!["model.width=1024", "model.depths=[64, 64, 64, 64]"],
            "conv1.weight [1024, 7, 7, 3] is missing",
        ),
        (vec![], "conv1.weight [8, 7, 7, 3] is missing"),
    ] {
        let settings: Vec<String> = TINY.iter().chain(&lie).map(|setting| setting.to_string()).collect();
        let config = Config::resolve_text("", &settings).unwrap();
        write_tensors(&weights, &[], &network::metadata(config.to_toml())).unwrap();
        let mut activations = bcreid();
        activations.arg("activations").arg("--weights").arg(&weights).arg("--out").arg(at("out"));
        let error = fail(&mut limited(activations.arg("--pair").args([&a, &b])));
        assert!(error.contains(words), "{error}");
    }
    assert!(!at("out").exists());
}

/// A run with a stored evaluation, whose features of the query a test replaces.
fn evaluated(folder: &Path) -> (PathBuf, Features) {
    let own = folder.join("run\u{202e}\t\u{1b}[2J");
    succeed(&mut train(data(), &own, &[]));
    succeed(bcreid().arg("eval").arg("--run").arg(&own).arg("--data").arg(data()));
    let query = Features::read(&own.join("evaluations/set/query.safetensors")).unwrap();
    (own, query)
}

#[test]
fn maps_of_strange_features() {
    let folder = tempfile::tempdir().unwrap();
    let (own, query) = evaluated(folder.path());
    let stored = own.join("evaluations/set/query.safetensors");
    let at = |name: &str| folder.path().join(name);
    let draw = |method: &str, out: &str| {
        let mut command = bcreid();
        command.args(["plot", "map", "--force", "--method", method]).arg(&own).arg("--out").arg(at(out));
        if method == "tsne" {
            command.args(["--perplexity", "5"]);
        }
        command
    };
    let mut projector = bcreid();
    projector.arg("tensorboard").arg("--projector").arg(&own);
    let rewrite = |change: &dyn Fn(&mut Vec<f32>, &mut Vec<String>)| {
        let (mut values, mut paths) = (query.features().to_vec(), query.paths().to_vec());
        change(&mut values, &mut paths);
        let (pids, camids) = (query.pids().to_vec(), query.camids().to_vec());
        let changed = Features::new(values, query.dim(), pids, camids, paths).unwrap();
        changed.with_origin(query.origin().clone()).write(&stored).unwrap();
    };
    let strange = "a\tb\nc\u{1b}[31m\u{202e}<script>";
    for change in [
        &(|values: &mut Vec<f32>, _: &mut Vec<String>| values[0] = 1e18)
            as &dyn Fn(&mut Vec<f32>, &mut Vec<String>),
        &|values, _| values.fill(0.25),
        &|_, paths| paths.iter_mut().for_each(|path| *path = strange.into()),
    ] {
        rewrite(change);
        for command in [draw("pca", "p.svg"), draw("tsne", "t.svg"), draw("tsne", "t.png")] {
            let output = limited(&command).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
            assert!(output.status.success() && !said.contains(['\u{1b}', '\u{202e}']), "{command:?}: {said}");
        }
        for svg in ["p.svg", "t.svg"] {
            let svg = fs::read_to_string(at(svg)).unwrap();
            assert!(!svg.contains(['\u{1b}', '\u{202e}']) && !svg.contains("NaN") && !svg.contains("inf"));
        }
        let output = limited(&projector).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let metadata = fs::read_to_string(own.join("tensorboard/projector/set/metadata.tsv")).unwrap();
        assert!(!metadata.contains(['\u{1b}', '\u{202e}']), "{metadata}");
        assert!(metadata.lines().all(|line| line.split('\t').count() == 4), "{metadata}");
    }
    // A value that is no number, where a file of features has its first.
    rewrite(&|values, _| values[0] = 12345.678);
    let mut bytes = fs::read(&stored).unwrap();
    let place = bytes.windows(4).position(|four| four == 12345.678f32.to_le_bytes()).unwrap();
    bytes[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&stored, bytes).unwrap();
    for command in [draw("pca", "n.svg"), draw("tsne", "n.svg"), projector] {
        let error = fail(&mut limited(&command));
        assert!(error.contains("NaN") && error.contains("query.safetensors"), "{error}");
    }
    assert!(!at("n.svg").exists());
}
