//! How much memory a file can claim. The allocator counts for each thread, so tests may run side by side.

use crate::proto::{blob, data, integer, layer, packed, ramp, varint};
use crate::{open, refused};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that is ending has no counters left, and nothing to measure.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every request goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are the ones that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The result of `f`, and the largest growth of memory in use during the call, in bytes.
fn peak<T>(f: impl FnOnce() -> T) -> (T, isize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = f();
    (result, PEAK.get() - before)
}

const MIB: isize = 1 << 20;

#[test]
fn a_model_costs_one_tensor_at_a_time() {
    const COUNT: usize = 2 << 20;
    let gradients = data(6, packed(&vec![1.0; COUNT]));
    let big = [gradients, blob(&[COUNT as i64], &vec![2.0; COUNT])].concat();
    let net = layer("big", "Big", &[big.clone(), big], &[]);
    let (source, opening) = peak(|| open(&net).unwrap());
    assert!(opening < MIB / 4, "{opening} bytes to open");
    let (values, reading) = peak(|| source.tensors["big/1"].values().unwrap());
    assert_eq!(values, vec![2.0; COUNT]);
    let wanted = (COUNT * size_of::<f32>()) as isize;
    assert!(reading < wanted + MIB / 4, "{reading} bytes for a tensor of {wanted}");
}

#[test]
fn many_tiny_messages_cost_nothing() {
    let layers = data(100, []).repeat(1_000_000);
    let (_, taken) = peak(|| refused(&layers, &["has 1000000 Caffe layers and no weights"]));
    assert!(taken < MIB / 4, "{taken} bytes");

    let tiny = data(7, ramp(&[1]));
    let (_, taken) = peak(|| refused(&data(100, tiny.repeat(200_000)), &["more than 20000 tensors"]));
    assert!(taken < 8 * MIB, "{taken} bytes");

    let spread = layer("a", "", &[ramp(&[1])], &[]).repeat(200_000);
    let (_, taken) = peak(|| refused(&spread, &["more than 20000 tensors"]));
    assert!(taken < 32 * MIB, "{taken} bytes");
}

#[test]
fn long_lists_of_settings_are_not_collected() {
    let dims = [data(7, data(1, vec![1; 4 << 20])), data(5, packed(&[1.0]))].concat();
    let strides = integer(6, 1).repeat(1 << 20);
    let (_, taken) = peak(|| {
        refused(&layer("a", "", &[dims], &[]), &["its shape takes"]);
        refused(&layer("a", "", &[], &data(106, strides)), &["its convolution_param takes"]);
    });
    assert!(taken < 20 * MIB, "{taken} bytes, most of them this test's own");
}

#[test]
fn a_length_is_not_believed() {
    for length in [5, 1 << 20, 1 << 40, u64::MAX] {
        let (_, taken) = peak(|| {
            let promise = |number: u64| [varint(number << 3 | 2), varint(length), b"abc".to_vec()].concat();
            refused(&promise(100), &["field 100 needs", "3 are left"]);
            refused(&data(100, data(7, promise(5))), &["blob 0", "field 5 needs", "3 are left"]);
        });
        assert!(taken < MIB / 4, "{taken} bytes");
    }
}
