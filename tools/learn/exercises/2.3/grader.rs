use crate::answer::Pool;
use crate::checks::*;
use std::collections::BTreeMap;

pub fn grade(checks: &mut Checks) {
    checks.check("a new block", || {
        let mut pool = Pool::default();
        for bytes in [1, 7, 4096] {
            let block = pool.take(bytes);
            that(block.len() >= bytes, || {
                format!("take({bytes}) of an empty pool has {} bytes", block.len())
            })?;
        }
        Ok(())
    });
    checks.check("a block that fits comes back", || {
        for (put, wanted) in [(100, 100), (100, 50), (100, 99), (1, 1), (8192, 4096)] {
            let mut pool = Pool::default();
            let block = vec![1; put];
            let address = block.as_ptr();
            pool.put(block);
            let taken = pool.take(wanted);
            that(taken.as_ptr() == address, || {
                format!("a block of {put} bytes was put, the one of take({wanted}) is at another address: hand out \
                         the block itself")
            })?;
        }
        Ok(())
    });
    checks.check("a block that does not fit stays", || {
        for (put, wanted) in [(101, 50), (3, 1), (99, 100), (1 << 20, 4096)] {
            let mut pool = Pool::default();
            pool.put(vec![1; put]);
            let got = pool.take(wanted).len();
            let why = if put > wanted { "is more than twice as large" } else { "is too small" };
            that(got != put, || format!("take({wanted}) hands out the block of {put} bytes, which {why}"))?;
            that(got >= wanted, || format!("take({wanted}) has {got} bytes"))?;
        }
        Ok(())
    });
    checks.check("many sizes", || {
        let mut pool = Pool::default();
        let mut numbers = Numbers::new(5);
        // The blocks that the pool holds and that the reader holds, by address.
        let mut free: BTreeMap<usize, usize> = BTreeMap::new();
        let mut held: Vec<Vec<u8>> = Vec::new();
        for _ in 0..2000 {
            if numbers.below(2) == 0 && !held.is_empty() {
                let block = held.swap_remove(numbers.below(held.len()));
                free.insert(block.as_ptr() as usize, block.len());
                pool.put(block);
                continue;
            }
            let bytes = 1 + numbers.below(300);
            let fits = free.values().any(|&size| (bytes..=2 * bytes).contains(&size));
            let block = pool.take(bytes);
            that(block.len() >= bytes, || format!("take({bytes}) has {} bytes", block.len()))?;
            let own = free.remove(&(block.as_ptr() as usize));
            that(own.is_some() || !fits, || {
                format!("take({bytes}) allocates although a block was put that fits: the pool forgets blocks")
            })?;
            let size = own.unwrap_or(block.len());
            that(size == block.len(), || {
                format!(
                    "take({bytes}) hands out a block of {} bytes that had {size} bytes when it was put: leave its \
                     length as it is, or the pool takes it for a smaller one later",
                    block.len()
                )
            })?;
            that(own.is_none() || size <= 2 * bytes, || {
                format!("take({bytes}) hands out a block of {size} bytes, which is more than twice as large")
            })?;
            held.push(block);
        }
        Ok(())
    });
}
