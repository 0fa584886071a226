use crate::answer;
use crate::checks::*;
use crate::ranks::{Group, groups};
use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

/// Values of different sizes, so that each order of a sum rounds in its own way.
fn values(ranks: usize, length: usize) -> Vec<Vec<f32>> {
    let mut numbers = Numbers::new(202);
    let value = |numbers: &mut Numbers| numbers.uniform() as f32 * 10f32.powi(numbers.below(5) as i32);
    (0..ranks).map(|_| (0..length).map(|_| value(&mut numbers)).collect()).collect()
}

/// The sums of a rank, and the number of values that it has sent.
type Summed = (Vec<f32>, usize);

/// Runs the answer on each rank.
fn run(own: &[Vec<f32>]) -> Result<Vec<Summed>, String> {
    let one = |group: Group, own: &[f32]| {
        let mut values = own.to_vec();
        // Its end is seen by the others, in a panic too.
        let done = panic::catch_unwind(AssertUnwindSafe(move || {
            answer::sum(&group, &mut values);
            let sent = group.sent();
            (values, sent)
        }));
        done.map_err(|payload| text(&*payload))
    };
    let results: Vec<Result<Summed, String>> = thread::scope(|scope| {
        let threads: Vec<_> = groups(own.len())
            .into_iter()
            .zip(own)
            .map(|(group, own)| scope.spawn(move || one(group, own)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|payload| Err(text(&*payload))))
            .collect()
    });
    // A rank that waits for another one is not the cause.
    let failures =
        || results.iter().enumerate().filter_map(|(rank, result)| Some((rank, result.as_ref().err()?)));
    let cause = failures().find(|(_, why)| !why.contains("has ended")).or_else(|| failures().next());
    match cause {
        Some((rank, why)) => Err(format!("rank {rank} of {}: {why}", own.len())),
        None => Ok(results.into_iter().flatten().collect()),
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let message = payload.downcast_ref::<&str>().map(|text| text.to_string());
    message.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}

/// The sum of addends in f32, from that of rank `first` on.
fn in_order(addends: &[f32], first: usize) -> f32 {
    (0..addends.len()).fold(0.0, |sum, k| sum + addends[(first + k) % addends.len()])
}

/// The sum of addends in f64, rounded once.
fn in_f64(addends: &[f32]) -> f32 {
    addends.iter().fold(0.0, |sum, addend| sum + f64::from(*addend)) as f32
}

/// The description of a wrong sum. `is_f64` says that all sums of this rank may be those in f64.
fn what(found: f32, addends: &[f32], rank: usize, is_f64: bool) -> String {
    let is = |value: f32| value.to_bits() == found.to_bits();
    if is(addends[rank]) {
        return "this value is not summed: is there a remainder that is in no part?".into();
    }
    if is_f64 {
        return "this is the sum in f64, rounded once; add in f32".into();
    }
    match (1..addends.len()).find(|&first| is(in_order(addends, first))) {
        Some(first) => format!("this is the sum that begins with rank {first}; begin with rank 0"),
        None => "add in f32, the addend of rank 0 first, then that of rank 1, and so on".into(),
    }
}

/// Compares the bits of the sums on all ranks.
fn bits(ranks: usize, length: usize) -> Finding {
    let own = values(ranks, length);
    let summed = run(&own).map_err(|why| format!("length {length}: {why}"))?;
    let named = |found: String| format!("{ranks} ranks, length {length}: {found}");
    let addends_of = |i: usize| -> Vec<f32> { own.iter().map(|own| own[i]).collect() };
    for i in 0..length {
        let addends = addends_of(i);
        let of = |rank: usize| summed[rank].0[i];
        let want = in_order(&addends, 0);
        let Some(rank) = (0..ranks).find(|&rank| of(rank).to_bits() != want.to_bits()) else { continue };
        let found = of(rank);
        let is_f64 = (0..length).all(|i| summed[rank].0[i].to_bits() == in_f64(&addends_of(i)).to_bits());
        let why = what(found, &addends, rank, is_f64);
        let differs = (0..ranks).find(|&other| of(other).to_bits() != found.to_bits());
        let why = match differs {
            Some(other) if !why.contains("not summed") => {
                format!("the ranks have different sums: {} on rank {other}; {why}", of(other))
            }
            _ => why,
        };
        return Err(named(format!("sum {i} is {found} on rank {rank} instead of {want}; {why}")));
    }
    Ok(())
}

/// Compares the number of values that each rank sends.
fn sent(ranks: usize, length: usize) -> Finding {
    let summed = run(&values(ranks, length)).map_err(|why| format!("length {length}: {why}"))?;
    let part = length.div_ceil(ranks).max(1);
    let enough = 2 * (ranks - 1) * part;
    for (rank, (_, sent)) in summed.iter().enumerate() {
        that(*sent <= enough, || {
            format!(
                "{ranks} ranks, length {length}: rank {rank} sends {sent} values to others, and {enough} are enough: a \
                 part of {part} values to each of {} others, and the sums of its own part to each",
                ranks - 1
            )
        })?;
    }
    Ok(())
}

pub fn grade(checks: &mut Checks) {
    checks.check("one rank has its own values", || {
        let mut values = vec![1.5, -2.0, 3.0];
        answer::sum(&groups(1)[0], &mut values);
        that(values == [1.5, -2.0, 3.0], || format!("the sums of one rank alone are {values:?}"))
    });
    checks.check("two ranks", || bits(2, 64));
    checks.check("the bits of the sum in rank order", || {
        [3, 4, 5, 8].into_iter().try_for_each(|ranks| bits(ranks, 120 * ranks))
    });
    checks.check("lengths that are no multiple of the number of ranks", || {
        for ranks in [2, 3, 4, 7] {
            [1, 5, 9, 1001, 0].into_iter().try_for_each(|length| bits(ranks, length))?;
        }
        Ok(())
    });
    checks.check("no rank sends more than it must", || {
        for ranks in [2, 3, 4, 8] {
            [1000, 1001, 8, 1].into_iter().try_for_each(|length| sent(ranks, length))?;
        }
        Ok(())
    });
}
