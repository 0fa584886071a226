//! Storages, flat arrays of elements in the file, and tensors as strided views of them.

use crate::element::Element;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

/// Largest number of dimensions of a tensor (PyTorch's limit).
pub const MAX_RANK: usize = 64;

/// A storage, or a view of one.
#[derive(Clone, Copy, Debug)]
pub struct Storage {
    /// The type of its elements.
    pub element: Element,
    /// Offset of the first byte in the file.
    pub start: u64,
    /// Number of elements, checked to be within the file.
    pub elements: u64,
    /// CRC-32 of all bytes, if the container has it.
    pub crc: Option<u32>,
}

impl Storage {
    /// View of `elements` elements from `offset` on, if the storage has them.
    pub fn view(&self, offset: u64, elements: u64) -> Option<Storage> {
        offset.checked_add(elements).filter(|end| *end <= self.elements)?;
        let start = self.start + offset * self.element.size() as u64;
        let crc = self.crc.filter(|_| offset == 0 && elements == self.elements);
        Some(Storage { start, elements, crc, ..*self })
    }

    /// Creates a tensor of the storage's elements in `file`; `None` if it would reach beyond the storage.
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

/// A tensor whose values are not read yet.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Part of the storage that the tensor uses.
    storage: Storage,
    /// Size and stride of each dimension, slowest first.
    layout: Vec<(usize, usize)>,
    file: Rc<File>,
}

impl Tensor {
    /// The type of its elements.
    pub fn element(&self) -> Element {
        self.storage.element
    }

    /// Shape.
    pub fn shape(&self) -> Vec<usize> {
        self.layout.iter().map(|(size, _)| *size).collect()
    }

    /// Reads the bytes of the elements in row-major order.
    ///
    /// # Errors
    /// An error of the file system; `InvalidData` if the checksum is wrong.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let width = self.element().size();
        let mut bytes = vec![0; self.storage.elements as usize * width];
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.storage.start))?;
        file.read_exact(&mut bytes)?;
        if self.storage.crc.is_some_and(|crc| crc != crc32fast::hash(&bytes)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "their checksum is wrong"));
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
