//! The header of a safetensors file, read within bounds: JSON of a hundred megabytes can name millions of tensors, or a
//! tensor of millions of dimensions, each of which takes several times its length in memory.
//!
//! The crate `safetensors` checks shapes, byte ranges and gaps; only the parsing is done here.

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Read};

/// Most tensors of a file. A ResNet of 64 blocks in each stage has 4,000 with its momenta.
const MAX_TENSORS: usize = 1 << 16;
/// Most entries of the free text.
const MAX_ENTRIES: usize = 256;
/// Most bytes of a name.
const MAX_NAME: usize = 1024;
/// Most dimensions of a tensor.
const MAX_DIMS: usize = 16;
/// The header's key of the free text.
pub const METADATA: &str = "__metadata__";

/// The parsed header.
#[derive(Debug, Default)]
pub struct Header {
    /// The tensors by name, with byte ranges behind the header.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The free text.
    pub metadata: BTreeMap<String, String>,
    /// Bytes of all tensors.
    pub data: usize,
}

impl Header {
    /// Reads and checks a header of `length` bytes. The bytes are read and not mapped, so that they do not stay in
    /// memory beside the parsed text.
    ///
    /// # Errors
    /// A description of the fault.
    pub fn read(file: impl Read, length: usize) -> Result<Self, String> {
        let reader = BufReader::with_capacity(length.clamp(1, 1 << 16), file.take(length as u64));
        let mut header: Header = serde_json::from_reader(reader).map_err(|e| e.to_string())?;
        let mut tensors: Vec<(String, TensorInfo)> =
            std::mem::take(&mut header.tensors).into_iter().collect();
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        header.tensors = tensors.iter().cloned().collect();
        header.data = Metadata::new(None, tensors).map_err(|e| e.to_string())?.data_len();
        Ok(header)
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(Name(name)) = map.next_key()? {
            if name == METADATA {
                header.metadata = map.next_value::<Option<Texts>>()?.unwrap_or_default().0;
                continue;
            }
            if header.tensors.len() == MAX_TENSORS {
                return Err(A::Error::custom(format_args!("it names more than {MAX_TENSORS} tensors")));
            }
            let Info { dtype, shape: Dims(shape), data_offsets } = map.next_value()?;
            let info = TensorInfo { dtype, shape, data_offsets };
            if let Some((name, _)) = header.tensors.get_key_value(&name) {
                return Err(A::Error::custom(format_args!("it names the tensor {name:?} twice")));
            }
            header.tensors.insert(name, info);
        }
        Ok(header)
    }
}

/// A name of bounded length.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name.len() > MAX_NAME {
            return Err(D::Error::custom(format_args!("a name has {} bytes", name.len())));
        }
        Ok(Name(name))
    }
}

/// The free text.
#[derive(Default)]
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some(Name(name)) = map.next_key()? {
            if texts.len() == MAX_ENTRIES {
                return Err(A::Error::custom(format_args!(
                    "its free text has more than {MAX_ENTRIES} entries"
                )));
            }
            texts.insert(name, map.next_value()?);
        }
        Ok(Texts(texts))
    }
}

/// A tensor's entry.
#[derive(serde::Deserialize)]
struct Info {
    dtype: Dtype,
    shape: Dims,
    data_offsets: (usize, usize),
}

/// A shape of bounded length.
struct Dims(Vec<usize>);

impl<'de> Deserialize<'de> for Dims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(DimsVisitor)
    }
}

struct DimsVisitor;

impl<'de> Visitor<'de> for DimsVisitor {
    type Value = Dims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sizes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Dims, A::Error> {
        let mut dims = Vec::new();
        while let Some(size) = seq.next_element()? {
            if dims.len() == MAX_DIMS {
                return Err(A::Error::custom(format_args!("a tensor has more than {MAX_DIMS} dimensions")));
            }
            dims.push(size);
        }
        Ok(Dims(dims))
    }
}

/// Number of elements of a JSON list of texts, which are not kept; `None` if the text is none.
pub fn count_texts(list: &str) -> Option<usize> {
    struct Count;
    /// A text that is not kept.
    struct Skipped;
    impl<'de> Deserialize<'de> for Skipped {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Text;
            impl Visitor<'_> for Text {
                type Value = Skipped;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a text")
                }
                fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
                    Ok(Skipped)
                }
            }
            deserializer.deserialize_str(Text)
        }
    }
    impl<'de> Visitor<'de> for Count {
        type Value = usize;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of texts")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<usize, A::Error> {
            let mut count = 0;
            while seq.next_element::<Skipped>()?.is_some() {
                count += 1;
            }
            Ok(count)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(list);
    let count = deserializer.deserialize_seq(Count).ok()?;
    deserializer.end().ok().map(|()| count)
}
