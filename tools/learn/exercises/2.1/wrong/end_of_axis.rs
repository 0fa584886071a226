// Expect: is behind the end of axis
pub fn offset(shape: &[usize], index: &[usize]) -> Option<usize> {
    if shape.len() != index.len() || index.iter().zip(shape).any(|(i, size)| i > size) {
        return None;
    }
    Some(index.iter().zip(shape).fold(0, |offset, (i, size)| offset * size + i))
}
