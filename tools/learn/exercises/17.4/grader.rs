use crate::answer::{in_turn, lose_the_order, shared};
use crate::checks::*;

/// The time at which each item is finished.
fn finished(costs: &[u64], threads: usize) -> Vec<u64> {
    let of_thread = |item: usize| (0..=item).filter(move |other| other % threads == item % threads);
    (0..costs.len()).map(|item| of_thread(item).map(|other| costs[other]).sum()).collect()
}

fn order_by(key: impl Fn(usize) -> u64, items: usize, threads: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..items).collect();
    order.sort_by_key(|&item| (key(item), item % threads, item));
    order
}

/// The time at which each item is finished if a thread that is free takes the next item.
fn finished_by_the_free(costs: &[u64], threads: usize) -> Vec<u64> {
    let mut free = vec![0; threads];
    let finish = |cost: &u64| {
        let first = free.iter_mut().min().unwrap();
        *first += cost;
        *first
    };
    costs.iter().map(finish).collect()
}

/// Numbers of items and threads, with costs.
fn cases() -> Vec<(usize, Vec<u64>)> {
    let mut numbers = Numbers::new(174);
    let mut cases = Vec::new();
    for threads in [1, 2, 3, 4, 7] {
        for items in [1, 2, 5, 12, 40] {
            for most in [1, 3, 9] {
                cases.push((threads, (0..items).map(|_| 1 + numbers.below(most) as u64).collect()));
            }
        }
    }
    cases
}

fn named(threads: usize, costs: &[u64]) -> String {
    let plural = if threads == 1 { "" } else { "s" };
    format!("{threads} thread{plural}, costs {costs:?}")
}

pub fn grade(checks: &mut Checks) {
    checks.check("one queue for all threads", || {
        for (threads, costs) in cases() {
            let (got, end) = (shared(&costs, threads), finished(&costs, threads));
            let want = order_by(|item| end[item], costs.len(), threads);
            that(got == want, || {
                let free = finished_by_the_free(&costs, threads);
                let mut items = got.clone();
                items.sort_unstable();
                let is_order_of_times =
                    items.into_iter().eq(0..costs.len()) && got.is_sorted_by_key(|item| end[*item]);
                let why = if got == order_by(|item| costs[item], costs.len(), threads) {
                    "your order sorts by the costs: an item is finished after those that its thread made before"
                } else if got == order_by(|item| free[item], costs.len(), threads) {
                    "your order gives each item to the thread that is free first; thread t makes t, t + n, t + 2n"
                } else if is_order_of_times {
                    "of items that are finished at the same time, that of the thread with the smaller number is first"
                } else {
                    "an item enters the queue when its thread has made it and all items before it of this thread"
                };
                format!("{}: {got:?} instead of {want:?}; {why}", named(threads, &costs))
            })?;
        }
        Ok(())
    });
    checks.check("a queue for each thread", || {
        for (threads, costs) in cases() {
            let (got, end) = (in_turn(&costs, threads), finished(&costs, threads));
            let want: Vec<u64> = (1..=end.len()).map(|n| *end[..n].iter().max().unwrap()).collect();
            that(got.len() == want.len(), || {
                format!("{}: {} times for {} items", named(threads, &costs), got.len(), want.len())
            })?;
            let at = got.iter().zip(&want).position(|(got, want)| got != want).unwrap_or(0);
            that(got == want, || {
                format!(
                    "{}: the consumer has item {at} at time {}, not at {}; it has an item when this item and all \
                     items before it are finished",
                    named(threads, &costs),
                    want[at],
                    got[at]
                )
            })?;
        }
        Ok(())
    });
    checks.check("costs that lose the order", || {
        for threads in [1, 2, 3, 8, 50] {
            for items in [1, 2, 3, 10, 100] {
                let what = format!("{items} items of {}", named(threads, &[]).replace(", costs []", ""));
                let Some(costs) = lose_the_order(items, threads) else {
                    that(threads == 1 || items == 1, || {
                        format!(
                            "{what}: there are such costs: let one item be slow, so that another overtakes it"
                        )
                    })?;
                    continue;
                };
                that(costs.len() == items && costs.iter().all(|cost| (1..=9).contains(cost)), || {
                    format!("{what}: {costs:?} are not {items} costs from 1 to 9")
                })?;
                let end = finished(&costs, threads);
                that(threads > 1, || {
                    "the queue of 1 thread never loses the order: it makes the items one after another".into()
                })?;
                let order = order_by(|item| end[item], items, threads);
                that(!order.is_sorted(), || {
                    format!("{what}: with your costs {costs:?} the items come in their order")
                })?;
            }
        }
        Ok(())
    });
}
