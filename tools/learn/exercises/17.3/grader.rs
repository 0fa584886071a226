use crate::answer::image;
use crate::checks::*;
use crate::philox::calls;

const SEED: u64 = 0xfeed_0000_0000_0042;
/// Calls of the round function for one element, as a mean: a network of 16 rounds on up to 4 n numbers may need them.
const CALLS: u64 = 64;
/// Calls after which a single element is given up.
const MOST: u64 = 5000;

/// The image at a place, with a limit of the calls.
fn one(seed: u64, epoch: u32, n: u32, place: u32) -> Result<(u32, u64), String> {
    let (image, calls) = calls(MOST, || image(seed, epoch, n, place));
    that(image < n, || format!("n = {n}: the image at place {place} is {image}; it must be below n"))?;
    Ok((image, calls))
}

/// The order of an epoch, of which no image may come twice.
fn order(seed: u64, epoch: u32, n: u32) -> Result<Vec<u32>, String> {
    let mut place_of = vec![None; n as usize];
    let (mut order, mut all) = (Vec::new(), 0);
    for place in 0..n {
        let (image, calls) = one(seed, epoch, n, place)?;
        all += calls;
        that(all <= u64::from(n) * CALLS + MOST, || {
            format!("n = {n}: {all} calls of Philox for {place} elements")
        })?;
        if let Some(other) = place_of[image as usize].replace(place) {
            return Err(format!(
                "n = {n}: the places {other} and {place} have the same image, {image}: the network permutes its own \
                 range; where that is larger than n, apply it again until the value is below n"
            ));
        }
        order.push(image);
    }
    Ok(order)
}

fn equal_places(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a == b).count()
}

pub fn grade(checks: &mut Checks) {
    checks.check("the cost of an element does not grow with n", || {
        for n in [1000, 2, 12_936, 1_000_003, (1 << 30) + 1, u32::MAX] {
            let places = n.min(100);
            let mut sum = 0;
            for at in 0..places {
                let place = (u64::from(n) * u64::from(at) / u64::from(places)) as u32;
                sum += one(SEED, 5, n, place)?.1;
            }
            let mean = sum as f64 / f64::from(places);
            that(mean <= CALLS as f64, || {
                format!("n = {n}: {mean:.1} calls of Philox for one element; {CALLS} are more than enough for each n")
            })?;
            that(mean >= 4.0, || {
                format!(
                    "n = {n}: {mean:.1} calls of Philox for one element; a network of at least 4 rounds is asked for, \
                     each with a call: after fewer rounds a half of the place can be seen in the image"
                )
            })?;
        }
        Ok(())
    });
    for n in [1, 2, 3, 17, 1000, 12_936] {
        checks.check(&format!("all images come up once, n = {n}"), || order(SEED, 1, n).map(|_| ()));
    }
    checks.check("two epochs differ, and two seeds", || {
        let first = order(SEED, 1, 1000)?;
        let others = [
            ("epoch", SEED, 2),
            ("lower half of the seed", SEED ^ 1, 1),
            ("upper half of the seed", SEED ^ 1 << 40, 1),
        ];
        for (what, seed, epoch) in others {
            let equal = equal_places(&first, &order(seed, epoch, 1000)?);
            that(equal < 1000, || {
                format!("with another {what} the same order comes out: the key must hold it")
            })?;
            // One is expected of two independent orders; 12 or more are as good as impossible.
            that(equal < 12, || {
                format!(
                    "with another {what} {equal} of 1,000 images stay at their place; about one is expected"
                )
            })?;
        }
        let again = equal_places(&first, &order(SEED, 1, 1000)?);
        that(again == 1000, || "the same arguments give another order: an element is a pure function".into())
    });
    checks.check("the order looks random", || {
        let n = 12_936;
        let order = order(SEED, 3, n)?;
        let rises = order.windows(2).filter(|pair| pair[0] < pair[1]).count() as f64;
        // Half of the neighbours rise, with a deviation of sqrt((n + 1) / 12).
        let (mean, deviation) = (f64::from(n - 1) / 2.0, (f64::from(n + 1) / 12.0).sqrt());
        that((rises - mean).abs() < 6.0 * deviation, || {
            format!(
                "{rises} of {} neighbours in the order rise; about {mean} are expected of a random order",
                n - 1
            )
        })?;
        let mut first = [0u32; 10];
        for epoch in 0..4000 {
            first[one(SEED, epoch, 10, 0)?.0 as usize] += 1;
        }
        // 400 of 4,000, with a deviation of 19.
        let uneven = first.iter().position(|count| !(320..=480).contains(count));
        that(uneven.is_none(), || {
            format!(
                "n = 10: in 4,000 epochs image {} comes first {} times; about 400 are expected",
                uneven.unwrap(),
                first[uneven.unwrap()]
            )
        })
    });
}
