// Expect: is behind the end of axis
pub fn offset(shape: &[usize], index: &[usize]) -> Option<usize> {
    let offset = index.iter().zip(shape).fold(0, |offset, (i, size)| offset * size + i);
    Some(offset).filter(|offset| shape.len() == index.len() && *offset < shape.iter().product())
}
