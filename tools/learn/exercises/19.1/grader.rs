use crate::answer;
use crate::checks::*;
use std::cell::RefCell;

/// The time of a run that begins at a time, relative to an idle computer.
struct Load {
    name: &'static str,
    at: fn(f64) -> f64,
}

const LOADS: [Load; 5] = [
    Load { name: "an idle computer", at: |_| 1.0 },
    // The work of a comparison is about 100 seconds.
    Load { name: "another program starts in the middle", at: |now| if now < 50.0 { 1.0 } else { 2.5 } },
    Load { name: "another program ends early", at: |now| if now < 20.0 { 3.0 } else { 1.0 } },
    Load { name: "the computer grows warm and slow", at: |now| 1.0 + now / 150.0 },
    Load { name: "a few runs are disturbed", at: |now| if (now % 31.0) < 3.0 { 9.0 } else { 1.0 } },
];

/// Seconds of both programs on an idle computer.
const WORKS: [(f64, f64); 3] = [(2.0, 2.5), (3.0, 1.5), (1.7, 1.7)];

/// A simulated computer: its clock, and the runs so far (whether it was ours, and its time).
#[derive(Default)]
struct Computer {
    now: f64,
    runs: Vec<(bool, f64)>,
}

impl Computer {
    fn run(&mut self, load: &Load, is_ours: bool, work: f64) -> f64 {
        let time = work * (load.at)(self.now);
        self.now += time;
        self.runs.push((is_ours, time));
        time
    }
}

/// The numbers of the answer, and the runs.
fn measure(load: &Load, (ours, theirs): (f64, f64), rounds: usize) -> ([f64; 3], Vec<(bool, f64)>) {
    let computer = RefCell::new(Computer::default());
    let mut run_ours = || computer.borrow_mut().run(load, true, ours);
    let mut run_theirs = || computer.borrow_mut().run(load, false, theirs);
    let said = answer::compare(&mut run_ours, &mut run_theirs, rounds);
    (said, computer.into_inner().runs)
}

fn middle(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

/// That both programs ran so often, in turns.
fn in_turns(runs: &[(bool, f64)], rounds: usize) -> Finding {
    let ours = runs.iter().filter(|(is_ours, _)| *is_ours).count();
    that(ours == rounds && runs.len() == 2 * rounds, || {
        format!(
            "{rounds} rounds: your function ran our program {ours} times and theirs {} times",
            runs.len() - ours
        )
    })?;
    let pair = runs.chunks_exact(2).position(|pair| pair[0].0 == pair[1].0);
    that(pair.is_none(), || {
        let at = 2 * pair.unwrap_or_default();
        format!(
            "{rounds} rounds: the runs {at} and {} are of one program; a round is one run of each, so that both meet \
             the same load",
            at + 1
        )
    })
}

/// The ratios of the rounds.
fn ratios(runs: &[(bool, f64)]) -> Vec<f64> {
    let ratio = |pair: &[(bool, f64)]| if pair[0].0 { pair[0].1 / pair[1].1 } else { pair[1].1 / pair[0].1 };
    runs.chunks_exact(2).map(ratio).collect()
}

/// The meaning of the number that the answer gives as the median.
fn what(said: f64, runs: &[(bool, f64)]) -> &'static str {
    let times =
        |is_ours: bool| runs.iter().filter(|run| run.0 == is_ours).map(|run| run.1).collect::<Vec<f64>>();
    let (ours, theirs, mut ratios) = (times(true), times(false), ratios(runs));
    ratios.sort_by(f64::total_cmp);
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let n = ratios.len();
    let others = [
        (ratios[n / 2], "the median of an even number is the mean of the two in the middle"),
        (ratios[(n - 1) / 2], "the median of an even number is the mean of the two in the middle"),
        (1.0 / middle(&ratios), "this is theirs / ours; ours / theirs is asked for"),
        (sum(&ratios) / n as f64, "this is the mean of the ratios, which a single disturbed run moves"),
        (
            middle(&ours) / middle(&theirs),
            "this is the ratio of the medians: the ratio is taken within a round",
        ),
        (sum(&ours) / sum(&theirs), "this is the ratio of the sums: the ratio is taken within a round"),
        (
            least(&ours) / least(&theirs),
            "this is the ratio of the fastest runs, which may have met other loads",
        ),
    ];
    others.iter().find(|(value, _)| (value - said).abs() < 1e-12).map_or("sort the ratios", |(_, what)| what)
}

pub fn grade(checks: &mut Checks) {
    checks.check("one run of each program in a round", || {
        for rounds in [1, 2, 5, 20] {
            in_turns(&measure(&LOADS[0], WORKS[0], rounds).1, rounds)?;
        }
        Ok(())
    });
    checks.check("median, lowest and highest ratio", || {
        for load in &LOADS {
            for works in WORKS {
                for rounds in [1, 2, 3, 10, 21] {
                    let (said, runs) = measure(load, works, rounds);
                    in_turns(&runs, rounds)?;
                    let ratios = ratios(&runs);
                    let named = format!("{}, {rounds} rounds", load.name);
                    let median = middle(&ratios);
                    that((said[0] - median).abs() < 1e-12, || {
                        let (said_median, what) = (short(said[0]), what(said[0], &runs));
                        format!("{named}: the median is {} and not {said_median}: {what}", short(median))
                    })?;
                    close(
                        "[lowest, highest]",
                        &said[1..],
                        &[
                            ratios.iter().copied().fold(f64::INFINITY, f64::min),
                            ratios.iter().copied().fold(0.0, f64::max),
                        ],
                        1e-12,
                    )
                    .map_err(|found| format!("{named}: {found}"))?;
                }
            }
        }
        Ok(())
    });
    for load in &LOADS {
        checks.check(&format!("within 5 percent of the truth: {}", load.name), || {
            for works in WORKS {
                let (said, truth) = (measure(load, works, 21).0[0], works.0 / works.1);
                that((said / truth - 1.0).abs() < 0.05, || {
                    format!("the programs need {} and {} seconds, a ratio of {}, and your median is {}: runs of the \
                             two programs must meet the same load", works.0, works.1, short(truth), short(said))
                })?;
            }
            Ok(())
        });
    }
}
