//! Recognition of file formats by the first bytes, so that an error names the format of a wrong file and how to
//! convert it.

use std::path::Path;

/// Number of first bytes that [`Format::of`] examines.
pub const HEAD: usize = 512;

/// A file format that is often given instead of safetensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A PyTorch checkpoint: a zip archive or a sequence of pickles.
    Torch,
    /// Another Python pickle.
    Pickle,
    /// An archive, by its name; it may hold a PyTorch checkpoint.
    Archive(&'static str),
    /// A Caffe model, `.caffemodel`.
    Caffe,
    /// A Caffe mean image, `.binaryproto`.
    CaffeMean,
    /// The text description of a Caffe network.
    Prototxt,
    /// Weights of another framework, by the name of the format.
    Foreign(&'static str),
    /// A NumPy array.
    Numpy,
    /// An archive of NumPy arrays, `.npz`.
    NumpyArchive,
    /// A compressed file, by the name of the compression.
    Compressed(&'static str),
    /// An image, by the name of its format.
    Image(&'static str),
    /// A PDF document.
    Pdf,
    /// An HTML or XML document.
    WebPage,
    /// A Git LFS pointer: a small text file that stands for a large file.
    LfsPointer,
}

/// The kind of file that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A network's weights.
    Weights,
    /// The features of images.
    Features,
}

impl Format {
    /// The format of a file that begins with `head`; `None` if it is unknown. Bytes after the first [`HEAD`] are
    /// ignored.
    pub fn of(head: &[u8]) -> Option<Format> {
        let head = &head[..head.len().min(HEAD)];
        let has = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
        if let Some((_, format)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Some(*format);
        }
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let is_text = !text.is_empty()
            && text.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
        Some(match head {
            [b'P', b'K', 3, 4, ..] if has(b"data.pkl") => Format::Torch,
            [b'P', b'K', 3, 4, ..] if has(b".npy") => Format::NumpyArchive,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Format::Archive("a zip archive"),
            _ if head.get(257..262) == Some(b"ustar") => Format::Archive("a tar archive"),
            // A checkpoint begins with a magic number: binary in a pickle, as digits in protocol 0.
            _ if has(b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") || has(b"119547037146038801333356") => {
                Format::Torch
            }
            [0x80, 2..=5, ..] => Format::Pickle,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Format::Image("a WebP image"),
            [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Format::Image("a BMP image"),
            [_, 0, 0, 0, b'T', b'F', b'L', b'3', ..] => Format::Foreign("a TensorFlow Lite model"),
            _ if text.starts_with(b"<!") || text.starts_with(b"<?xml") => Format::WebPage,
            _ if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"<html")) => Format::WebPage,
            _ if is_text && (has(b"layer {") || has(b"layers {") || has(b"input_param")) => Format::Prototxt,
            // BlobProto: num 1, channels, height.
            [0x08, 1, 0x10, _, 0x18, ..] => Format::CaffeMean,
            // ModelProto: ir_version, then the producer or the graph.
            [0x08, 1..=20, 0x12 | 0x3a, ..] => Format::Foreign("an ONNX model"),
            _ if is_caffe(head) => Format::Caffe,
            _ => return None,
        })
    }

    /// The name of the format, with an article.
    pub fn name(self) -> &'static str {
        match self {
            Format::Torch => "a PyTorch checkpoint",
            Format::Pickle => "a Python pickle",
            Format::Caffe => "a Caffe model",
            Format::CaffeMean => "a Caffe mean image",
            Format::Prototxt => "a prototxt, which describes a network and holds no weights",
            Format::Numpy => "a NumPy array",
            Format::NumpyArchive => "an archive of NumPy arrays",
            Format::Pdf => "a PDF",
            Format::WebPage => "a web page",
            Format::LfsPointer => "a pointer of Git LFS, not the file itself",
            Format::Archive(name)
            | Format::Foreign(name)
            | Format::Compressed(name)
            | Format::Image(name) => name,
        }
    }

    /// The way to a usable file: a command or a piece of advice.
    pub fn fix(self, path: &Path, wanted: Wanted) -> String {
        let file = path.display();
        match (self, wanted) {
            (Format::WebPage, _) => {
                "the download gave a web page instead of the file; download the file itself".into()
            }
            (Format::LfsPointer, _) => "fetch the file with git lfs pull, or download it".into(),
            (Format::Compressed(_), _) => "unpack it first".into(),
            (Format::Torch | Format::Caffe, Wanted::Weights) => {
                format!("convert it first: bcreid-convert {file} --out WEIGHTS.safetensors")
            }
            (Format::Pickle | Format::Archive(_), Wanted::Weights) => {
                format!(
                    "if it holds a PyTorch checkpoint, convert it: bcreid-convert {file} --out WEIGHTS.safetensors"
                )
            }
            (Format::CaffeMean, Wanted::Weights) => format!(
                "convert it together with its model: bcreid-convert MODEL.caffemodel --mean {file} --out \
                 WEIGHTS.safetensors"
            ),
            (Format::Prototxt, Wanted::Weights) => format!(
                "give the .caffemodel that belongs to it: bcreid-convert MODEL.caffemodel --prototxt {file} --out \
                 WEIGHTS.safetensors"
            ),
            (Format::Foreign(_), Wanted::Weights) => {
                "save the network from PyTorch (.pth) or Caffe (.caffemodel, BINARYPROTO) and convert it with \
                 bcreid-convert"
                    .into()
            }
            (Format::Numpy | Format::NumpyArchive, Wanted::Weights) => {
                "save the named tensors as safetensors and convert that file with bcreid-convert".into()
            }
            (Format::Image(_), Wanted::Weights) => {
                "weights are a .safetensors file; bcreid extract and bcreid query take images".into()
            }
            (Format::Numpy, Wanted::Features) => {
                format!(
                    "put a .csv of path,pid,camid beside it and convert it: bcreid features {file} --out \
                     FEATURES.safetensors"
                )
            }
            (Format::Image(_), Wanted::Features) => {
                "extract features from images: bcreid extract --weights RUN --images DIR --out FEATURES.safetensors"
                    .into()
            }
            (Format::Torch | Format::Pickle | Format::Archive(_) | Format::NumpyArchive, Wanted::Features) => {
                "save the features as a NumPy array [N, D] with a .csv of path,pid,camid beside it, and give that to \
                 bcreid features"
                    .into()
            }
            (Format::Caffe | Format::CaffeMean | Format::Prototxt | Format::Foreign(_), Wanted::Features) => {
                "extract features with bcreid extract, or convert a NumPy array with bcreid features".into()
            }
            (Format::Pdf, Wanted::Weights) => "give the .safetensors file of the weights".into(),
            (Format::Pdf, Wanted::Features) => "give the .safetensors file of the features".into(),
        }
    }
}

