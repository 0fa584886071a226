//! k-reciprocal re-ranking against a plain dense version in f64, against NumPy's golden distances, and
//! against numbers worked out on paper.

use bcreid::device::Device;
use bcreid::eval::distance::Block;
use bcreid::eval::rerank::{Neighbours, Rerank, Reranked};
use bcreid::tensor::philox::{Philox, RngStream};
use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;
use safetensors::SafeTensors;

/// Query and gallery features, and their number of values.
#[derive(Clone, Debug)]
struct Images {
    query: Vec<f32>,
    gallery: Vec<f32>,
    dim: usize,
}

impl Images {
    fn queries(&self) -> usize {
        self.query.len() / self.dim
    }

    fn gallery(&self) -> usize {
        self.gallery.len() / self.dim
    }

    /// Our final distances [Q, G].
    fn reranked(&self, settings: &Rerank) -> Array2<f32> {
        let device = Device::cpu();
        let reranked = Reranked::new(&self.query, &self.gallery, self.dim, settings, &device).unwrap();
        let mut all = Array2::from_elem((self.queries(), self.gallery()), f32::NAN);
        let mut block = Block::default();
        for index in 0..reranked.blocks() {
            reranked.compute(index, &mut block).unwrap();
            for (row, query) in block.queries().enumerate() {
                let values: Array1<f32> = block.row(row).pieces().flatten().copied().collect();
                assert_eq!(values[self.gallery() / 2], block.row(row).at(self.gallery() / 2));
                all.row_mut(query).assign(&values);
            }
        }
        all
    }

    #[track_caller]
    fn assert_agrees(&self, settings: &Rerank, tolerance: f64) {
        let (ours, plain) = (self.reranked(settings).mapv(f64::from), plain(self, settings));
        let apart = (&ours - &plain).mapv(f64::abs);
        let worst = apart.indexed_iter().fold(((0, 0), 0.0), |w, (at, &a)| if a > w.1 { (at, a) } else { w });
        assert!(apart.iter().all(|a| *a <= tolerance), "{settings:?}: {worst:?} of {:?}", apart.dim());
        assert!(ours.iter().all(|d| (0.0..=1.0 + 1e-6).contains(d)));
    }
}

fn settings(k1: usize, k2: usize, lambda: f64) -> Rerank {
    Rerank { k1, k2, lambda }
}

/// The definition, with every matrix written out. Equal distances are in the order of the images.
fn plain(images: &Images, settings: &Rerank) -> Array2<f64> {
    let values = [&images.query[..], &images.gallery].concat().into_iter().map(f64::from).collect();
    let n = images.queries() + images.gallery();
    let x = Array2::from_shape_vec((n, images.dim), values).unwrap();
    let mut d = Array2::<f64>::zeros((n, n));
    for (i, mut row) in d.outer_iter_mut().enumerate() {
        row.assign(&(&x - &x.row(i)).mapv(|v| v * v).sum_axis(Axis(1)));
        let largest = row.fold(0.0, |a: f64, &b| a.max(b));
        row.mapv_inplace(|v| if largest > 0.0 { v / largest } else { 0.0 });
    }
    let order: Vec<Vec<usize>> = d
        .outer_iter()
        .map(|row| {
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&a, &b| row[a].total_cmp(&row[b]));
            order
        })
        .collect();
    let list = |i: usize, length: usize| &order[i][..length.min(n)];
    // mutual[i][j] within lists that have k images beside the image itself.
    let mutual = |k: usize| {
        let within = Array2::from_shape_fn((n, n), |(i, j)| list(i, k + 1).contains(&j));
        Array2::from_shape_fn((n, n), |(i, j)| within[[i, j]] && within[[j, i]])
    };
    let half = match settings.k1 % 4 {
        3 => settings.k1 / 2 + 1,
        _ => settings.k1 / 2,
    };
    let (whole, half) = (mutual(settings.k1), mutual(half));
    let mut v = Array2::<f64>::zeros((n, n));
    for i in 0..n {
        let mut set = whole.row(i).to_owned();
        for q in (0..n).filter(|&q| whole[[i, q]]) {
            let theirs: Vec<usize> = (0..n).filter(|&j| half[[q, j]]).collect();
            let common = theirs.iter().filter(|&&j| whole[[i, j]]).count();
            if common as f64 > 2.0 / 3.0 * theirs.len() as f64 {
                theirs.into_iter().for_each(|j| set[j] = true);
            }
        }
        let weights = Array1::from_shape_fn(n, |j| if set[j] { (-d[[i, j]]).exp() } else { 0.0 });
        let sum = weights.sum();
        if sum > 0.0 {
            v.row_mut(i).assign(&(weights / sum));
        }
    }
    if settings.k2 > 1 {
        let mut means = Array2::zeros((n, n));
        for (i, mut row) in means.outer_iter_mut().enumerate() {
            row.assign(&v.select(Axis(0), list(i, settings.k2)).mean_axis(Axis(0)).unwrap());
        }
        v = means;
    }
    let queries = images.queries();
    Array2::from_shape_fn((queries, images.gallery()), |(q, g)| {
        let pairs = || v.row(q).into_iter().zip(v.row(queries + g));
        let overlap: f64 = pairs().map(|(a, b)| a.min(*b)).sum();
        let jaccard = 1.0 - overlap / (2.0 - overlap);
        (1.0 - settings.lambda) * jaccard + settings.lambda * d[[q, queries + g]]
    })
}

