//! Memory whose size a file decides: a reservation that fails is an error, where the usual containers end the process.

use crate::console::Bytes;
use crate::{Error, Result};
use std::fmt::Display;

/// An empty vector with room for `count` elements. `what` is what needs the memory: a file, and the part of it.
///
/// # Errors
/// [`Error::Data`] with the size, if there is no memory for it.
pub fn reserve<T>(count: usize, what: impl Display) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    match vector.try_reserve_exact(count) {
        Ok(()) => Ok(vector),
        Err(_) => {
            let size = match count.checked_mul(size_of::<T>()) {
                Some(bytes) => Bytes(bytes).to_string(),
                None => format!("{count} elements of {}", Bytes(size_of::<T>())),
            };
            Err(Error::Data(format!("{what}: no memory for {size}; give a smaller file, or free memory")))
        }
    }
}

/// A copy of `values`; `what` as of [`reserve`].
///
/// # Errors
/// As [`reserve`].
pub fn copy<T: Copy>(values: &[T], what: impl Display) -> Result<Vec<T>> {
    let mut copy = reserve(values.len(), what)?;
    copy.extend_from_slice(values);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_an_error_with_the_size() {
        let error = |count| reserve::<u64>(count, "f.npy").unwrap_err().to_string();
        assert!(error(1 << 58).starts_with("f.npy: no memory for 2147483648.00 GiB;"), "{}", error(1 << 58));
        assert!(error(usize::MAX).contains("elements of 8 bytes"), "{}", error(usize::MAX));
        assert!(reserve::<u64>(5, "f.npy").unwrap().capacity() >= 5);
        assert_eq!(copy(&[1, 2], "f.npy").unwrap(), [1, 2]);
    }
}
