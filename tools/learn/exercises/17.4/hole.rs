//! A prefetcher in simulated time. Thread t of n makes the items t, t + n, t + 2n, and so on, one after another, from
//! time 0 on and without a pause. Item i takes `costs[i]`. A finished item enters its queue at once, and queues have
//! room for all items.

/// The items in the order in which they enter one queue that all threads share. Of items that are finished at the same
/// time, that of the thread with the smaller number comes first.
pub fn shared(costs: &[u64], threads: usize) -> Vec<usize> {
    todo!("the order of {} items of {threads} threads", costs.len())
}

/// The time at which the consumer has each item, in the order of the items: each thread has a queue of its own, and the
/// consumer reads the queues in turn, as in the product. Reading takes no time.
pub fn in_turn(costs: &[u64], threads: usize) -> Vec<u64> {
    todo!("the times of {} items of {threads} threads", costs.len())
}

/// Costs from 1 to 9 of so many items for which the shared queue loses the order; none if there are no such costs.
pub fn lose_the_order(items: usize, threads: usize) -> Option<Vec<u64>> {
    todo!("{items} costs for {threads} threads")
}
