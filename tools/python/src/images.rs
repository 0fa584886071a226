//! The images of an argument: files, a folder, or decoded images as arrays.

use crate::arrays;
use crate::error::fault;
use bcreid::data::decode::Rgb;
use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use std::path::PathBuf;

/// The images of an argument.
pub enum Argument<'py> {
    /// A folder or an image file.
    Path(PathBuf),
    /// Image files.
    Files(Vec<PathBuf>),
    /// uint8 arrays `[H, W, 3]`, or rows of one array `[N, H, W, 3]`.
    Arrays(Arrays<'py>),
}

/// Decoded images in arrays of Python.
pub enum Arrays<'py> {
    One(Bound<'py, PyAny>, usize),
    Several(Vec<Bound<'py, PyAny>>),
}

const HOW: &str =
    "give a folder, a list of image files, uint8 RGB arrays [H, W, 3], or one array [N, H, W, 3]";

/// Reads the argument; no array is copied yet.
///
/// # Errors
/// Another object; an empty list; files and arrays in one list.
pub fn of_argument<'py>(object: &Bound<'py, PyAny>) -> PyResult<Argument<'py>> {
    if let Ok(path) = object.extract::<PathBuf>() {
        return Ok(Argument::Path(path));
    }
    if arrays::is_array(object) {
        let found = arrays::bytes_of(object).filter(|array| array.ndim() == 4 && array.shape()[3] == 3);
        return match found {
            Some(array) if array.shape()[0] > 0 => {
                Ok(Argument::Arrays(Arrays::One(object.clone(), array.shape()[0])))
            }
            _ => Err(fault(format!("images: {}; {HOW}", arrays::description(object)))),
        };
    }
    let items =
        object.try_iter().map_err(|_| fault(format!("images: {}; {HOW}", arrays::description(object))))?;
    let items = items.collect::<PyResult<Vec<_>>>()?;
    let Some(first) = items.first() else {
        return Err(fault(format!("images: the list is empty; {HOW}")));
    };
    if !arrays::is_array(first) {
        let path = |(i, item): (usize, &Bound<'py, PyAny>)| {
            item.extract::<PathBuf>()
                .map_err(|_| fault(format!("images[{i}]: {}; {HOW}", arrays::description(item))))
        };
        return items.iter().enumerate().map(path).collect::<PyResult<_>>().map(Argument::Files);
    }
    for (i, item) in items.iter().enumerate() {
        if arrays::bytes_of(item).is_none_or(|array| array.ndim() != 3 || array.shape()[2] != 3) {
            let what = arrays::description(item);
            return Err(fault(format!("images[{i}]: {what}; {HOW}")));
        }
    }
    Ok(Argument::Arrays(Arrays::Several(items)))
}

impl Arrays<'_> {
    /// Number of images, at least 1.
    pub fn len(&self) -> usize {
        match self {
            Arrays::One(_, images) => *images,
            Arrays::Several(images) => images.len(),
        }
    }

    /// Copies of the images from `first` on, at most `most` of them.
    ///
    /// # Errors
    /// Arrays that have changed since; sides that no image has.
    pub fn copies(&self, first: usize, most: usize) -> PyResult<Vec<Rgb>> {
        let last = self.len().min(first + most);
        let changed = || fault("images: an array has another shape or type than when the call began");
        let pictures: Vec<Rgb> = match self {
            Arrays::One(array, images) => {
                let array = arrays::bytes_of(array).ok_or_else(changed)?;
                let &[n, height, width, 3] = array.shape() else { return Err(changed()) };
                if n != *images {
                    return Err(changed());
                }
                let view = array.as_array();
                let picture = |i: usize| {
                    let pixels = view.index_axis(numpy::ndarray::Axis(0), i).iter().copied().collect();
                    Rgb { width, height, pixels }
                };
                (first..last).map(picture).collect()
            }
            Arrays::Several(images) => {
                let picture = |image: &Bound<'_, PyAny>| {
                    let array = arrays::bytes_of(image).ok_or_else(changed)?;
                    let &[height, width, 3] = array.shape() else { return Err(changed()) };
                    Ok(Rgb { width, height, pixels: array.as_array().iter().copied().collect() })
                };
                images[first..last].iter().map(picture).collect::<PyResult<_>>()?
            }
        };
        for (i, picture) in pictures.iter().enumerate() {
            picture.check().map_err(|why| fault(format!("images[{}]: {why}", first + i)))?;
        }
        Ok(pictures)
    }
}
