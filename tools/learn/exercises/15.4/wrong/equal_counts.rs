// Expect: and 2490368 is possible
/// So many parameters in each section.
pub fn cut(sizes: &[usize], sections: usize) -> Vec<Vec<usize>> {
    let indices: Vec<usize> = (0..sizes.len()).collect();
    indices.chunks(sizes.len().div_ceil(sections).max(1)).map(<[usize]>::to_vec).collect()
}
