use crate::answer::{GradMode, square_gradient};
use crate::checks::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the allocations of the program.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator; the counter does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn inputs(n: usize) -> (Vec<f32>, Vec<f32>, Vec<f64>) {
    let mut numbers = Numbers::new(n as u64);
    let (x, dy) = (numbers.many_f32(n), numbers.many_f32(n));
    let want = x.iter().zip(&dy).map(|(x, dy)| 2.0 * f64::from(*x) * f64::from(*dy)).collect();
    (x, dy, want)
}

pub fn grade(checks: &mut Checks) {
    checks.check("Overwrite, on a buffer full of NaN", || {
        for n in [1, 2, 33, 1000] {
            let (x, dy, want) = inputs(n);
            let mut dx = vec![f32::NAN; n];
            square_gradient(&x, &dy, &mut dx, GradMode::Overwrite);
            that(!dx.iter().any(|dx| dx.is_nan()), || {
                "the old content of the buffer, NaN, is still in it: Overwrite must not read the buffer"
                    .into()
            })?;
            close("dx", &dx, &want, 1e-6).map_err(|found| format!("{found}; dx = 2 x dy"))?;
        }
        Ok(())
    });
    checks.check("Accumulate, on a buffer with another gradient", || {
        for n in [1, 2, 33, 1000] {
            let (x, dy, own) = inputs(n);
            let other = Numbers::new(77).many_f32(n);
            let mut dx = other.clone();
            square_gradient(&x, &dy, &mut dx, GradMode::Accumulate);
            that(close("dx", &dx, &own, 1e-6).is_err(), || {
                "the gradient of the other use is lost: Accumulate adds to what the buffer holds".into()
            })?;
            let want: Vec<f64> = own.iter().zip(&other).map(|(own, other)| own + f64::from(*other)).collect();
            close("dx", &dx, &want, 1e-6)?;
        }
        Ok(())
    });
    checks.check("no temporary array", || {
        for mode in [GradMode::Overwrite, GradMode::Accumulate] {
            let (x, dy, _) = inputs(100);
            let mut dx = vec![0.0; 100];
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            square_gradient(&x, &dy, &mut dx, mode);
            let count = ALLOCATIONS.load(Ordering::Relaxed) - before;
            that(count == 0, || {
                format!("the answer allocates memory {count} times: compute each element where it is stored")
            })?;
        }
        Ok(())
    });
}
