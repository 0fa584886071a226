//! A plain evaluator, written from the protocol: every query's distances in f64, a full stable sort, and
//! the definitions in words. Ours must agree with it on any data.

use bcreid::device::Device;
use bcreid::eval::{Protocol, Unmatched, evaluate};
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::weights::Features;
use ndarray::{Array1, ArrayView2, Axis};
use proptest::prelude::*;

/// (cmc, trapezoid mAP, finite-sum mAP, mINP, valid queries), or nothing if no query is valid.
pub type Figures = (Vec<f64>, f64, f64, f64, usize);

pub fn plain(query: &Features, gallery: &Features) -> Option<Figures> {
    let g =
        ArrayView2::from_shape((gallery.len(), gallery.dim()), gallery.features()).unwrap().mapv(f64::from);
    let mut cmc = Array1::<f64>::zeros(gallery.len().min(50));
    let (mut market, mut sum, mut minp, mut valid) = (0.0, 0.0, 0.0, 0usize);
    for i in 0..query.len() {
        let (pid, camid) = (query.pids()[i], query.camids()[i]);
        let q = Array1::from_iter(query.row(i).iter().map(|&v| f64::from(v)));
        let distances = (&g - &q).mapv(|d| d * d).sum_axis(Axis(1));
        let mut order: Vec<usize> = (0..gallery.len()).collect();
        order.sort_by(|&a, &b| distances[a].partial_cmp(&distances[b]).unwrap());
        let good: Vec<bool> = order
            .iter()
            .map(|&j| (gallery.pids()[j], gallery.camids()[j]))
            .filter(|&(p, c)| p != -1 && !(p == pid && c == camid && c != -1))
            .map(|(p, _)| p == pid)
            .collect();
        let all = good.iter().filter(|&&g| g).count() as f64;
        if all == 0.0 {
            continue;
        }
        valid += 1;
        let first = good.iter().position(|&g| g).unwrap();
        cmc.iter_mut().skip(first).for_each(|c| *c += 1.0);
        let last = good.iter().rposition(|&g| g).unwrap();
        minp += all / (last + 1) as f64;
        // Walks down the ranking as the authors' evaluator does: area between successive recalls.
        let (mut hits, mut old_recall, mut old_precision, mut area) = (0.0, 0.0, 1.0, 0.0);
        for (place, &is_match) in good.iter().enumerate() {
            hits += if is_match { 1.0 } else { 0.0 };
            let (recall, precision) = (hits / all, hits / (place + 1) as f64);
            area += (recall - old_recall) * (old_precision + precision) / 2.0;
            (old_recall, old_precision) = (recall, precision);
            sum += if is_match { precision / all } else { 0.0 };
        }
        market += area;
    }
    let n = valid as f64;
    (valid > 0).then(|| ((cmc / n).to_vec(), market / n, sum / n, minp / n, valid))
}

#[track_caller]
fn assert_agrees(query: &Features, gallery: &Features) {
    let ours = evaluate(query, gallery, &Protocol::default(), &Device::cpu());
    let Some((cmc, market, sum, minp, valid)) = plain(query, gallery) else {
        assert!(ours.is_err());
        return;
    };
    let ours = ours.unwrap();
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert_eq!(ours.valid_queries, valid);
    assert_eq!(ours.cmc.len(), cmc.len());
    assert!(ours.cmc.iter().zip(&cmc).all(|(&a, &b)| near(a, b)), "{:?} {cmc:?}", ours.cmc);
    assert!(near(ours.map_market, market), "market {} {market}", ours.map_market);
    assert!(near(ours.map_sum, sum), "sum {} {sum}", ours.map_sum);
    assert!(near(ours.minp, minp), "minp {} {minp}", ours.minp);
    assert!(ours.map_sum >= ours.map_market - 1e-12);
    let junk = query.pids().iter().filter(|&&p| p == -1).count();
    let missed = Protocol { unmatched: Unmatched::Missed, ..Protocol::default() };
    let missed = evaluate(query, gallery, &missed, &Device::cpu()).unwrap();
    let counted = (query.len() - junk) as f64;
    assert!(near(missed.map_market * counted, market * valid as f64));
    assert!(near(missed.rank1 * counted, cmc[0] * valid as f64));
}

