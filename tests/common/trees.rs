//! Made-up trees in the layouts of public data sets: the pictures of a synthetic set under the names of the real ones.

use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The trees, each with the layout that it has.
pub const TREES: [(&str, &str); 14] = [
    ("dukemtmc", "dukemtmc"),
    ("Occluded_Duke", "occluded-dukemtmc"),
    ("detected", "cuhk03-np-detected"),
    ("CUHK03-NP", "cuhk03-np-labeled"),
    ("MSMT17_V1", "msmt17"),
    ("MSMT17_V2", "msmt17"),
    ("VeRi", "veri776"),
    ("MARS", "mars"),
    ("VIPeR", "viper"),
    ("VIPeR-json", "viper"),
    ("cameras", "folders"),
    ("pytorch", "folders"),
    ("nested", "market1501"),
    ("names", "list"),
];

/// A picture of the synthetic set.
#[derive(Clone)]
struct Picture {
    from: PathBuf,
    base: String,
    pid: i64,
    camid: i64,
}

/// The parts of the synthetic set, by name.
fn parts(set: &Path) -> [Vec<Picture>; 3] {
    ["bounding_box_train", "query", "bounding_box_test"].map(|part| {
        let mut found: Vec<Picture> = fs::read_dir(set.join(part))
            .unwrap()
            .map(|entry| {
                let from = entry.unwrap().path();
                let base = from.file_name().unwrap().to_str().unwrap().to_string();
                let (pid, rest) = base.split_once("_c").unwrap();
                let (pid, camid) = (pid.parse().unwrap(), rest[..1].parse().unwrap());
                Picture { from, base, pid, camid }
            })
            .collect();
        found.sort_by(|a, b| a.base.cmp(&b.base));
        found
    })
}

fn put(picture: &Picture, root: &Path, name: &str) {
    let to = root.join(name);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(&picture.from, &to).unwrap();
}

fn text(root: &Path, name: &str, text: &str) {
    let to = root.join(name);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, text).unwrap();
}

/// Lays out the synthetic set in `set` as one of [`TREES`] below `folder`, and returns its root.
pub fn tree(name: &str, set: &Path, folder: &Path) -> PathBuf {
    let root = folder.join(name);
    let parts = parts(set);
    let market = ["bounding_box_train", "query", "bounding_box_test"];
    let boxes = |below: &Path, folders: [&str; 3], named: &dyn Fn(&Picture, usize) -> String| {
        for (folder, part) in folders.iter().zip(&parts) {
            let persons = part.iter().filter(|picture| picture.pid > 0).enumerate();
            persons.for_each(|(i, picture)| put(picture, &below.join(folder), &named(picture, i)));
        }
    };
    match name {
        "dukemtmc" | "Occluded_Duke" => {
            boxes(&root, market, &|p, i| format!("{:04}_c{}_f{i:07}.jpg", p.pid, p.camid));
        }
        "detected" | "CUHK03-NP" => {
            let below = if name == "detected" { root.clone() } else { root.join("labeled") };
            boxes(&below, market, &|p, i| format!("{:04}_c{}_{i}.png", p.pid, p.camid));
        }
        "VeRi" => {
            // Frame and box of Market-1501's name, which differ between pictures of a camera.
            let named = |p: &Picture, _: usize| {
                let fields: Vec<&str> = p.base.split(['_', '.']).collect();
                format!("{:04}_c{:03}_00{}_{}.jpg", p.pid, p.camid, fields[2], fields[3])
            };
            boxes(&root, ["image_train", "image_query", "image_test"], &named);
            // The queries are in the gallery too.
            for (i, picture) in parts[1].iter().enumerate() {
                put(picture, &root.join("image_test"), &named(picture, i));
            }
            text(&root, "name_query.txt", "0001_c001_00016450_0.jpg\n");
        }
        "MSMT17_V1" | "MSMT17_V2" => msmt17(&root, &parts, name == "MSMT17_V2"),
        "MARS" => mars(&root, &parts),
        "VIPeR" | "VIPeR-json" => viper(&root, &parts, name == "VIPeR-json"),
        "cameras" => {
            for (folder, part) in ["train", "query", "gallery"].iter().zip(&parts) {
                for picture in part.iter().filter(|picture| picture.pid != 0) {
                    let person =
                        if picture.pid < 0 { "-1".into() } else { format!("person {}", picture.pid) };
                    let image = picture.base.replace("_c", "-");
                    put(picture, &root, &format!("{folder}/{person}/cam-{}/{image}", picture.camid));
                }
            }
        }
        "pytorch" => {
            for (folder, part) in ["train_all", "query", "gallery"].iter().zip(&parts) {
                for picture in part {
                    let person = picture.base.split('_').next().unwrap();
                    put(picture, &root, &format!("{folder}/{person}/{}", picture.base));
                }
            }
            put(&parts[0][0], &root, &format!("train/0001/{}", parts[0][0].base));
        }
        "nested" => boxes(&root, market, &|p, _| format!("{:04}/{}", p.pid, p.base)),
        "names" => {
            for (list, part) in ["train.csv", "query.csv", "gallery.csv"].iter().zip(&parts) {
                let mut lines = "Path;PID;CamID\n".to_string();
                for picture in part.iter().filter(|picture| picture.pid != 0) {
                    put(picture, &root, &format!("images/{}", picture.base));
                    let person =
                        if picture.pid < 0 { "-1".into() } else { format!("person_{:03}", picture.pid) };
                    writeln!(lines, "images/{};{person};cam_{}", picture.base, picture.camid).unwrap();
                }
                text(&root, list, &lines);
            }
        }
        other => panic!("no tree {other}"),
    }
    root
}

