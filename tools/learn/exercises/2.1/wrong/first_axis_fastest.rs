// Expect: the last axis is the fastest
pub fn offset(shape: &[usize], index: &[usize]) -> Option<usize> {
    if shape.len() != index.len() || index.iter().zip(shape).any(|(i, size)| i >= size) {
        return None;
    }
    Some(index.iter().zip(shape).rev().fold(0, |offset, (i, size)| offset * size + i))
}