/// The formats that are recognised by a magic number at the start.
const MAGIC: [(&[u8], Format); 17] = [
    (b"\xff\xd8\xff", Format::Image("a JPEG image")),
    (b"\x89PNG\r\n\x1a\n", Format::Image("a PNG image")),
    (b"GIF87a", Format::Image("a GIF image")),
    (b"GIF89a", Format::Image("a GIF image")),
    (b"II*\0", Format::Image("a TIFF image")),
    (b"MM\0*", Format::Image("a TIFF image")),
    (b"\x93NUMPY", Format::Numpy),
    (b"\x89HDF\r\n\x1a\n", Format::Foreign("an HDF5 file")),
    (b"GGUF", Format::Foreign("a GGUF file")),
    (b"%PDF-", Format::Pdf),
    (b"version https://git-lfs", Format::LfsPointer),
    (b"\x1f\x8b", Format::Compressed("a gzip file")),
    (b"BZh", Format::Compressed("a bzip2 file")),
    (b"\xfd7zXZ\0", Format::Compressed("an xz file")),
    (b"\x28\xb5\x2f\xfd", Format::Compressed("a zstd file")),
    (b"7z\xbc\xaf\x27\x1c", Format::Compressed("a 7z archive")),
    (b"Rar!\x1a\x07", Format::Compressed("a RAR archive")),
];

/// Whether the bytes begin a NetParameter of Caffe: fields in the order of their numbers, in which Protobuf writes
/// them, up to the first layer.
fn is_caffe(head: &[u8]) -> bool {
    let (mut rest, mut last) = (head, 0);
    while let Some((key, behind)) = varint(rest) {
        let (number, kind) = (key >> 3, key & 7);
        if number < last {
            return false;
        }
        let Some((value, behind)) = varint(behind) else { return false };
        let length = usize::try_from(value).unwrap_or(usize::MAX);
        rest = match (number, kind, behind.split_at_checked(length)) {
            // name and input.
            (1 | 3, 2, Some((text, rest))) if is_name(text) => rest,
            // input_dim, force_backward and debug_info.
            (4 | 5 | 7, 0, _) => behind,
            // state and input_shape.
            (6 | 8, 2, Some((_, rest))) => rest,
            // layers of the older form and layer; the head may end inside of it.
            (2 | 100, 2, _) => return is_layer(number, length, behind, last > 0),
            _ => return false,
        };
        last = number;
    }
    false
}

/// Whether the bytes begin a layer message of `length` bytes: its first field is a text or the number of a type. If no
/// byte of it is there, the fields before it decide.
fn is_layer(field: u64, length: usize, bytes: &[u8], has_more: bool) -> bool {
    let bytes = &bytes[..length.min(bytes.len())];
    let Some((key, rest)) = varint(bytes) else { return has_more && length > 0 };
    let is_text = match field {
        // bottom, top and name; a layer of the oldest form begins with a message.
        2 => matches!(key, 0x12 | 0x1a | 0x22),
        // name, type, bottom and top.
        _ => matches!(key, 0x0a | 0x12 | 0x1a | 0x22),
    };
    let Some((text, rest)) = varint(rest) else { return false };
    match (field, key) {
        _ if is_text => {
            let text = usize::try_from(text).unwrap_or(usize::MAX);
            text < length && is_name(&rest[..text.min(rest.len())])
        }
        (2, 0x28) => (1..=39).contains(&text),
        (2, 0x0a) => text < length as u64,
        _ => false,
    }
}

