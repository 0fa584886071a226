//! Storages, flat rows of elements in the file, and the strided tensors that look into them.

use crate::element::Element;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

/// The most dimensions a tensor may have (PyTorch's own bound).
pub const MAX_RANK: usize = 64;

/// A storage, or a view of one.
#[derive(Clone, Copy, Debug)]
pub struct Storage {
    /// The type of its elements.
    pub element: Element,
    /// The file's byte at which it starts.
    pub start: u64,
    /// How many elements it has. They have been checked to lie in the file.
    pub elements: u64,
    /// The CRC-32 of all of its bytes, where the container has it.
    pub crc: Option<u32>,
}

impl Storage {
    /// The `elements` from `offset` on, if the storage has them.
    pub fn view(&self, offset: u64, elements: u64) -> Option<Storage> {
        offset.checked_add(elements).filter(|end| *end <= self.elements)?;
        let start = self.start + offset * self.element.size() as u64;
        let crc = self.crc.filter(|_| offset == 0 && elements == self.elements);
        Some(Storage { start, elements, crc, ..*self })
    }

    /// A tensor of these elements of `file`; none if it would reach beyond them.
    pub fn tensor(&self, file: &Rc<File>, sizes: &[u64], strides: &[u64], offset: u64) -> Option<Tensor> {
        if sizes.len() != strides.len() || sizes.len() > MAX_RANK {
            return None;
        }
        let extent = extent(sizes, strides, offset)?;
        let storage = self.view(offset, extent.checked_sub(offset)?)?;
        let layout = sizes.iter().zip(strides).map(|(size, stride)| (*size as usize, *stride as usize));
        Some(Tensor { storage, layout: layout.collect(), file: Rc::clone(file) })
    }
}

/// One past the last element that a tensor touches in its storage, if that is a number. The number of its
/// elements must be one, too.
fn extent(sizes: &[u64], strides: &[u64], offset: u64) -> Option<u64> {
    sizes.iter().try_fold(1u64, |all, size| all.checked_mul(*size)).filter(|all| *all <= u64::MAX >> 4)?;
    if sizes.contains(&0) {
        return Some(offset);
    }
    let steps = sizes.iter().zip(strides).map(|(size, stride)| (size - 1).checked_mul(*stride));
    steps.into_iter().try_fold(offset, |last, step| last.checked_add(step?))?.checked_add(1)
}

/// A tensor whose values are still in the file.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// What it touches of its storage.
    storage: Storage,
    /// Each dimension's size and stride, slowest first.
    layout: Vec<(usize, usize)>,
    file: Rc<File>,
}

impl Tensor {
    /// The type of its elements.
    pub fn element(&self) -> Element {
        self.storage.element
    }

    /// Its sizes.
    pub fn shape(&self) -> Vec<usize> {
        self.layout.iter().map(|(size, _)| *size).collect()
    }

    /// The bytes of its elements in row-major order, whatever the order in the file.
    ///
    /// # Errors
    /// What the system says; `InvalidData` where the bytes are not those that were saved.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let width = self.element().size();
        let mut bytes = vec![0; self.storage.elements as usize * width];
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.storage.start))?;
        file.read_exact(&mut bytes)?;
        if self.storage.crc.is_some_and(|crc| crc != crc32fast::hash(&bytes)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "their checksum is another one"));
        }
        Ok(if self.is_contiguous() { bytes } else { self.gather(&bytes, width) })
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        let mut dimensions = self.layout.iter().rev();
        let empty = self.layout.iter().any(|(size, _)| *size == 0);
        empty
            || dimensions.all(|(size, stride)| {
                let fits = *size == 1 || *stride == expected;
                expected *= size;
                fits
            })
    }

    fn gather(&self, bytes: &[u8], width: usize) -> Vec<u8> {
        let count: usize = self.layout.iter().map(|(size, _)| size).product();
        let mut gathered = Vec::with_capacity(count * width);
        let mut index = vec![0; self.layout.len()];
        let mut at = 0;
        for _ in 0..count {
            gathered.extend_from_slice(&bytes[at * width..][..width]);
            for (index, (size, stride)) in index.iter_mut().zip(&self.layout).rev() {
                *index += 1;
                at += stride;
                if *index < *size {
                    break;
                }
                at -= *size * stride;
                *index = 0;
            }
        }
        gathered
    }
}
