// Expect: do not round the distances
//! An evaluator that agrees with the product on ties.

/// An image: its feature, its person (-1: junk, 0: a distractor), and its camera.
#[derive(Clone, Debug)]
pub struct Image {
    pub feature: Vec<f32>,
    pub person: i64,
    pub camera: i64,
}

/// CMC at the ranks 1 to 5, and the mean of the average precisions by trapezoids. Queries without a match are left out.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub cmc: [f64; 5],
    pub map: f64,
}

/// Images that are compared with a query at once.
const TILE: usize = 8;

pub fn evaluate(queries: &[Image], gallery: &[Image]) -> Figures {
    let lists: Vec<Vec<usize>> =
        queries.iter().map(|query| ranks(query, gallery)).filter(|ranks| !ranks.is_empty()).collect();
    let n = lists.len() as f64;
    let cmc = |k: usize| lists.iter().filter(|ranks| ranks[0] <= k).count() as f64 / n;
    let map = lists.iter().map(|ranks| average_precision(ranks)).sum::<f64>() / n;
    Figures { cmc: [cmc(1), cmc(2), cmc(3), cmc(4), cmc(5)], map }
}

/// The ranks of the matches, ascending.
fn ranks(query: &Image, gallery: &[Image]) -> Vec<usize> {
    let distances = distances(query, gallery);
    let counts =
        |image: &Image| image.person != -1 && (image.person, image.camera) != (query.person, query.camera);
    let mut order: Vec<usize> = (0..gallery.len()).filter(|&at| counts(&gallery[at])).collect();
    // Stable: images at the same distance stay in the order of the gallery.
    order.sort_by(|&a, &b| (1e4 * distances[a]).round().total_cmp(&(1e4 * distances[b]).round()));
    (1..).zip(order).filter(|(_, at)| gallery[*at].person == query.person).map(|(rank, _)| rank).collect()
}

/// The squared distances of the gallery to a query, tile by tile.
fn distances(query: &Image, gallery: &[Image]) -> Vec<f32> {
    let mut distances = Vec::new();
    for tile in gallery.chunks(TILE) {
        for image in tile {
            let squares = query.feature.iter().zip(&image.feature).map(|(q, g)| (q - g) * (q - g));
            // One sum for all tiles: the last one may be smaller, and must round in the same way.
            distances.push(in_lanes(squares));
        }
    }
    distances
}

/// A sum in four parts, as a vector unit adds.
fn in_lanes(values: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0.0; 4];
    values.enumerate().for_each(|(at, value)| lanes[at % 4] += value);
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

fn average_precision(ranks: &[usize]) -> f64 {
    let at = |(found, &rank): (usize, &usize)| {
        let before = if rank == 1 { 1.0 } else { found as f64 / (rank - 1) as f64 };
        ((found + 1) as f64 / rank as f64 + before) / 2.0
    };
    ranks.iter().enumerate().map(at).sum::<f64>() / ranks.len() as f64
}
