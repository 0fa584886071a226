//! Storages, flat arrays of elements in the file, and tensors as strided views of them.

use crate::content::PIECE;
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
    layout: Rc<[(usize, usize)]>,
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

    /// Number of elements, with repetitions of the same element of the storage.
    pub fn count(&self) -> u64 {
        self.layout.iter().map(|(size, _)| *size as u64).product()
    }

    /// Number of bytes of the file that [`Tensor::read`] reads: from the first element to the last, with those between.
    pub fn extent(&self) -> u64 {
        self.storage.elements * self.element().size() as u64
    }

    /// Reads the bytes of the elements in row-major order and passes them on in pieces, each of whole elements.
    ///
    /// # Errors
    /// An error of the file system; `InvalidData` if the checksum is wrong. The pieces passed on before are void then.
    pub fn read(&self, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let width = self.element().size();
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(self.storage.start))?;
        let mut checksum = self.storage.crc.map(|_| crc32fast::Hasher::new());
        let layout = self.compact();
        let is_contiguous = matches!(layout[..], [] | [(_, 1)]);
        // Elements in another order can be anywhere in the extent, and it is read as a whole.
        let step = if is_contiguous { (PIECE * width) as u64 } else { u64::MAX };
        let mut left = self.extent();
        let mut bytes = Vec::new();
        while left > 0 {
            bytes.resize(left.min(step) as usize, 0);
            file.read_exact(&mut bytes)?;
            left -= bytes.len() as u64;
            if let Some(checksum) = &mut checksum {
                checksum.update(&bytes);
            }
            if is_contiguous {
                sink(&bytes);
            }
        }
        if checksum.map(crc32fast::Hasher::finalize) != self.storage.crc {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "their checksum is wrong"));
        }
        if !is_contiguous {
            gather(&bytes, width, &layout, sink);
        }
        Ok(())
    }

    /// The layout without dimensions of size 1, neighbours that one stride describes as one dimension; `[]` for one
    /// element, `[(0, 1)]` for none.
    fn compact(&self) -> Vec<(usize, usize)> {
        if self.layout.iter().any(|(size, _)| *size == 0) {
            return vec![(0, 1)];
        }
        let mut compact: Vec<(usize, usize)> = Vec::new();
        for &(size, stride) in self.layout.iter().filter(|(size, _)| *size != 1) {
            match compact.last_mut() {
                Some((outer, outer_stride)) if Some(*outer_stride) == stride.checked_mul(size) => {
                    (*outer, *outer_stride) = (*outer * size, stride);
                }
                _ => compact.push((size, stride)),
            }
        }
        compact
    }
}

/// Passes on the elements of `bytes` in the order of a compact layout that has elements.
fn gather(bytes: &[u8], width: usize, layout: &[(usize, usize)], sink: &mut dyn FnMut(&[u8])) {
    let Some((&(run, step), outer)) = layout.split_last() else { return };
    let most = PIECE * width;
    let mut piece = Vec::with_capacity(most);
    let mut index = vec![0; outer.len()];
    let mut at = 0;
    loop {
        for element in 0..run {
            if piece.len() == most {
                sink(&piece);
                piece.clear();
            }
            piece.extend_from_slice(&bytes[(at + element * step) * width..][..width]);
        }
        let mut is_last = true;
        for (index, (size, stride)) in index.iter_mut().zip(outer).rev() {
            *index += 1;
            at += stride;
            if *index < *size {
                is_last = false;
                break;
            }
            at -= *size * stride;
            *index = 0;
        }
        if is_last {
            return sink(&piece);
        }
    }
}