/// Features of small integers: every distance is exact in f32, and most are tied.
fn small_integers(rows: usize, people: i64, cameras: i64) -> impl Strategy<Value = Features> {
    let row = (prop::collection::vec(-2i8..=2, 3), -1..people, 0..cameras);
    (prop::collection::vec(row, 1..=rows), any::<bool>()).prop_map(move |(rows, known)| {
        let features = rows.iter().flat_map(|(f, _, _)| f.iter().map(|&v| f32::from(v))).collect();
        let pids = rows.iter().map(|&(_, p, _)| p).collect();
        let camids = rows.iter().map(|&(_, _, c)| if known { c } else { -1 }).collect();
        Features::new(features, 3, pids, camids, Vec::new()).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_on_tied_features(query in small_integers(20, 5, 3), gallery in small_integers(60, 6, 3)) {
        assert_agrees(&query, &gallery);
    }

    // Few people and many images: more matches than are counted one by one.
    #[test]
    fn agrees_where_rows_are_sorted(query in small_integers(6, 2, 2), gallery in small_integers(700, 2, 2)) {
        assert_agrees(&query, &gallery);
    }
}

fn random(rows: usize, dim: usize, stream: u64, pid: impl Fn(usize) -> i64) -> Features {
    let draws = Philox::new(5, stream, 0, RngStream::Test);
    let values = (0..rows * dim).map(|i| draws.normal(i as u32)).collect();
    let camids = (0..rows).map(|i| (draws.word((1 << 30) + i as u32) % 6) as i64).collect();
    Features::new(values, dim, (0..rows).map(pid).collect(), camids, Vec::new()).unwrap()
}

/// Several blocks of queries and tiles of the gallery, with remainders at both ends.
#[test]
fn agrees_across_blocks_and_tiles() {
    let pid = |i: usize| (i * 7 % 61) as i64 - 1;
    let sizes = [(300, 1111, 24), (257, 257, 5), (1, 600, 40), (40, 1, 3), (513, 49, 1), (1027, 70, 3)];
    for (queries, images, dim) in sizes {
        assert_agrees(&random(queries, dim, 1, pid), &random(images, dim, 2, pid));
    }
}

/// Equal gallery rows far apart must tie exactly, whatever sums the products make of them.
#[test]
fn copies_of_an_image_tie_exactly() {
    let dim = 1500;
    for (queries, images) in [(1, 700), (2, 513), (300, 300), (257, 769)] {
        let pattern = random(10, dim, 3, |_| 0).normalised().unwrap();
        let values = (0..images).flat_map(|i| pattern.row(i % 10)).copied().collect();
        let pids = (0..images as i64).map(|i| i * i % 13).collect();
        let gallery = Features::new(values, dim, pids, vec![-1; images], Vec::new()).unwrap();
        assert_agrees(&random(queries, dim, 4, |i| (i % 13) as i64).normalised().unwrap(), &gallery);
    }
}

/// The same bits on one thread and on seven.
#[test]
fn threads_do_not_change_the_figures() {
    let pid = |i: usize| (i * 7 % 61) as i64;
    let (query, gallery) = (random(600, 130, 1, pid), random(900, 130, 2, pid));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let report = evaluate(&query, &gallery, &Protocol::default(), &Device::cpu()).unwrap();
            let distances = bcreid::eval::distance::Distances::new(
                query.features(),
                gallery.features(),
                query.dim(),
                &Device::cpu(),
            )
            .unwrap();
            let mut block = Default::default();
            distances.compute(1, &mut block).unwrap();
            let bits: Vec<u32> = block.row(3).pieces().flatten().map(|d| d.to_bits()).collect();
            assert_eq!(bits.len(), 900);
            (report, bits)
        })
    };
    assert_eq!(on(1), on(7));
}
