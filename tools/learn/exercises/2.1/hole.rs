/// The offset of the element `index` of a dense tensor: the sum over all axes of index times stride. None if an index
/// is outside of its axis, or if the number of indices is wrong.
pub fn offset(shape: &[usize], index: &[usize]) -> Option<usize> {
    todo!("the offset of {index:?} in {shape:?}")
}