/// One-dimensional images: places on a line.
fn line(query: &[f32], gallery: &[f32]) -> Images {
    Images { query: query.to_vec(), gallery: gallery.to_vec(), dim: 1 }
}

#[track_caller]
fn assert_row(images: &Images, settings: &Rerank, expected: [f64; 3]) {
    let row = images.reranked(settings);
    let near = row.iter().zip(expected).all(|(&d, e)| (f64::from(d) - e).abs() < 1e-6);
    assert!(near, "{row} instead of {expected:?}");
}

/// The query q = 0 and a = 1 find each other; b = 3 finds a, c = 10 finds b, and neither is found back. Largest squared
/// distances: 100 from q, 81 from a. Weights of q: 1 and exp(-1/100) over their sum, 0.5025 at q and 0.4975 at a; of
/// a: 0.496914 at q and 0.503086 at a. The smaller ones add up to 0.994414.
#[test]
fn four_images_on_a_line() {
    let images = line(&[0.0], &[1.0, 3.0, 10.0]);
    let jaccard = 1.0 - 0.994414 / (2.0 - 0.994414);
    assert_row(&images, &settings(1, 1, 0.0), [jaccard, 1.0, 1.0]);
    assert_row(&images, &settings(1, 1, 0.3), [0.7 * jaccard + 0.3 * 0.01, 0.7 + 0.3 * 0.09, 1.0]);
    assert_row(&images, &settings(1, 1, 1.0), [0.01, 0.09, 1.0]);
    // The mean of an image's and its nearest one's: q and a become the same; b has half of a's, which overlaps with
    // them by a half; c has a half of its own and half of b's.
    assert_row(&images, &settings(1, 2, 0.0), [0.0, 1.0 - 0.5 / 1.5, 1.0]);
}

/// Small integers: every distance is exact, and most are tied.
fn small_integers(rows: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-2i8..=2).prop_map(f32::from), 3..=3 * rows).prop_map(|mut values| {
        values.truncate(values.len() / 3 * 3);
        values
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_on_tied_features(
        query in small_integers(12),
        gallery in small_integers(50),
        k1 in 1usize..30,
        k2 in 1usize..12,
        lambda in prop::sample::select(vec![0.0, 0.3, 0.7, 1.0]),
    ) {
        Images { query, gallery, dim: 3 }.assert_agrees(&settings(k1, k2, lambda), 1e-6);
    }
}

/// People that are clouds of images around their centre, as wide as the people are apart.
fn clouds(queries: usize, gallery: usize, dim: usize, people: usize) -> Images {
    let rows = |count: usize, stream: u64| {
        let draws = Philox::new(7, stream, 0, RngStream::Test);
        let centres = Philox::new(7, 0, 0, RngStream::Test);
        let value = |i: usize| {
            let centre = (i / dim % people * dim + i % dim) as u32;
            centres.normal(centre) + draws.normal(i as u32)
        };
        (0..count * dim).map(value).collect()
    };
    Images { query: rows(queries, 1), gallery: rows(gallery, 2), dim }
}

/// Several bands, blocks and tiles on both sides, with remainders.
#[test]
fn agrees_across_bands() {
    let images = clouds(300, 900, 24, 60);
    for (k1, k2, lambda) in [(20, 6, 0.3), (20, 1, 0.0), (7, 30, 0.3)] {
        images.assert_agrees(&settings(k1, k2, lambda), 1e-6);
    }
    clouds(800, 300, 5, 60).assert_agrees(&Rerank::default(), 1e-6);
}

#[test]
fn few_images_have_few_neighbours() {
    for (queries, gallery) in [(1, 1), (1, 2), (3, 1), (2, 18), (9, 12)] {
        let images = clouds(queries, gallery, 4, 3);
        for (k1, k2, lambda) in [(20, 6, 0.3), (1000, 1000, 0.0), (1, 1, 0.5)] {
            images.assert_agrees(&settings(k1, k2, lambda), 1e-6);
        }
    }
}

#[test]
fn images_that_are_all_the_same_are_at_one_distance() {
    let images = line(&[2.5; 3], &[2.5; 40]);
    images.assert_agrees(&Rerank::default(), 1e-6);
    assert!(images.reranked(&settings(20, 6, 1.0)).iter().all(|&d| d == 0.0));
}

/// Every image three times over, once in the query and twice in the gallery, where the list lengths 18, 9 and 6 end
/// between images and not among copies.
#[test]
fn copies_of_a_gallery_image_tie_exactly() {
    for (people, dim) in [(90, 1500), (300, 40)] {
        let mut images = clouds(people, people, dim, people / 4);
        images.query = images.gallery.clone();
        images.gallery.extend_from_within(..);
        let settings = settings(17, 6, 0.3);
        images.assert_agrees(&settings, 1e-6);
        let distances = images.reranked(&settings);
        for row in distances.outer_iter() {
            let bits: Vec<u32> = row.iter().map(|d| d.to_bits()).collect();
            assert_eq!(bits[..people], bits[people..]);
        }
    }
}

/// The order of distances that products in f32 cannot tell apart: far from the origin, two thirds of the digits are
/// lost.
#[test]
fn near_neighbours_are_ordered_by_exact_distances() {
    let mut images = clouds(40, 60, 3, 20);
    for values in [&mut images.query, &mut images.gallery] {
        values.iter_mut().for_each(|v| *v = (*v * 256.0).round() / 256.0 + 200.0);
    }
    let distance = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
    };
    let (all, dim) = ([&images.query[..], &images.gallery].concat(), images.dim);
    let found = Neighbours::find(&images.query, &images.gallery, dim, 10, &Device::cpu()).unwrap();
    for (i, row) in all.chunks(dim).enumerate() {
        let mut order: Vec<u32> = (0..100).collect();
        let to = |j: u32| distance(row, &all[j as usize * dim..][..dim]);
        order.sort_by(|&a, &b| to(a).total_cmp(&to(b)));
        assert_eq!(found.nearest(i, 10), &order[..10]);
        assert_eq!(found.squared_distance(i, order[7]), Some(to(order[7])));
        assert_eq!(found.squared_distance(i, order[10]), None);
        let farthest = to(order[99]);
        assert!((f64::from(found.farthest(i)) - farthest).abs() < 0.1 + 1e-6 * farthest);
    }
}

