use crate::answer::{by_events, with_waiting, without_waiting};
use crate::checks::*;
use crate::gpu::Gpu;

/// A GPU and its work: what a launch costs, what is in the stream before, the kernels.
struct Case {
    launch: u64,
    before: u64,
    kernels: Vec<u64>,
}

fn cases() -> Vec<Case> {
    let mut numbers = Numbers::new(192);
    let mut cases = Vec::new();
    for before in [0, 3, 40_000] {
        for launch in [5, 8] {
            // Long kernels, kernels that are shorter than their launch, a single one, and a mixture.
            for kernels in [vec![10_000; 20], vec![2; 20], vec![700], vec![3]] {
                cases.push(Case { launch, before, kernels });
            }
            let mixed = (0..30).map(|_| [1, 20, 500][numbers.below(3)] + numbers.below(5) as u64).collect();
            cases.push(Case { launch, before, kernels: mixed });
        }
    }
    cases
}

impl Case {
    fn gpu(&self) -> Gpu {
        Gpu::new(self.launch, self.before)
    }

    /// When the last kernel ends and when the first one begins, if the host begins to launch at 0 and the stream has
    /// work until `busy`.
    fn run(&self, busy: u64) -> (u64, u64) {
        let (mut host, mut stream, mut first) = (0, busy, None);
        for time in &self.kernels {
            host += self.launch;
            let begin = host.max(stream);
            first.get_or_insert(begin);
            stream = begin + time;
        }
        (stream, first.unwrap_or(0))
    }

    fn named(&self) -> String {
        let few: Vec<String> = self.kernels.iter().take(4).map(u64::to_string).collect();
        let rest = if self.kernels.len() > 4 { ", ..." } else { "" };
        format!(
            "{} launches of {} us each, kernels of {}{rest} us, {} us of work in the stream before",
            self.kernels.len(),
            self.launch,
            few.join(", "),
            self.before
        )
    }
}

pub fn grade(checks: &mut Checks) {
    checks.check("the clock that does not wait", || {
        for case in cases() {
            let got = without_waiting(&mut case.gpu(), &case.kernels);
            let want = case.launch * case.kernels.len() as u64;
            that(got == want, || {
                format!(
                    "{}: {got} us instead of {want}: the launches alone, without waiting for the GPU",
                    case.named()
                )
            })?;
        }
        Ok(())
    });
    checks.check("the clock that waits", || {
        for case in cases() {
            let got = with_waiting(&mut case.gpu(), &case.kernels);
            let want = case.run(0).0;
            let one_by_one: u64 = case.kernels.iter().map(|time| case.launch + time).sum();
            that(got == want, || {
                let why = if got == case.launch * case.kernels.len() as u64 {
                    "this is the time of the launches alone; wait for the GPU before the clock is read"
                } else if got == case.run(case.before).0 {
                    "the work that was in the stream before is counted; wait for it before the clock is read first"
                } else if got == one_by_one {
                    "the host waits after each launch; launches overlap with the kernel before, as in the program that \
                     is measured"
                } else {
                    "from an idle stream to the end of the last kernel"
                };
                format!("{}: {got} us instead of {want}: {why}", case.named())
            })?;
        }
        Ok(())
    });
    checks.check("events", || {
        for case in cases() {
            let got = by_events(&mut case.gpu(), &case.kernels);
            // The first mark may lie behind the work of others, or in a stream that is idle until the first launch.
            let idle = case.run(0).0;
            let behind = case.run(case.before).0 - case.before;
            that(got == behind || got == idle, || {
                let why = if got == idle + case.before || got == case.run(case.before).0 {
                    "the work that was in the stream before is counted"
                } else {
                    "put one event before the first launch and one after the last"
                };
                format!("{}: {got} us instead of {behind}: {why}", case.named())
            })?;
        }
        Ok(())
    });
}
