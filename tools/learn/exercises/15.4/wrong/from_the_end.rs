// Expect: is possible: neither equal numbers of parameters nor sections that are filled
/// The rule of the product: each section is filled until it has its share.
pub fn cut(sizes: &[usize], sections: usize) -> Vec<Vec<usize>> {
    let enough = sizes.iter().sum::<usize>().div_ceil(sections);
    let (mut all, mut section, mut elements) = (Vec::new(), Vec::new(), 0);
    for (i, &size) in sizes.iter().enumerate().rev() {
        section.insert(0, i);
        elements += size;
        if elements >= enough {
            all.push(std::mem::take(&mut section));
            elements = 0;
        }
    }
    if !section.is_empty() {
        all.push(section);
    }
    all.reverse();
    all
}
