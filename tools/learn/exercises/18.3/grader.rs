use crate::answer::{Figures, Image, evaluate};
use crate::checks::*;

#[path = "../../../../src/eval/metrics.rs"]
mod product;

const DIM: usize = 24;

/// The rule for two images at the same distance.
#[derive(Clone, Copy, PartialEq)]
enum Ties {
    InOrder,
    LaterFirst,
    MatchFirst,
    MatchLast,
}

fn squared_distance(a: &Image, b: &Image) -> f64 {
    a.feature.iter().zip(&b.feature).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

/// The figures, by counting the images that come before each match, and the product's scores.
fn figures(queries: &[Image], gallery: &[Image], ties: Ties) -> Figures {
    let mut scores = Vec::new();
    for query in queries {
        let counts = |image: &Image| {
            image.person != -1 && (image.person, image.camera) != (query.person, query.camera)
        };
        let kept: Vec<(f64, usize)> = (0..gallery.len())
            .filter(|at| counts(&gallery[*at]))
            .map(|at| (squared_distance(query, &gallery[at]), at))
            .collect();
        let is_match = |at: usize| gallery[at].person == query.person;
        let before = |a: (f64, usize), b: (f64, usize)| {
            let places = match ties {
                Ties::InOrder => a.1 < b.1,
                Ties::LaterFirst => a.1 > b.1,
                Ties::MatchFirst => (!is_match(a.1), a.1) < (!is_match(b.1), b.1),
                Ties::MatchLast => (is_match(a.1), a.1) < (is_match(b.1), b.1),
            };
            a.0 < b.0 || a.0 == b.0 && places
        };
        let matches = kept.iter().filter(|(_, at)| is_match(*at));
        let mut ranks: Vec<usize> =
            matches.map(|image| 1 + kept.iter().filter(|other| before(**other, *image)).count()).collect();
        ranks.sort_unstable();
        scores.extend(product::Score::from_ranks(&ranks));
    }
    let map = scores.iter().map(|score| score.ap_market).sum::<f64>() / scores.len() as f64;
    let cmc = product::cmc(scores.iter().copied(), 5, scores.len());
    Figures { cmc: [0, 1, 2, 3, 4].map(|k| cmc[k]), map }
}

fn is_equal(a: &Figures, b: &Figures) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9;
    near(a.map, b.map) && a.cmc.iter().zip(&b.cmc).all(|(a, b)| near(*a, *b))
}

fn in_percent(figures: &Figures) -> String {
    let cmc: Vec<String> = figures.cmc.iter().map(|share| format!("{:.1}", 100.0 * share)).collect();
    format!("CMC {} %, mAP {:.1} %", cmc.join(" "), 100.0 * figures.map)
}

/// Compares the figures; `why` explains others than those of another rule for ties.
fn compare(name: &str, queries: &[Image], gallery: &[Image], why: impl Fn() -> String) -> Finding {
    let (got, want) = (evaluate(queries, gallery), figures(queries, gallery, Ties::InOrder));
    let rules = [
        (Ties::LaterFirst, "of two images at the same distance the later one comes first in your order"),
        (Ties::MatchFirst, "among images at the same distance a match comes first in your order"),
        (Ties::MatchLast, "among images at the same distance a match comes last in your order"),
    ];
    that(is_equal(&got, &want), || {
        let rule = rules.iter().find(|(ties, _)| is_equal(&got, &figures(queries, gallery, *ties)));
        let why = rule.map_or_else(why, |(_, rule)| format!("{rule}; the order of the gallery decides"));
        format!("{name}: {} instead of {}; {why}", in_percent(&got), in_percent(&want))
    })
}

/// Queries and a gallery whose images have so many different features. Distances that are not equal are far apart.
fn images(seed: u64, size: usize, features: usize) -> (Vec<Image>, Vec<Image>) {
    let mut numbers = Numbers::new(seed);
    loop {
        let kinds: Vec<Vec<f32>> = (0..features).map(|_| numbers.many_f32(DIM)).collect();
        let image = |numbers: &mut Numbers, feature: Vec<f32>, persons: usize, first: i64| Image {
            feature,
            person: first + numbers.below(persons) as i64,
            camera: 1 + numbers.below(2) as i64,
        };
        let mut queries = Vec::new();
        for _ in 0..12 {
            let feature = numbers.many_f32(DIM);
            queries.push(image(&mut numbers, feature, 3, 1));
        }
        let mut gallery = Vec::new();
        for at in 0..size {
            let feature = kinds[if features < size { numbers.below(features) } else { at }].clone();
            gallery.push(image(&mut numbers, feature, 5, -1));
        }
        let far_apart = |query: &Image| {
            let mut distances: Vec<f64> =
                gallery.iter().map(|image| squared_distance(query, image)).collect();
            distances.sort_by(f64::total_cmp);
            distances.windows(2).all(|pair| pair[0] == pair[1] || pair[1] - pair[0] > 1e-3)
        };
        let has_match = |query: &Image| {
            gallery.iter().any(|image| image.person == query.person && image.camera != query.camera)
        };
        if queries.iter().all(far_apart) && queries.iter().any(has_match) {
            return (queries, gallery);
        }
    }
}

