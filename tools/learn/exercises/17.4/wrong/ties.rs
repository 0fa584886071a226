// Expect: of items that are finished at the same time
//! A prefetcher in simulated time. Thread t of n makes the items t, t + n, t + 2n, and so on, one after another, from
//! time 0 on and without a pause. Item i takes `costs[i]`. A finished item enters its queue at once, and queues have
//! room for all items.

/// The time at which each item is finished.
fn finished(costs: &[u64], threads: usize) -> Vec<u64> {
    let mut now = vec![0; threads];
    let finish = |(item, cost): (usize, &u64)| {
        let time = &mut now[item % threads];
        *time += cost;
        *time
    };
    costs.iter().enumerate().map(finish).collect()
}

/// The items in the order in which they enter one queue that all threads share. Of items that are finished at the same
/// time, that of the thread with the smaller number comes first.
pub fn shared(costs: &[u64], threads: usize) -> Vec<usize> {
    let finished = finished(costs, threads);
    let mut order: Vec<usize> = (0..costs.len()).collect();
    // The sort is stable: items of one thread stay in their order.
    order.sort_by_key(|&item| (finished[item], threads - item % threads));
    order
}

/// The time at which the consumer has each item, in the order of the items: each thread has a queue of its own, and the
/// consumer reads the queues in turn, as in the product. Reading takes no time.
pub fn in_turn(costs: &[u64], threads: usize) -> Vec<u64> {
    let mut now = 0;
    let wait = |finished: u64| {
        now = finished.max(now);
        now
    };
    finished(costs, threads).into_iter().map(wait).collect()
}

/// Costs from 1 to 9 of so many items for which the shared queue loses the order; none if there are no such costs.
pub fn lose_the_order(items: usize, threads: usize) -> Option<Vec<u64>> {
    // With one thread, or one item, nothing can overtake.
    if threads < 2 || items < 2 {
        return None;
    }
    // Item 1 overtakes item 0.
    Some((0..items).map(|item| if item == 0 { 9 } else { 1 }).collect())
}