fn msmt17(root: &Path, parts: &[Vec<Picture>; 3], is_v2: bool) {
    let folders = if is_v2 { ["mask_train_v2", "mask_test_v2"] } else { ["train", "test"] };
    // Both folders count their persons from 0.
    let numbers = |parts: &[&Vec<Picture>]| {
        let pids: BTreeSet<i64> =
            parts.iter().copied().flatten().map(|p| p.pid).filter(|pid| *pid > 0).collect();
        pids.into_iter().zip(0..).collect::<BTreeMap<i64, i64>>()
    };
    let (of_train, of_test) = (numbers(&[&parts[0]]), numbers(&[&parts[1], &parts[2]]));
    // The last picture is for validation.
    let (train, validation) = parts[0].split_at(parts[0].len() - 1);
    let lists = [
        ("list_train.txt", folders[0], train, &of_train),
        ("list_val.txt", folders[0], validation, &of_train),
        ("list_query.txt", folders[1], &parts[1][..], &of_test),
        ("list_gallery.txt", folders[1], &parts[2][..], &of_test),
    ];
    for (list, folder, pictures, numbers) in lists {
        let mut lines = String::new();
        for (i, picture) in pictures.iter().filter(|picture| picture.pid > 0).enumerate() {
            let person = numbers[&picture.pid];
            let of_list = list.len();
            let name =
                format!("{person:04}/{person:04}_{i:03}_{:02}_0303morning_{of_list:04}_0.jpg", picture.camid);
            put(picture, &root.join(folder), &name);
            writeln!(lines, "{name} {person}").unwrap();
        }
        text(root, list, &lines);
    }
}

fn mars(root: &Path, parts: &[Vec<Picture>; 3]) {
    let mut queries = Vec::new();
    for (folder, names_file, info, name, pictures) in [
        ("bbox_train", "train_name.txt", "tracks_train_info.mat", "track_train_info", vec![&parts[0]]),
        ("bbox_test", "test_name.txt", "tracks_test_info.mat", "track_test_info", vec![&parts[1], &parts[2]]),
    ] {
        let (mut names, mut rows) = (Vec::<String>::new(), Vec::<[f64; 4]>::new());
        for (which, part) in pictures.iter().enumerate() {
            let mut tracklets: BTreeMap<(i64, i64), Vec<&Picture>> = BTreeMap::new();
            part.iter().for_each(|p| tracklets.entry((p.pid, p.camid)).or_default().push(p));
            for ((pid, camid), frames) in tracklets {
                let first = names.len() + 1;
                let person = if pid < 0 { "00-1".to_string() } else { format!("{pid:04}") };
                for (frame, picture) in frames.iter().enumerate() {
                    let name = format!("{person}C{camid}T{:04}F{:03}.jpg", rows.len() + 1, frame + 1);
                    put(picture, &root.join(folder), &format!("{person}/{name}"));
                    names.push(name);
                }
                rows.push([first as f64, names.len() as f64, pid as f64, camid as f64]);
                if folder == "bbox_test" && which == 0 {
                    queries.push(rows.len() as f64);
                }
            }
        }
        text(root, &format!("info/{names_file}"), &(names.join("\n") + "\n"));
        let columns: Vec<f64> = (0..4).flat_map(|c| rows.iter().map(move |row| row[c])).collect();
        // One of the two forms for each.
        let packed = folder == "bbox_test";
        fs::write(root.join("info").join(info), mat(name, rows.len(), 4, &columns, packed)).unwrap();
    }
    fs::write(root.join("info/query_IDX.mat"), mat("query_IDX", 1, queries.len(), &queries, false)).unwrap();
}

