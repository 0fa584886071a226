use crate::answer::largest;
use crate::checks::*;

#[path = "../../../../src/eval/metrics.rs"]
mod product;

/// The difference of the product's average precisions.
fn difference(ranks: &[usize]) -> f64 {
    product::Score::from_ranks(ranks).map_or(0.0, |score| score.ap_sum - score.ap_market)
}

/// Calls `with` for each ascending list of n ranks up to m.
fn for_each(n: usize, m: usize, with: &mut impl FnMut(&[usize])) {
    fn extend(ranks: &mut Vec<usize>, n: usize, m: usize, with: &mut impl FnMut(&[usize])) {
        if ranks.len() == n {
            return with(ranks);
        }
        let first = ranks.last().map_or(1, |last| last + 1);
        for rank in first..=m {
            ranks.push(rank);
            extend(ranks, n, m, with);
            ranks.pop();
        }
    }
    extend(&mut Vec::new(), n, m, with);
}

/// The largest difference for a large gallery: match after match, for each rank that a list may end at.
fn by_ends(n: usize, m: usize) -> f64 {
    let term = |i: usize, r: usize| {
        let here = i as f64 / r as f64;
        let before = if r == 1 { 1.0 } else { (i - 1) as f64 / (r - 1) as f64 };
        (here - before) / 2.0
    };
    // The largest sum of lists of i ranks that end at r or before.
    let mut best = vec![0.0f64; m + 1];
    for i in 1..=n {
        let mut next = vec![f64::NEG_INFINITY; m + 1];
        for r in i..=m {
            next[r] = next[r - 1].max(best[r - 1] + term(i, r));
        }
        best = next;
    }
    best[m] / n as f64
}

fn compare(n: usize, m: usize, (best, example): (f64, Option<Vec<usize>>)) -> Finding {
    let ranks = largest(n, m);
    let named = format!("n = {n}, m = {m}");
    that(ranks.len() == n, || format!("{named}: {} ranks; each match has one", ranks.len()))?;
    let outside = ranks.iter().find(|rank| !(1..=m).contains(*rank));
    that(outside.is_none(), || format!("{named}: a gallery of {m} images has no rank {}", outside.unwrap()))?;
    that(ranks.windows(2).all(|pair| pair[0] < pair[1]), || {
        format!("{named}: {ranks:?} do not ascend; two images have two ranks")
    })?;
    let own = difference(&ranks);
    that((own - best).abs() <= 1e-12, || {
        let example = example.map_or(String::new(), |ranks| format!(", of the ranks {ranks:?}"));
        format!(
            "{named}: the ranks {ranks:?} have the difference {own:.6}; the largest one is {best:.6}{example}"
        )
    })
}

pub fn grade(checks: &mut Checks) {
    for n in 1..=4 {
        checks.check(&format!("all lists of {n} ranks up to 10"), || {
            for m in n..=10 {
                let mut best = (-1.0, None);
                for_each(n, m, &mut |ranks| {
                    let own = difference(ranks);
                    if own > best.0 + 1e-12 {
                        best = (own, Some(ranks.to_vec()));
                    }
                });
                compare(n, m, best)?;
            }
            Ok(())
        });
    }
    checks.check("galleries with too many lists", || {
        for (n, m) in [(17, 20), (17, 500), (40, 60), (50, 2000)] {
            compare(n, m, (by_ends(n, m), None))?;
        }
        Ok(())
    });
}
