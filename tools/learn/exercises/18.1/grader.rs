use crate::answer;
use crate::checks::*;

#[path = "../../../../src/eval/metrics.rs"]
mod product;

const NAMES: [&str; 4] = ["rank-1", "the trapezoid", "the finite sum", "INP"];

/// A query and its gallery.
struct Case {
    distances: Vec<f32>,
    query: (i64, i64),
    gallery: Vec<(i64, i64)>,
}

/// A usual mistake.
#[derive(Clone, Copy, PartialEq)]
enum Mistake {
    None,
    Junk,
    OwnCamera,
    WholeCamera,
    Distractors,
    NearerOnly,
    LaterFirst,
}

const MISTAKES: [(Mistake, &str); 6] = [
    (Mistake::Junk, "junk has a rank in your order; it is dropped"),
    (
        Mistake::OwnCamera,
        "images of the query's person under the query's camera have a rank; they are dropped",
    ),
    (Mistake::WholeCamera, "other persons under the query's camera are dropped; they stay"),
    (Mistake::Distractors, "distractors are dropped; they stay, and are wrong"),
    (
        Mistake::NearerOnly,
        "among images at the same distance a match comes first; the order of the gallery decides",
    ),
    (
        Mistake::LaterFirst,
        "of two images at the same distance the later comes first; the order of the gallery decides",
    ),
];

/// The ranks of the matches, by counting the images that come before each.
fn ranks(case: &Case, mistake: Mistake) -> Vec<usize> {
    let (person, camera) = case.query;
    let counts = |image: &usize| {
        let own = case.gallery[*image];
        (own.0 != -1 || mistake == Mistake::Junk)
            && (own != case.query || mistake == Mistake::OwnCamera)
            && (own.1 != camera || own.0 == person || mistake != Mistake::WholeCamera)
            && (own.0 != 0 || mistake != Mistake::Distractors)
    };
    let kept: Vec<usize> = (0..case.gallery.len()).filter(counts).collect();
    let before = |a: usize, b: usize| {
        let (a_is_near, is_tie) =
            (case.distances[a] < case.distances[b], case.distances[a] == case.distances[b]);
        a_is_near
            || is_tie
                && match mistake {
                    Mistake::NearerOnly => {
                        let is_match = |image: usize| case.gallery[image].0 == person;
                        (!is_match(a), a) < (!is_match(b), b)
                    }
                    Mistake::LaterFirst => a > b,
                    _ => a < b,
                }
    };
    let matches = kept.iter().filter(|image| case.gallery[**image].0 == person);
    let mut ranks: Vec<usize> =
        matches.map(|&image| 1 + kept.iter().filter(|other| before(**other, image)).count()).collect();
    ranks.sort_unstable();
    ranks
}

/// The product's scores of ranks.
fn scores(ranks: &[usize]) -> Option<[f64; 4]> {
    let score = product::Score::from_ranks(ranks)?;
    Some([f64::from(score.first_rank == 1), score.ap_market, score.ap_sum, score.inp])
}

fn is_equal(got: Option<[f64; 4]>, want: Option<[f64; 4]>) -> bool {
    match (got, want) {
        (Some(got), Some(want)) => got.iter().zip(&want).all(|(got, want)| (got - want).abs() <= 1e-9),
        (got, want) => got.is_none() && want.is_none(),
    }
}

/// Whether the answer has this mistake for other queries too.
fn explains(mistake: Mistake) -> bool {
    let mut numbers = Numbers::new(1813);
    (0..200).map(|_| case(&mut numbers, 6, 5)).filter(|case| !ranks(case, Mistake::None).is_empty()).all(
        |case| {
            let got = answer::evaluate(&case.distances, case.query, &case.gallery);
            is_equal(got, scores(&ranks(&case, mistake)))
        },
    )
}

fn compare(case: &Case) -> Finding {
    let got = answer::evaluate(&case.distances, case.query, &case.gallery);
    let own = ranks(case, Mistake::None);
    let want = scores(&own);
    if is_equal(got, want) {
        return Ok(());
    }
    let Case { distances, query, gallery } = case;
    let images: Vec<String> = gallery
        .iter()
        .zip(distances)
        .map(|((person, camera), distance)| format!("{person} {camera} {distance}"))
        .collect();
    let shown = format!(
        "query {} {}; gallery (person, camera, distance): {}; ranks of the matches {own:?}",
        query.0,
        query.1,
        images.join(", ")
    );
    let (got, want) = match (got, want) {
        (Some(got), Some(want)) => (got, want),
        (None, _) => return Err(format!("{shown}: your answer is None, and there is a match")),
        (got, None) => return Err(format!("{shown}: {got:?}; without a match None is asked for")),
    };
    let at = (0..4).find(|&at| (got[at] - want[at]).abs() > 1e-9 || got[at].is_nan()).unwrap_or(0);
    // Several mistakes may explain this query: the one is named that explains others too.
    let mut mistakes: Vec<&(Mistake, &str)> =
        MISTAKES.iter().filter(|(mistake, _)| is_equal(Some(got), scores(&ranks(case, *mistake)))).collect();
    if mistakes.len() > 1 {
        mistakes.retain(|(mistake, _)| explains(*mistake));
    }
    let mistake = mistakes.first();
    // A trapezoid alone is wrong where a match is at rank 1 and the precision before it is taken as 0.
    let zero_before = want[1] - 0.5 / own.len() as f64;
    let why = match mistake {
        Some((_, why)) => format!("; {why}"),
        None if own[0] == 1 && at == 1 && (got[1] - zero_before).abs() < 1e-9 => {
            "; the precision before rank 1: the last fraction is 1 where r = 1".into()
        }
        None if is_equal(Some([got[0], got[2], got[1], got[3]]), Some(want)) => {
            "; the two average precisions are exchanged: the trapezoid comes first".into()
        }
        None => String::new(),
    };
    Err(format!("{shown}: {} is {} instead of {}{why}", NAMES[at], short(got[at]), short(want[at])))
}

/// A random query. Distances come from so many values, and persons from -1 (junk) and 0 (a distractor) up.
fn case(numbers: &mut Numbers, images: usize, values: usize) -> Case {
    let persons = 1 + numbers.below(5);
    let cameras = 1 + numbers.below(3);
    let image =
        |numbers: &mut Numbers| (numbers.below(persons + 2) as i64 - 1, 1 + numbers.below(cameras) as i64);
    let query = (1 + numbers.below(persons) as i64, 1 + numbers.below(cameras) as i64);
    let gallery = (0..images).map(|_| image(numbers)).collect();
    let distances = (0..images).map(|_| 0.001 * (1 + numbers.below(values)) as f32).collect();
    Case { distances, query, gallery }
}

pub fn grade(checks: &mut Checks) {
    checks.check("the gallery of the chapter", || {
        let gallery = vec![(7, 2), (8, 1), (7, 3), (9, 2)];
        compare(&Case { distances: vec![0.9, 0.3, 0.5, 0.7], query: (7, 1), gallery })
    });
    checks.check("galleries of one image", || {
        let mut numbers = Numbers::new(1811);
        (0..100).try_for_each(|_| compare(&case(&mut numbers, 1, 1)))
    });
    checks.check("1,000 random queries", || {
        let mut numbers = Numbers::new(1812);
        // Small galleries first, so that a finding is short. Few values of the distances give many ties.
        for images in 1..=20 {
            for values in [1_000_000, 5] {
                (0..25).try_for_each(|_| compare(&case(&mut numbers, images, values)))?;
            }
        }
        Ok(())
    });
}