/// A MATLAB file of level 5 with one matrix, values column by column.
pub fn mat(name: &str, rows: usize, columns: usize, values: &[f64], packed: bool) -> Vec<u8> {
    let element = |kind: u32, bytes: &[u8]| {
        let mut all = [kind.to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat();
        all.extend_from_slice(bytes);
        all.resize(all.len().next_multiple_of(8), 0);
        all
    };
    let int32 = |values: &[usize]| values.iter().flat_map(|v| (*v as i32).to_le_bytes()).collect::<Vec<u8>>();
    let numbers: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let matrix = [
        element(6, &[6u32.to_le_bytes(), [0; 4]].concat()),
        element(5, &int32(&[rows, columns])),
        element(1, name.as_bytes()),
        element(9, &numbers),
    ];
    let matrix = element(14, &matrix.concat());
    let mut file = format!("{:116}", "MATLAB 5.0 MAT-file, made up").into_bytes();
    file.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'I', b'M']);
    file.extend(if packed { packed_element(&matrix) } else { matrix });
    file
}

/// An element in a zlib stream.
pub fn packed_element(element: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(element).unwrap();
    let stream = encoder.finish().unwrap();
    [&15u32.to_le_bytes(), &(stream.len() as u32).to_le_bytes(), &stream[..]].concat()
}

fn viper(root: &Path, parts: &[Vec<Picture>; 3], as_json: bool) {
    let mut first: BTreeMap<(i64, i64), &Picture> = BTreeMap::new();
    let persons = parts.iter().flatten().filter(|p| p.pid > 0 && p.camid <= 2);
    persons.for_each(|p| _ = first.entry((p.pid, p.camid)).or_insert(p));
    let name = |pid: i64, camid: i64| {
        format!("cam_{}/{:03}_{}.bmp", ["a", "b"][camid as usize - 1], pid - 1, 45 * camid)
    };
    first.iter().for_each(|(&(pid, camid), picture)| put(picture, root, &name(pid, camid)));
    let of_part =
        |part: &[Picture]| part.iter().map(|p| p.pid).filter(|pid| *pid > 0).collect::<BTreeSet<i64>>();
    let halves = [of_part(&parts[0]), of_part(&parts[1])];
    if !as_json {
        // The second split trains on the persons that the first one tests.
        let mut lines = "split,pid\n".to_string();
        for (split, half) in halves.iter().enumerate() {
            half.iter().for_each(|pid| writeln!(lines, "{},{}", split + 1, pid - 1).unwrap());
        }
        return text(root, "splits.csv", &lines);
    }
    let images = |half: &BTreeSet<i64>, cameras: &[i64]| {
        let all = half.iter().flat_map(|&pid| cameras.iter().map(move |&camid| (pid, camid)));
        // Paths of the machine that made the splits; its numbers begin at 0.
        all.map(|(pid, camid)| (format!("/data/viper/VIPeR/{}", name(pid, camid)), pid, camid - 1))
            .collect::<Vec<_>>()
    };
    let split = |train: &BTreeSet<i64>, test: &BTreeSet<i64>| {
        serde_json::json!({
            "train": images(train, &[1, 2]), "query": images(test, &[1]), "gallery": images(test, &[2]),
            "num_train_pids": train.len(), "num_query_pids": test.len(), "num_gallery_pids": test.len(),
        })
    };
    let splits = [split(&halves[0], &halves[1]), split(&halves[1], &halves[0])];
    text(root, "splits.json", &serde_json::to_string(&splits).unwrap());
}