/// Images whose distances to a query differ by less than a thousandth, and by far more than they round.
fn nearly_equal(seed: u64) -> (Vec<Image>, Vec<Image>) {
    let (mut queries, mut gallery) = images(seed, 24, 24);
    let mut numbers = Numbers::new(seed);
    let feature = gallery[0].feature.clone();
    queries.retain(|query| (query.feature[0] - feature[0]).abs() > 0.2);
    let places = shuffled(&mut numbers, &(0..gallery.len()).collect::<Vec<_>>());
    for (image, place) in gallery.iter_mut().zip(places) {
        image.feature = feature.clone();
        image.feature[0] += 1e-4 * place as f32;
    }
    (queries, gallery)
}

fn shuffled<T: Clone>(numbers: &mut Numbers, items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    (1..items.len()).rev().for_each(|at| items.swap(at, numbers.below(at + 1)));
    items
}

/// The orders of one gallery, and in words how far the figures move.
fn orders(queries: &[Image], gallery: &[Image]) -> (Vec<Vec<Image>>, String) {
    let mut numbers = Numbers::new(183);
    let orders: Vec<Vec<Image>> = (0..20).map(|_| shuffled(&mut numbers, gallery)).collect();
    let all: Vec<Figures> = orders.iter().map(|order| figures(queries, order, Ties::InOrder)).collect();
    let range = |of: fn(&Figures) -> f64| {
        let (low, high) =
            all.iter().map(of).fold((1.0f64, 0.0f64), |(low, high), own| (low.min(own), high.max(own)));
        format!("{:.1} to {:.1} %", 100.0 * low, 100.0 * high)
    };
    let words = format!("by the rule rank-1 is {}, mAP {}", range(|own| own.cmc[0]), range(|own| own.map));
    (orders, words)
}

pub fn grade(checks: &mut Checks) {
    checks.check("galleries without ties", || {
        for size in [3, 8, 21, 40] {
            let (queries, gallery) = images(size as u64, size, size);
            let name = format!("{size} images without ties");
            compare(&name, &queries, &gallery, || "the order by the distances was right before".into())?;
        }
        Ok(())
    });
    checks.check("distances that are nearly equal", || {
        (0..5).try_for_each(|seed| {
            let (queries, gallery) = nearly_equal(250 + seed);
            compare("24 images at nearly the same distance", &queries, &gallery, || {
                "only images at exactly the same distance are a tie: do not round the distances".into()
            })
        })
    });
    checks.check("ties inside of one tile", || {
        (0..20).try_for_each(|seed| {
            let (queries, gallery) = images(100 + seed, 8, 3);
            compare("8 images with 3 different features", &queries, &gallery, || {
                "images at the same distance stand in the order of the gallery".into()
            })
        })
    });
    checks.check("equal features in tiles of different sizes", || {
        for (size, features) in [(9, 3), (13, 4), (23, 6), (42, 8)] {
            let (queries, gallery) = images(200 + size as u64, size, features);
            let last = size / 8 * 8;
            let twins = (0..last).flat_map(|a| (last..size).map(move |b| (a, b)));
            let twins = twins.filter(|(a, b)| gallery[*a].feature == gallery[*b].feature).collect::<Vec<_>>();
            let (a, b) = twins[0];
            compare(&format!("{size} images with {features} different features"), &queries, &gallery, || {
                format!(
                    "the images {a} and {b} (of {size}) have the same feature, bit by bit, in tiles of different \
                     sizes; so their distances to a query must be equal, bit by bit"
                )
            })?;
        }
        Ok(())
    });
    for (size, features) in [(40, 6), (60, 2), (100, 1)] {
        let (queries, gallery) = images(300 + size as u64, size, features);
        let (orders, words) = orders(&queries, &gallery);
        let plural = if features == 1 { "" } else { "s" };
        checks.check(&format!("20 orders of {size} images with {features} feature{plural}: {words}"), || {
            orders.iter().try_for_each(|gallery| {
                compare(&format!("{size} images"), &queries, gallery, || {
                    "images at the same distance stand in the order of the gallery".into()
                })
            })
        });
    }
}
