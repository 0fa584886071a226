// Expect: the sections do not have the indices 0 to
/// The largest parameters first, each into the smallest section.
pub fn cut(sizes: &[usize], sections: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(sizes[*i]));
    let mut all: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new()); sections];
    for i in order {
        let (elements, section) = all.iter_mut().min_by_key(|(elements, _)| *elements).expect("a section");
        *elements += sizes[i];
        section.push(i);
    }
    all.into_iter().map(|(_, section)| section).filter(|section| !section.is_empty()).collect()
}
