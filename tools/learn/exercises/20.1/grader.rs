use crate::answer::{self, Moments};
use crate::checks::*;

/// The values of ranks with so many values each, of different means and with deviations near 1, around `offset`.
fn values(offset: f64, counts: &[usize]) -> Vec<Vec<f64>> {
    let mut numbers = Numbers::new(201);
    let of_rank = |&count: &usize| {
        let own = offset + 3.0 * numbers.uniform();
        (0..count).map(|_| own + 1.7 * numbers.uniform()).collect()
    };
    counts.iter().map(of_rank).collect()
}

/// The moments of values: the second walk has the mean of the first.
fn exact<'v>(values: impl Iterator<Item = &'v f64> + Clone) -> Moments {
    let count = values.clone().count();
    // A sum about the first value, since a sum of large numbers rounds.
    let first = values.clone().next().copied().unwrap_or(0.0);
    let mean = first + values.clone().map(|x| x - first).sum::<f64>() / count.max(1) as f64;
    Moments { count: count as u64, mean, squares: values.map(|x| (x - mean).powi(2)).sum() }
}

/// Compares the merged moments of the ranks with those of all their values.
fn compare(ranks: &[Vec<f64>]) -> Finding {
    let of_ranks: Vec<Moments> = ranks.iter().map(|own| exact(own.iter())).collect();
    let want = exact(ranks.iter().flatten());
    let found = answer::merge(&of_ranks);
    let counts: Vec<usize> = ranks.iter().map(Vec::len).collect();
    let named = |found: String| format!("ranks with {counts:?} values: {found}");
    that(found.count == want.count, || named(format!("count is {} instead of {}", found.count, want.count)))?;
    that((found.mean - want.mean).abs() <= 1e-12 * want.mean.abs().max(1.0), || {
        let why = match counts.iter().find(|&&count| count != counts[0]) {
            _ if found.mean.is_nan() && counts.contains(&0) => ": a rank without values changes nothing",
            Some(_) => ": a rank counts as often as it has values",
            None => "",
        };
        named(format!("the mean is {} instead of {}{why}", found.mean, want.mean))
    })?;
    // Written so that NaN fails.
    let is_near = |found: f64, want: f64| found == want || (found - want).abs() <= 1e-6 * want.abs();
    if is_near(found.squares, want.squares) {
        return Ok(());
    }
    let within: f64 = of_ranks.iter().map(|own| own.squares).sum();
    let why = if is_near(found.squares, within) {
        "the ranks have different means, and the distance of the means adds to the squares"
    } else if is_near(found.squares * want.count as f64, want.squares) {
        "that is the variance; the sum is not divided by the number of values"
    } else if want.mean.abs() > 1e6 {
        "a difference of large numbers loses digits"
    } else {
        "the squared distance of two means has a factor, which is the same if the two are exchanged"
    };
    Err(named(format!("the squares are {} instead of {}: {why}", short(found.squares), short(want.squares))))
}

pub fn grade(checks: &mut Checks) {
    let counts: [(&str, &[usize]); 7] = [
        ("one rank", &[9]),
        ("two ranks with equal counts", &[64, 64]),
        ("different numbers of values", &[100, 7, 30, 2]),
        ("ranks of one value", &[1; 8]),
        ("an empty rank in the middle", &[5, 0, 9]),
        ("empty ranks at both ends", &[0, 0, 5, 9, 0]),
        ("no values at all", &[0, 0]),
    ];
    for (name, counts) in counts {
        checks.check(name, || compare(&values(0.0, counts)));
    }
    checks.check("a mean of 1e8", || {
        let counts = [100, 7, 0, 30, 2, 1, 500];
        // An error that small means have too is not due to rounding.
        compare(&values(0.0, &counts))?;
        compare(&values(1e8, &counts))
    });
    checks.check("ranks in another order", || {
        let mut ranks = values(0.0, &[100, 7, 30, 2, 0]);
        for _ in 0..ranks.len() {
            ranks.rotate_left(1);
            compare(&ranks)?;
            let mut reversed = ranks.clone();
            reversed.reverse();
            compare(&reversed)?;
        }
        Ok(())
    });
}
