/// Cuts parameters, given by their sizes, into at most so many sections of adjacent ones, of which none is empty. The
/// largest section is as small as possible. Returns the indices of each section.
pub fn cut(sizes: &[usize], sections: usize) -> Vec<Vec<usize>> {
    todo!("{sections} sections of {sizes:?}")
}
