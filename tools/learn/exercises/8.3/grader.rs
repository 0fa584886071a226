use crate::answer::Moments;
use crate::checks::*;

/// Values with a deviation of about 1 around a mean, in chunks of these lengths.
fn chunks(mean: f64, lengths: &[usize]) -> Vec<Vec<f32>> {
    let mut numbers = Numbers::new(83);
    let value = |numbers: &mut Numbers| (mean + 1.7 * numbers.uniform()) as f32;
    lengths.iter().map(|&length| (0..length).map(|_| value(&mut numbers)).collect()).collect()
}

/// Count, mean and squares of all values, in f64: the second walk has the mean of the first.
fn exact(chunks: &[Vec<f32>]) -> [f64; 3] {
    let values = || chunks.iter().flatten().map(|x| f64::from(*x));
    let count = values().count() as f64;
    // A sum about the first value, since a sum of large numbers rounds.
    let first = values().next().unwrap_or(0.0);
    let mean = first + values().map(|x| x - first).sum::<f64>() / count.max(1.0);
    [count, mean, values().map(|x| (x - mean).powi(2)).sum()]
}

/// Compares the statistics of chunks: of one, or merged.
fn compare(found: Moments, chunks: &[Vec<f32>], is_merged: bool) -> Finding {
    let [count, mean, squares] = exact(chunks);
    that(found.count == count, || format!("count is {} instead of {count}", found.count))?;
    close("mean", &[found.mean], &[mean], 1e-9).map_err(|_| {
        let why = match (count == 0.0, is_merged) {
            (true, _) => ": that of no values is 0, by definition",
            (_, true) => ": a chunk counts as often as it has values",
            _ => "",
        };
        format!("the mean is {} instead of {mean}{why}", found.mean)
    })?;
    let error = (found.squares - squares).abs() / squares.max(1e-300);
    // Written so that NaN fails.
    let is_right = found.squares == squares || error <= 1e-6;
    if is_right {
        return Ok(());
    }
    let within: f64 = chunks.iter().map(|chunk| exact(std::slice::from_ref(chunk))[2]).sum();
    let is_part = |divisor: f64| (found.squares * divisor - squares).abs() <= 1e-6 * squares;
    let why = if is_merged && (found.squares - within).abs() <= 1e-6 * squares {
        "the chunks have different means, and their distance adds to the squares"
    } else if is_merged {
        "each chunk alone is right; the squared distance of two means has a factor, which is the same if the two \
         chunks are exchanged, and a difference of squares of the means loses digits"
    } else if count > 1.0 && (is_part(count) || is_part(count - 1.0)) {
        "that is the variance; the sum is not divided by the number of values"
    } else {
        "take the distances to a mean, not the squares of the values"
    };
    Err(format!("the squares are {} instead of {}: {why}", short(found.squares), short(squares)))
}

/// Merges from the first to the last, and in pairs.
fn all(mean: f64, lengths: &[usize]) -> Finding {
    let chunks = chunks(mean, lengths);
    for (at, chunk) in chunks.iter().enumerate() {
        compare(Moments::of(chunk), std::slice::from_ref(chunk), false)
            .map_err(|found| format!("chunk {at}, {} values: {found}", chunk.len()))?;
    }
    let own = || chunks.iter().map(|chunk| Moments::of(chunk));
    compare(own().fold(Moments::default(), Moments::merge), &chunks, true)
        .map_err(|found| format!("merged from the first to the last: {found}"))?;
    let mut level: Vec<Moments> = own().collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| pair.iter().copied().reduce(Moments::merge).unwrap_or_default())
            .collect();
    }
    compare(level[0], &chunks, true).map_err(|found| format!("merged in pairs: {found}"))
}

pub fn grade(checks: &mut Checks) {
    let lengths: [(&str, &[usize]); 5] = [
        ("two equal chunks", &[64, 64]),
        ("different lengths", &[1000, 7, 300, 2, 64, 1]),
        ("chunks of one value", &[1; 50]),
        ("one chunk", &[33]),
        ("an empty chunk", &[5, 0, 9]),
    ];
    for (name, lengths) in lengths {
        checks.check(name, || all(0.0, lengths));
    }
    checks.check("a mean of 1e6", || all(1e6, &[1000, 7, 300, 2, 64, 1, 5000]));
    checks.check("nothing at all", || {
        let nothing = Moments::default().merge(Moments::of(&[]));
        that(nothing == Moments::default(), || format!("no value and no value merge to {nothing:?}"))
    });
}
