use crate::answer::filter_gradient;
use crate::checks::*;
use crate::layer::{Layer, TAPS};
use crate::meter::{Cost, Counts};
use std::alloc::{GlobalAlloc, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes that are allocated, now and at most.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: std::alloc::Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The formula in f64: dw[k, tap, c] is the sum over all pixels of dy[pixel, k] and of x under the tap, or, for a
/// diagnosis, under the opposite tap.
fn formula(layer: &Layer, x: &[f32], dy: &[f32], is_turned: bool) -> Vec<f64> {
    let Layer { c, k, .. } = *layer;
    let mut dw = vec![0.0; k * TAPS * c];
    for pixel in 0..layer.pixels() {
        for tap in 0..TAPS {
            let Some(from) = layer.under(pixel, if is_turned { TAPS - 1 - tap } else { tap }) else {
                continue;
            };
            for k_at in 0..k {
                let dy = f64::from(dy[pixel * k + k_at]);
                let dw = &mut dw[(k_at * TAPS + tap) * c..][..c];
                dw.iter_mut().zip(&x[from * c..]).for_each(|(dw, x)| *dw += dy * f64::from(*x));
            }
        }
    }
    dw
}

/// The counts of a run whose result is right, and the most bytes that it had allocated at a time.
fn right(layer: &Layer) -> Result<(Cost, usize), String> {
    let Layer { c, k, .. } = *layer;
    let mut numbers = Numbers::new((layer.pixels() * c + k) as u64);
    let (x, dy) = (numbers.many_f32(layer.pixels() * c), numbers.many_f32(layer.pixels() * k));
    let mut dw = vec![f32::NAN; k * TAPS * c];
    let mut counts = Counts::default();
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    filter_gradient(&mut counts, layer, &x, &dy, &mut dw);
    let most = MOST.load(Ordering::Relaxed) - before;
    that(dw.iter().all(|dw| !dw.is_nan()), || {
        "dw still has the NaN that it held before: write all of it, and do not add to it".into()
    })?;
    if let Err(found) = close("dw", &dw, &formula(layer, &x, &dy, false), 1e-4) {
        return Err(match close("dw", &dw, &formula(layer, &x, &dy, true), 1e-4) {
            Ok(()) => {
                "dw of tap (r, s) is that of tap (2 - r, 2 - s): dw[k, tap] takes the pixel under this tap, \
                       without a rotation"
                    .into()
            }
            Err(_) => format!("dw [k, tap, c] as one list: {found}"),
        });
    }
    Ok((counts.0, most))
}

pub fn grade(checks: &mut Checks) {
    for [height, width, c, k] in [[16, 8, 64, 64], [5, 7, 16, 4], [1, 1, 32, 8], [1, 3, 16, 12]] {
        let layer = Layer { height, width, c, k };
        checks.check(&format!("{height} x {width} pixels, c = {c}, k = {k}"), || right(&layer).map(|_| ()));
    }
    let layer = Layer { height: 16, width: 8, c: 64, k: 64 };
    checks.check("bytes for 16 x 8 pixels", || {
        let (Cost { multiplications, bytes }, _) = right(&layer)?;
        let needed = layer.taps_inside() * layer.c * layer.k;
        that(multiplications >= needed, || {
            format!(
                "the meter counts {multiplications} multiplications, the taps inside of the image need {needed}: all \
                 of them go through the meter"
            )
        })?;
        let each = bytes as f64 / multiplications as f64;
        // A tile of 4 x 16 moves 1.25; less would need larger tiles.
        that((1.0..=2.0).contains(&each), || {
            format!(
                "{each:.2} bytes for a multiplication: a tile of 4 x 16 sums moves 1.25, packing a little more, and 2 \
                 are allowed"
            )
        })
    });
    checks.check("no unfolded image", || {
        let (_, most) = right(&layer)?;
        let unfolded = size_of::<f32>() * layer.pixels() * TAPS * layer.c;
        that(most < unfolded, || {
            format!(
                "{most} bytes are allocated at a time, and the unfolded image has {unfolded}: pack one panel of 16 \
                 columns of it at a time"
            )
        })
    });
}
