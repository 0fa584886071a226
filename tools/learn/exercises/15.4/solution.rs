/// Cuts parameters, given by their sizes, into at most so many sections of adjacent ones, of which none is empty. The
/// largest section is as small as possible. Returns the indices of each section.
pub fn cut(sizes: &[usize], sections: usize) -> Vec<Vec<usize>> {
    // For the last update of a step the product's rule is better: its first section has what is left over.
    // The smallest bound that suffices: with a larger one no more sections are needed.
    let (mut low, mut high) = (sizes.iter().copied().max().unwrap_or(0), sizes.iter().sum());
    while low < high {
        let middle = low + (high - low) / 2;
        if filled(sizes, middle).len() <= sections {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    filled(sizes, low)
}

/// Sections filled from the end, each as far as the bound allows. The bound is at least the largest size.
fn filled(sizes: &[usize], bound: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for (i, &size) in sizes.iter().enumerate().rev() {
        match all.last_mut() {
            Some(section) if size <= room => section.insert(0, i),
            _ => {
                all.push(vec![i]);
                room = bound;
            }
        }
        room -= size;
    }
    all.reverse();
    all
}
