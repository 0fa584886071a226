use crate::golden;
use crate::made::{assert_error, jpeg, png, put};
use bcreid::data::decode::{decode, read};
use proptest::prelude::*;
use tempfile::tempdir;

fn golden_files(extension: &str) -> Vec<(String, Vec<u8>, golden::Golden)> {
    let mut golden = golden::read("image");
    let names: Vec<String> =
        golden.keys().filter_map(|k| k.strip_prefix("file.").map(String::from)).collect();
    let names = names.into_iter().filter(|name| name.ends_with(extension));
    names
        .map(|name| {
            let file = golden[&format!("file.{name}")].i32().into_iter().map(|v| v as u8).collect();
            let rgb = golden.remove(&format!("rgb.{name}")).unwrap();
            (name, file, rgb)
        })
        .collect()
}

#[test]
fn files_without_loss_become_what_pillow_makes_of_them() {
    let files: Vec<_> = golden_files("").into_iter().filter(|(name, ..)| !name.ends_with(".jpg")).collect();
    assert_eq!(files.len(), 30);
    for (name, file, golden) in files {
        let picture = decode(&file).unwrap();
        assert_eq!([picture.height, picture.width, 3][..], golden.shape, "{name}");
        assert_eq!(picture.pixels.iter().map(|&v| i32::from(v)).collect::<Vec<_>>(), golden.i32(), "{name}");
    }
}

/// Decoders may round the cosine transform and the colour conversion differently, each by a level or so.
#[test]
fn jpeg_files_become_nearly_what_pillow_makes_of_them() {
    let files = golden_files(".jpg");
    assert_eq!(files.len(), 6);
    for (name, file, golden) in files {
        let picture = decode(&file).unwrap();
        assert_eq!([picture.height, picture.width, 3][..], golden.shape, "{name}");
        let differences: Vec<i32> = picture
            .pixels
            .iter()
            .zip(golden.i32())
            .map(|(&ours, theirs)| (i32::from(ours) - theirs).abs())
            .collect();
        let largest = differences.iter().max().unwrap();
        let mean = f64::from(differences.iter().sum::<i32>()) / differences.len() as f64;
        println!("{name}: largest difference {largest}, mean {mean:.3}");
        assert!(*largest <= 4 && mean < 0.5, "{name}: largest difference {largest}, mean {mean}");
    }
}

/// Every cut, down to the last byte: a part of a picture is never taken for the whole.
#[test]
fn files_cut_short_are_refused() {
    for (name, file, _) in golden_files("") {
        let whole = decode(&file).unwrap();
        let (mut refused, all) = (0, file.len() - 1);
        for cut in 1..file.len() {
            match decode(&file[..cut]) {
                Err(_) => refused += 1,
                // A few bytes behind the pixels say nothing about the picture, and nor do the next ones of an animation.
                Ok(picture) => assert!(picture == whole, "{name} cut to {cut} of {} bytes", file.len()),
            }
        }
        assert!(refused + 12 >= all || name == "animated.gif", "{name}: {refused} of {all} cuts are refused");
    }
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let folder = tempdir().unwrap();
    let folder = folder.path();
    let refuse = |name: &str, bytes: &[u8], words: &[&str]| {
        let path = put(folder, name, bytes);
        assert_error(read(&path), &[&[name], words].concat());
    };
    refuse("empty.jpg", b"", &["empty"]);
    refuse("text.jpg", b"this is no image", &["not a JPEG", "convert"]);
    refuse("ico.jpg", b"\x00\x00\x01\x00\x01\x00", &["format ICO", "convert"]);
    refuse("gif.jpg", b"GIF89a\x01\x00\x01\x00", &["damaged"]);
    refuse("start.jpg", &[0xFF, 0xD8, 0xFF, 0xE0], &["cut short"]);
    std::fs::create_dir(folder.join("x.jpg")).unwrap();
    assert_error(read(&folder.join("x.jpg")), &["x.jpg", "a folder"]);
    assert_error(read(&folder.join("none.jpg")), &["none.jpg", "No such file"]);
}

/// What a file is decides, not what its name says.
#[test]
fn a_png_called_jpg_is_read() {
    let folder = tempdir().unwrap();
    let (a, b) = (folder.path().join("a.png"), folder.path().join("b.jpg"));
    png(&a, 1, 5, 3);
    std::fs::rename(&a, &b).unwrap();
    assert_eq!(read(&b).unwrap().pixels, crate::made::pixels(1, 5, 3));
}

/// A header of a few bytes may claim any size; nothing of that size is allocated.
#[test]
fn gigantic_claims_are_refused() {
    let folder = tempdir().unwrap();
    let small = folder.path().join("small.png");
    png(&small, 1, 5, 3);
    let small = std::fs::read(&small).unwrap();
    let claim = |width: u32, height: u32| {
        let mut bytes = small.clone();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let header = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&header.to_be_bytes());
        decode(&bytes).unwrap_err()
    };
    let error = claim(60_000, 60_000);
    assert!(error.contains("60000 x 60000") && error.contains("the limit is 192 MiB"), "{error}");
    // Few pixels, and yet resizing one to a width of 128 would take 38 GB between its passes.
    for (width, height) in [(1, 100_000_000), (100_000_000, 1), (1, 65_536), (65_536, 1)] {
        let error = claim(width, height);
        assert!(error.contains(&format!("{width} x {height}")) && error.contains("65535"), "{error}");
    }
    // The longest side passes, and the pixels behind the header are then too few.
    let error = claim(1, 65_535);
    assert!(error.contains("damaged"), "{error}");

    let mut bytes = jpeg(1, 16, 16);
    let frame = bytes.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xEA, 0x60, 0xEA, 0x60]);
    let error = decode(&bytes).unwrap_err();
    assert!(error.contains("60000 x 60000"), "{error}");
}

/// Four bytes of palette end the decoder underneath in a panic.
#[test]
fn a_png_palette_of_broken_colours_is_damage() {
    let files = golden_files("palette.png");
    let mut file = files[0].1.clone();
    let at = file.windows(4).position(|w| w == b"PLTE").unwrap();
    let length = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    file.drain(at + 4 + 4..at + 4 + length);
    file[at - 4..at].copy_from_slice(&4u32.to_be_bytes());
    let crc = crc32(&file[at..at + 8]);
    file[at + 8..at + 12].copy_from_slice(&crc.to_be_bytes());
    let error = decode(&file).unwrap_err();
    assert!(error.contains("palette"), "{error}");
}

/// The checksum of PNG chunks (its specification, annex D), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let _ = decode(&[&[0xFF, 0xD8, 0xFF][..], &bytes].concat());
        let _ = decode(&[&b"\x89PNG\r\n\x1a\n"[..], &bytes].concat());
    }

    /// Damage anywhere in a good file gives an error or a picture, of whatever kind the file was.
    #[test]
    fn damaged_files_never_panic(which in 0usize..36, damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut files = golden_files("");
        files.sort_by(|a, b| a.0.cmp(&b.0));
        let mut file = files.swap_remove(which).1;
        for (place, byte) in damage {
            let place = place.index(file.len());
            file[place] = byte;
        }
        let _ = decode(&file);
    }
}
