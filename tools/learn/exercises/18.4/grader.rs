use crate::answer::{Settings, TwoThirds, rerank};
use crate::checks::*;

const QUERIES: usize = 30;

/// A usual mistake.
#[derive(Clone, Copy, PartialEq)]
enum Mistake {
    None,
    ShortLists,
    Growing,
    NotExpanded,
    OtherRule,
    NotDivided,
    OwnCopyAveraged,
    TwiceSquared,
    Root,
    HalfDown,
    Weights,
    LambdaExchanged,
}

const MISTAKES: [(Mistake, &str); 11] = [
    (Mistake::OtherRule, "the rule is the same in both forms, or the two are exchanged: compare > and >="),
    (Mistake::ShortLists, "your lists have k images; an image is its own nearest one, so they have k + 1"),
    (
        Mistake::Growing,
        "the two-thirds rule compares with the set that has grown already; it compares with R(p, k1)",
    ),
    (Mistake::NotExpanded, "R(p, k1) is not expanded by the neighbours of its members"),
    (Mistake::NotDivided, "d is not divided by the largest of the row"),
    (
        Mistake::OwnCopyAveraged,
        "the weights are averaged over k2 + 1 images: the k2 nearest include the image itself",
    ),
    (Mistake::TwiceSquared, "the distances are squared twice: those of the matrix are squared already"),
    (Mistake::Root, "d is the squared distance, without a root, divided by the largest one of the row"),
    (Mistake::HalfDown, "k1 / 2 is rounded to the even number if it is a half: 3.5 becomes 4"),
    (Mistake::Weights, "the weights of an image are not divided by their sum"),
    (Mistake::LambdaExchanged, "lambda is the share of d, and 1 - lambda that of the Jaccard distance"),
];

/// The images of a row by their distance.
fn order(row: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[a].total_cmp(&row[b]).then(a.cmp(&b)));
    order
}

/// Members of a set as a row of truth values.
fn reciprocal(ranks: &[Vec<usize>], p: usize, length: usize) -> Vec<bool> {
    (0..ranks.len()).map(|q| ranks[p][q] < length && ranks[q][p] < length).collect()
}

/// The final distances, with a mistake.
fn reference(squared: &[Vec<f64>], settings: Settings, mistake: Mistake) -> Vec<Vec<f64>> {
    let n = squared.len();
    let mut d = squared.to_vec();
    for row in &mut d {
        if mistake == Mistake::TwiceSquared {
            row.iter_mut().for_each(|d| *d *= *d);
        }
        let largest = row.iter().copied().fold(0.0, f64::max);
        if mistake != Mistake::NotDivided {
            row.iter_mut().for_each(|d| *d /= largest);
        }
        if mistake == Mistake::Root {
            row.iter_mut().for_each(|d| *d = d.sqrt());
        }
    }
    let orders: Vec<Vec<usize>> = d.iter().map(|row| order(row)).collect();
    // ranks[p][q]: the place of q in the list of p.
    let mut ranks = vec![vec![0; n]; n];
    for (p, order) in orders.iter().enumerate() {
        order.iter().enumerate().for_each(|(rank, q)| ranks[p][*q] = rank);
    }
    let longer = usize::from(mistake != Mistake::ShortLists);
    let half = match mistake {
        Mistake::HalfDown => settings.k1 / 2,
        _ => (settings.k1 as f64 / 2.0).round_ties_even() as usize,
    };
    let halves: Vec<Vec<bool>> = (0..n).map(|q| reciprocal(&ranks, q, half + longer)).collect();
    let mut weights: Vec<Vec<(usize, f64)>> = Vec::new();
    for p in 0..n {
        let own = reciprocal(&ranks, p, settings.k1 + longer);
        let mut all = own.clone();
        // In the order of the distances, which only a set that grows depends on.
        for &q in orders[p].iter().filter(|q| own[**q] && mistake != Mistake::NotExpanded) {
            let of = if mistake == Mistake::Growing { &all } else { &own };
            let size = halves[q].iter().filter(|is_member| **is_member).count();
            let common = (0..n).filter(|j| halves[q][*j] && of[*j]).count();
            let is_paper = (settings.rule == TwoThirds::GreaterOrEqual) != (mistake == Mistake::OtherRule);
            if 3 * common > 2 * size || (is_paper && 3 * common == 2 * size) {
                (0..n).filter(|j| halves[q][*j]).for_each(|j| all[j] = true);
            }
        }
        let members: Vec<(usize, f64)> = (0..n).filter(|j| all[*j]).map(|j| (j, (-d[p][j]).exp())).collect();
        let sum: f64 = members.iter().map(|(_, weight)| weight).sum();
        let sum = if mistake == Mistake::Weights { 1.0 } else { sum };
        weights.push(members.into_iter().map(|(j, weight)| (j, weight / sum)).collect());
    }
    let count = settings.k2 + usize::from(mistake == Mistake::OwnCopyAveraged);
    let averaged: Vec<Vec<f64>> = orders
        .iter()
        .map(|order| {
            let mut mean = vec![0.0; n];
            for image in &order[..count] {
                weights[*image].iter().for_each(|(j, weight)| mean[*j] += weight / count as f64);
            }
            mean
        })
        .collect();
    let support: Vec<Vec<usize>> =
        averaged.iter().map(|row| (0..n).filter(|j| row[*j] > 0.0).collect()).collect();
    let last = |p: usize, g: usize| {
        let overlap: f64 = support[p].iter().map(|j| averaged[p][*j].min(averaged[g][*j])).sum();
        let share = if mistake == Mistake::LambdaExchanged { 1.0 - settings.lambda } else { settings.lambda };
        (1.0 - share) * (1.0 - overlap / (2.0 - overlap)) + share * d[p][g]
    };
    (0..QUERIES).map(|p| (QUERIES..n).map(|g| last(p, g)).collect()).collect()
}

