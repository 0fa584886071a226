/// The offset of the element `index` of a dense tensor: the sum over all axes of index times stride. None if an index
/// is outside of its axis, or if the number of indices is wrong.
pub fn offset(shape: &[usize], index: &[usize]) -> Option<usize> {
    if shape.len() != index.len() || index.iter().zip(shape).any(|(i, size)| i >= size) {
        return None;
    }
    // Each further axis makes all strides before it `size` times as large.
    Some(index.iter().zip(shape).fold(0, |offset, (i, size)| offset * size + i))
}