fn is_name(text: &[u8]) -> bool {
    text.iter().all(|byte| !byte.is_ascii_control())
}

/// The number at the start of `bytes` in Protobuf's encoding, and the bytes after it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at(length);
    let bits = number.iter().rev().fold(0u64, |bits, byte| bits << 7 | u64::from(byte & 0x7f));
    Some((bits, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognised_by_their_first_bytes() {
        let mut tar = vec![0; HEAD];
        tar[257..262].copy_from_slice(b"ustar");
        let long_name = [&b"\x0a\xac\x02"[..], &[b'n'; 300], b"\xa2\x06\x10\x0a\x05conv1"].concat();
        let caffe = b"\x0a\x04name\xa2\x06\x10\x0a\x05conv1";
        for (head, name) in [
            (&b"PK\x03\x04..........................archive/data.pkl"[..], "a PyTorch checkpoint"),
            (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "a PyTorch checkpoint"),
            (b"\x80\x04\x95", "a Python pickle"),
            (b"PK\x03\x04 other", "a zip archive"),
            (b"PK\x05\x06", "a zip archive"),
            (b"PK\x03\x04 arr_0.npy", "an archive of NumPy arrays"),
            (&tar, "a tar archive"),
            (caffe, "a Caffe model"),
            (b"\xa2\x06\x05\x0a\x03abc", "a Caffe model"),
            (b"\x0a\x01a\x12\x10", "a Caffe model"),
            (b"\x0a\0\xa2\x06\x90\x4e\x12\x04Data\x22\x04data", "a Caffe model"),
            // Without a name: inputs with their sizes, then layers.
            (
                b"\x1a\x04data\x20\x01\x20\x03\x20\xe0\x01\x20\xe0\x01\xa2\x06\x10\x0a\x05conv1",
                "a Caffe model",
            ),
            (
                b"\x1a\x04data\x42\x08\x0a\x06\x01\x03\xe0\x01\xe0\x01\xa2\x06\x10\x0a\x05conv1",
                "a Caffe model",
            ),
            (b"\x32\x02\x08\x01\x38\0\xa2\x06\x10\x0a\x05conv1", "a Caffe model"),
            (b"\x12\x80\x7d\x12\x04data\x1a\x05conv1", "a Caffe model"),
            (b"\x12\x80\x7d\x0a\x05\x0a\x03abc", "a Caffe model"),
            (&long_name, "a Caffe model"),
            (b"\x08\x01\x10\x03\x18\xe0\x01", "a Caffe mean image"),
            (b"name: \"a\"\nlayer {\n", "a prototxt, which describes a network and holds no weights"),
            (b"\x08\x07\x12\x07pytorch", "an ONNX model"),
            (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
            (b"\x93NUMPY\x01\0", "a NumPy array"),
            (b"\xff\xd8\xff\xe0", "a JPEG image"),
            (b"\x89PNG\r\n\x1a\n", "a PNG image"),
            (b"RIFF\x01\x02\x03\x04WEBPVP8", "a WebP image"),
            (b"BM\x01\x02\x03\x04\0\0\0\0", "a BMP image"),
            (b"\x1f\x8b\x08", "a gzip file"),
            (b"\n <!DOCTYPE html>", "a web page"),
            (b"\xef\xbb\xbf<HTML>", "a web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS, not the file itself"),
        ] {
            assert_eq!(Format::of(head).map(Format::name), Some(name), "{head:?}");
        }
        for head in [
            &b""[..],
            b"\x10\0\0\0\0\0\0\0{\"a\":1}  ",
            b"BM is text",
            b"[loss]\nlambda = 1",
            b"\x0a\x05abc",
            b"\x0a\x03abc\x0a\x03abc",
            b"\x12\x10",
            b"\x12\x10\x12\x04\0\0\0\0",
            b"\xa2\x06\x05\x0a\x05abc",
            &[0; HEAD],
            &[0xff; HEAD],
        ] {
            assert_eq!(Format::of(head), None, "{head:?}");
        }
    }

    #[test]
    fn every_format_has_a_name_and_a_fix() {
        let known = MAGIC.iter().map(|(_, format)| *format).chain([
            Format::Torch,
            Format::Pickle,
            Format::Archive("a zip archive"),
            Format::Caffe,
            Format::CaffeMean,
            Format::Prototxt,
            Format::NumpyArchive,
            Format::WebPage,
        ]);
        for format in known {
            for wanted in [Wanted::Weights, Wanted::Features] {
                let fix = format.fix(Path::new("a file"), wanted);
                assert!(!fix.is_empty() && !fix.contains('\n') && !format.name().is_empty(), "{format:?}");
            }
        }
        let convert = Format::Caffe.fix(Path::new("a.caffemodel"), Wanted::Weights);
        assert!(convert.contains("bcreid-convert a.caffemodel --out"), "{convert}");
    }
}