/// Squared distances of images around the places of 15 persons.
fn squared_distances(seed: u64, images: usize) -> Vec<Vec<f64>> {
    let mut numbers = Numbers::new(seed);
    let persons: Vec<Vec<f64>> = (0..15).map(|_| numbers.many(6)).collect();
    let points: Vec<Vec<f64>> = (0..images)
        .map(|image| persons[image % 15].iter().map(|x| x + 0.6 * numbers.uniform()).collect())
        .collect();
    let squared = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    points.iter().map(|a| points.iter().map(|b| squared(a, b)).collect()).collect()
}

fn largest_difference(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    // A NaN is no small difference.
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |most, own| if own <= most { most } else { own })
}

fn compare(images: usize, settings: Settings) -> Finding {
    let squared = squared_distances(images as u64, images);
    let (got, want) = (rerank(&squared, QUERIES, settings), reference(&squared, settings, Mistake::None));
    let gallery = images - QUERIES;
    let Settings { k1, k2, lambda, rule } = settings;
    let named = format!("{images} images, k1 {k1}, k2 {k2}, lambda {lambda}, {rule:?}");
    that(got.len() == QUERIES && got.iter().all(|row| row.len() == gallery), || {
        format!("{named}: the result must have {QUERIES} rows of {gallery} numbers")
    })?;
    let difference = largest_difference(&got, &want);
    that(difference <= 1e-9, || {
        // Several mistakes may give the same distances here: the one is named that explains other settings too.
        let is_it =
            |mistake: Mistake| largest_difference(&got, &reference(&squared, settings, mistake)) <= 1e-9;
        let mut mistakes: Vec<&(Mistake, &str)> =
            MISTAKES.iter().filter(|(mistake, _)| is_it(*mistake)).collect();
        if mistakes.len() > 1 {
            let explains = |mistake: Mistake| {
                [(7, 3, 0.3), (9, 2, 0.0)].into_iter().all(|(k1, k2, lambda)| {
                    let other = Settings { k1, k2, lambda, rule };
                    let got = rerank(&squared, QUERIES, other);
                    largest_difference(&got, &reference(&squared, other, mistake)) <= 1e-9
                })
            };
            mistakes.retain(|(mistake, _)| explains(*mistake));
        }
        let mistake = mistakes.first();
        let why = mistake.map_or(String::new(), |(_, why)| format!("; {why}"));
        let (p, row) =
            got.iter().enumerate().find(|(p, row)| close("", row, &want[*p], 1e-9).is_err()).unwrap();
        let g = (0..gallery).find(|g| close("", &row[*g..=*g], &want[p][*g..=*g], 1e-9).is_err()).unwrap();
        format!(
            "{named}: query {p} and image {g} of the gallery are at {} instead of {}{why}",
            short(row[g]),
            short(want[p][g])
        )
    })
}

pub fn grade(checks: &mut Checks) {
    for rule in [TwoThirds::Greater, TwoThirds::GreaterOrEqual] {
        let name = match rule {
            TwoThirds::Greater => "more than two thirds",
            TwoThirds::GreaterOrEqual => "two thirds or more",
        };
        checks.check(name, || {
            let settings = |k1, k2, lambda| Settings { k1, k2, lambda, rule };
            compare(60, settings(5, 1, 0.0))?;
            compare(60, settings(7, 3, 0.3))?;
            compare(120, settings(20, 6, 0.3))?;
            compare(120, settings(9, 2, 0.0))?;
            compare(120, settings(12, 4, 0.8))
        });
    }
    checks.check("the two forms differ", || {
        let squared = squared_distances(120, 120);
        let of = |rule| rerank(&squared, QUERIES, Settings { k1: 9, k2: 2, lambda: 0.0, rule });
        let difference = largest_difference(&of(TwoThirds::Greater), &of(TwoThirds::GreaterOrEqual));
        that(difference > 1e-6, || {
            "both forms give the same distances: where exactly two thirds are common, the paper's form adds them".into()
        })
    });
}