/// The same bits on one thread and on seven.
#[test]
fn threads_do_not_change_the_distances() {
    let images = clouds(300, 800, 130, 60);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| images.reranked(&Rerank::default()).mapv(f32::to_bits))
    };
    assert_eq!(on(1), on(7));
}

/// Re-ranking is for this: an image that the original distance puts behind another person's.
#[test]
fn neighbours_bring_a_far_image_of_the_same_person_forward() {
    // A chain of the query's person, and another person's images on the other side, close to each other.
    let images = line(&[0.0], &[1.0, 2.0, 3.0, -2.5, -2.6, -2.7, -2.8]);
    let row = images.reranked(&settings(3, 1, 0.0));
    assert!(row[[0, 2]] < row[[0, 3]], "{row}");
}

#[test]
fn senseless_settings_are_named() {
    let refusal = |k1, k2, lambda| {
        let error = Reranked::new(&[0.0], &[1.0], 1, &settings(k1, k2, lambda), &Device::cpu());
        error.err().expect("an error").to_string()
    };
    assert!(refusal(0, 6, 0.3).contains("k1 is 0"), "{}", refusal(0, 6, 0.3));
    assert!(refusal(1001, 6, 0.3).contains("k1 is 1001"));
    assert!(refusal(20, 0, 0.3).contains("k2 is 0"));
    assert!(refusal(20, usize::MAX, 0.3).contains("k2 is 18446744073709551615"));
    for lambda in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(refusal(20, 6, lambda).contains(&format!("lambda is {lambda}")));
    }
}

/// tests/golden/rerank.safetensors, made by tests/golden/rerank.py.
#[test]
fn agrees_with_numpy() {
    let path = format!("{}/tests/golden/rerank.safetensors", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |name: &str| -> Vec<f32> {
        let words = file.tensor(name).unwrap().data().as_chunks().0.iter();
        words.map(|&word| f32::from_le_bytes(word)).collect()
    };
    let dim = file.tensor("query").unwrap().shape()[1];
    let images = Images { query: values("query"), gallery: values("gallery"), dim };
    let mut compared = 0;
    for name in file.names().into_iter().filter(|name| name.contains(' ')) {
        let numbers: Vec<&str> = name.split(' ').collect();
        let [k1, k2] = [0, 1].map(|i| numbers[i].parse().unwrap());
        let ours = images.reranked(&settings(k1, k2, numbers[2].parse().unwrap()));
        let golden = values(name);
        assert_eq!((ours.len(), ours.dim()), (golden.len(), (12, 40)));
        let apart = ours.iter().zip(golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{name}: {apart:.1e} apart");
        compared += 1;
    }
    assert_eq!(compared, 5);
}
