use crate::answer::cut;
use crate::checks::*;

/// The elements of the largest section of the best cut: each end of the last section is tried.
fn best(sizes: &[usize], sections: usize) -> usize {
    match sections {
        _ if sizes.is_empty() => 0,
        0 => usize::MAX,
        _ => (0..sizes.len())
            .map(|begin| sizes[begin..].iter().sum::<usize>().max(best(&sizes[..begin], sections - 1)))
            .min()
            .unwrap_or(0),
    }
}

/// The same for long lists: `of[n]` is that of the first n sizes, with one section more in each round.
fn best_of_many(sizes: &[usize], sections: usize) -> usize {
    let mut of = vec![usize::MAX; sizes.len() + 1];
    of[0] = 0;
    for _ in 0..sections {
        let before = of.clone();
        for n in 1..=sizes.len() {
            let mut last = 0;
            for begin in (0..n).rev() {
                last += sizes[begin];
                of[n] = of[n].min(last.max(before[begin]));
            }
        }
    }
    of[sizes.len()]
}

/// The elements of each section of a valid cut.
fn elements(sizes: &[usize], sections: usize, cut: &[Vec<usize>]) -> Result<Vec<usize>, String> {
    let in_order: Vec<usize> = cut.iter().flatten().copied().collect();
    that(in_order == (0..sizes.len()).collect::<Vec<_>>(), || {
        format!(
            "the sections do not have the indices 0 to {} in their order, each once: {cut:?}",
            sizes.len().saturating_sub(1)
        )
    })?;
    that(cut.iter().all(|section| !section.is_empty()), || format!("a section is empty: {cut:?}"))?;
    that(cut.len() <= sections, || format!("{} sections instead of at most {sections}", cut.len()))?;
    Ok(cut.iter().map(|section| section.iter().map(|i| sizes[*i]).sum()).collect())
}

fn one(sizes: &[usize], sections: usize, best: usize) -> Finding {
    let own = elements(sizes, sections, &cut(sizes, sections))?;
    let largest = own.into_iter().max().unwrap_or(0);
    that(largest == best, || {
        let told = if sizes.len() > 20 { String::new() } else { format!(" of {sizes:?}") };
        format!(
            "{sections} sections{told}: the largest one has {largest} elements, and {best} is possible: neither \
             equal numbers of parameters nor sections that are filled to their share give the best cut"
        )
    })
}

/// The sizes of the filters of ResNet-50, in the order of their declaration.
fn resnet50() -> Vec<usize> {
    let mut sizes = vec![64 * 3 * 7 * 7];
    let mut inputs = 64;
    for (width, blocks) in [(64, 3), (128, 4), (256, 6), (512, 3)] {
        for block in 0..blocks {
            sizes.extend([inputs * width, width * width * 9, width * 4 * width]);
            if block == 0 {
                sizes.push(inputs * 4 * width);
            }
            inputs = 4 * width;
        }
    }
    sizes
}

/// The first and the largest section of the product's rule.
fn of_the_product(sizes: &[usize], sections: usize) -> [usize; 2] {
    let enough = sizes.iter().sum::<usize>() / sections;
    let (mut own, mut largest) = (0, 0);
    for (i, size) in sizes.iter().enumerate().rev() {
        own += size;
        largest = largest.max(own);
        if own >= enough && i > 0 {
            own = 0;
        }
    }
    [own, largest]
}

pub fn grade(checks: &mut Checks) {
    checks.check("no parameter, and one", || {
        one(&[], 3, 0)?;
        one(&[5], 1, 5)?;
        one(&[5], 3, 5)
    });
    checks.check("100 lists of up to 10 sizes", || {
        let mut numbers = Numbers::new(154);
        for list in 0..100 {
            let most = [2, 10, 1000][list % 3];
            let count = 1 + numbers.below(10);
            let sizes: Vec<usize> = (0..count).map(|_| 1 + numbers.below(most)).collect();
            let sections = 1 + numbers.below(5);
            one(&sizes, sections, best(&sizes, sections))?;
        }
        Ok(())
    });
    let (sizes, sections) = (resnet50(), 12);
    let mut own = Vec::new();
    checks.check("the filters of ResNet-50 in 12 sections", || {
        own = elements(&sizes, sections, &cut(&sizes, sections))?;
        Ok(())
    });
    if let Some(first) = own.first() {
        let [first_of_product, largest_of_product] = of_the_product(&sizes, sections);
        let name = format!(
            "the largest one is the smallest possible (the product's rule: {largest_of_product} elements; its first \
             section has {first_of_product}, yours {first})"
        );
        checks.check(&name, || one(&sizes, sections, best_of_many(&sizes, sections)));
    }
}
