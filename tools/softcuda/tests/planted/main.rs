//! Planted errors: each is detected and reported, and the same kernel without the error passes.

#[path = "../common/mod.rs"]
mod common;
mod cooperative;

use softcuda::{Arg, Device, Fault, FaultKind, Launch, args};

fn device() -> Device {
    common::device("planted.cu")
}

/// Launches with several seeds and expects the same kind of fault from all; returns the first.
#[track_caller]
fn caught(device: &Device, kernel: &str, launch: Launch, args: &[Arg], kind: FaultKind) -> Fault {
    let mut faults = (0..4).map(|seed| match device.launch(kernel, &launch.seed(seed), args) {
        Ok(report) => panic!("{kernel}, seed {seed}: not caught, {report:?}"),
        Err(fault) => {
            assert_eq!(fault.kind, kind, "{fault}");
            assert!(fault.message.contains(kernel), "{fault}");
            fault
        }
    });
    let first = faults.next().unwrap();
    faults.for_each(drop);
    println!("{first}");
    first
}

#[track_caller]
fn assert_reports(fault: &Fault, words: &[&str]) {
    for word in words {
        assert!(fault.message.contains(word), "no {word:?} in: {fault}");
    }
}

/// The line of planted.cu that holds `text`, as a fault names it.
fn line_of(text: &str) -> String {
    let source = include_str!("../kernels/planted.cu");
    let line = 1 + source.lines().position(|line| line.contains(text)).unwrap();
    format!("planted.cu:{line}")
}

#[test]
fn a_removed_barrier_is_a_race() {
    let device = device();
    let x = device.upload("x", &common::noise(64, 1.0)).unwrap();
    let y = device.unwritten::<f32>("y", 64).unwrap();
    let launch = Launch::new(1, 64);
    // Whether the read or the write comes first depends on the seed; a read that comes first finds nothing written.
    for seed in 0..8 {
        let fault = device.launch("barrier_removed", &launch.seed(seed), args![&x, &y]).unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Race | FaultKind::Unwritten), "{fault}");
        assert_reports(&fault, &["barrier_removed", "`tile`", "planted.cu:"]);
    }
    device.launch("barrier_kept", &launch, args![&x, &y]).unwrap();
    let (x_host, y_host) = (x.read().unwrap(), y.read().unwrap());
    assert!(x_host.iter().eq(y_host.iter().rev()));

    let fault = caught(&device, "second_barrier_removed", launch, args![&x, &y], FaultKind::Race);
    assert_reports(
        &fault,
        &["races with the", "no __syncthreads", "shared array `tile`", "block (0, 0, 0), thread ("],
    );
    device.launch("second_barrier_kept", &launch, args![&x, &y]).unwrap();
}

#[test]
fn an_index_off_by_one_is_out_of_bounds() {
    let device = device();
    let x = device.upload("x", &common::noise(100, 1.0)).unwrap();
    let y = device.unwritten::<f32>("y", 100).unwrap();
    let launch = Launch::new(4, 32);
    let fault = caught(&device, "index_off_by_one", launch, args![&x, &y, 100i32], FaultKind::OutOfBounds);
    assert_reports(
        &fault,
        &["read of 4 bytes at byte 400 of buffer `x`, which has 400 bytes", &line_of("y[i] = x[i + 1]")],
    );
    assert_reports(&fault, &["kernel index_off_by_one, block (3, 0, 0), thread (3, 0, 0): "]);
    device.launch("index_right", &launch, args![&x, &y, 100i32]).unwrap();

    let before = args![x.at(usize::MAX), &y, 100i32];
    assert_reports(
        &caught(&device, "index_right", launch, before, FaultKind::OutOfBounds),
        &["at byte -4 of buffer `x`"],
    );
    let null = args![Arg::Pointer(0), &y, 100i32];
    caught(&device, "index_right", launch, null, FaultKind::OutOfBounds);
}

#[test]
fn shared_and_local_arrays_have_bounds() {
    let device = device();
    let x = device.upload("x", &common::noise(32, 1.0)).unwrap();
    let y = device.unwritten::<f32>("y", 32).unwrap();
    let launch = Launch::new(1, 32);
    let fault =
        caught(&device, "static_array_too_short", launch, args![&x, &y, 0i32], FaultKind::OutOfBounds);
    assert_reports(&fault, &["write of 4 bytes at byte 124 of shared array `tile`, which has 124 bytes"]);
    // A step far past the end still belongs to no other array.
    let fault =
        caught(&device, "static_array_too_short", launch, args![&x, &y, 60i32], FaultKind::OutOfBounds);
    assert_reports(&fault, &["of shared array `tile`"]);
    let short = launch.shared(31 * 4);
    let fault = caught(&device, "dynamic_array", short, args![&x, &y], FaultKind::OutOfBounds);
    assert_reports(&fault, &["dynamic shared memory", "124 bytes"]);
    device.launch("dynamic_array", &launch.shared(32 * 4), args![&x, &y]).unwrap();

    let good = device.upload("good", &[0i32, 3, 2, 3]).unwrap();
    let bad = device.upload("bad", &[0i32, 4, 2, 3]).unwrap();
    let bins = device.unwritten::<i32>("bins", 4).unwrap();
    let launch = Launch::new(1, 4);
    caught(&device, "local_array_overrun", launch, args![&bad, &bins, 4i32], FaultKind::OutOfBounds);
    device.launch("local_array_overrun", &launch, args![&good, &bins, 4i32]).unwrap();
    assert_eq!(bins.read().unwrap(), [1, 0, 1, 2]);
}

#[test]
fn a_wrong_mask_is_told() {
    let device = device();
    let x = device.upload("x", &[1.0f32; 32]).unwrap();
    let y = device.unwritten::<f32>("y", 32).unwrap();
    let launch = Launch::new(1, 32);
    let fault = caught(&device, "mask_names_too_many", launch, args![&x, &y], FaultKind::WarpMask);
    assert_reports(
        &fault,
        &[
            "0xffffffff",
            "lane 16",
            "does not take part",
            "__syncthreads",
            &line_of("v += __shfl_down_sync(wrong"),
        ],
    );
    device.launch("mask_names_right_lanes", &launch, args![&x, &y]).unwrap();

    let fault = caught(&device, "mask_omits_caller", launch, args![&x, &y], FaultKind::WarpMask);
    assert_reports(&fault, &["omits its caller"]);
    let fault = caught(&device, "reads_inactive_lane", launch, args![&x, &y], FaultKind::InactiveLane);
    assert_reports(&fault, &["reads lane", "0x0000ffff"]);
    // A block of 48 threads has half a warp that a full mask must not name.
    let y = device.unwritten::<u32>("y", 384).unwrap();
    let wide = device.unwritten::<i64>("wide", 48).unwrap();
    let launch = Launch::new(1, 48).keep_order();
    let fault = caught(&device, "warp_values", launch, args![&y, &wide], FaultKind::WarpMask);
    assert_reports(&fault, &["which has only 16 threads"]);
}

#[test]
fn an_output_element_left_out_is_told() {
    let device = device();
    let launch = Launch::new(4, 32);
    let y = device.unwritten::<f32>("y", 100).unwrap();
    device.launch("leaves_one_out", &launch, args![&y, 100i32]).unwrap();
    let fault = y.read().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unwritten);
    assert_reports(&fault, &["byte 396 of buffer `y`", "never written"]);
    let y = device.unwritten::<f32>("y", 100).unwrap();
    device.launch("leaves_none_out", &launch, args![&y, 100i32]).unwrap();
    assert_eq!(y.read().unwrap()[99], 99.0);

    // A kernel that reads it is told as well.
    let holes = device.unwritten::<f32>("holes", 100).unwrap();
    device.launch("leaves_one_out", &launch, args![&holes, 100i32]).unwrap();
    let fault = caught(&device, "index_right", launch, args![&holes, &y, 100i32], FaultKind::Unwritten);
    assert_reports(&fault, &["byte 396 of buffer `holes`"]);
    let fault =
        caught(&device, "reads_unwritten_shared", Launch::new(1, 64), args![&y], FaultKind::Unwritten);
    assert_reports(&fault, &["byte 252 of shared array `tile`"]);
}

#[test]
fn a_gradient_that_forgets_the_second_side_fails_its_reference() {
    let device = device();
    let host = common::noise(32, 1.0);
    let x = device.upload("x", &host).unwrap();
    let worst = |kernel: &str| {
        let gradient = device.unwritten::<f32>("gradient", 32).unwrap();
        device.launch(kernel, &Launch::new(1, 32), args![&x, &gradient, 32i32]).unwrap();
        // d/dx_i of 1/2 sum over i and j of (x_i - x_j)^2, in which x_i comes up on both sides.
        let want = |i: usize| host.iter().map(|&v| 2.0 * (f64::from(host[i]) - f64::from(v))).sum::<f64>();
        let got = gradient.read().unwrap();
        (0..32).map(|i| (want(i) - f64::from(got[i])).abs()).fold(0.0, f64::max)
    };
    assert!(worst("both_sides") < 1e-4);
    assert!(worst("one_side") > 1.0);
}

#[test]
fn a_barrier_in_a_branch_is_told() {
    let device = device();
    let y = device.unwritten::<f32>("y", 64).unwrap();
    let launch = Launch::new(1, 64);
    let fault = caught(&device, "barrier_in_branch", launch, args![&y], FaultKind::Barrier);
    assert_reports(
        &fault,
        &["reached by only 40 of 64 threads", "has returned", &line_of("if (threadIdx.x < 40)")],
    );
    caught(&device, "barrier_after_return", launch, args![&y, 63i32], FaultKind::Barrier);
    device.launch("barrier_after_return", &launch, args![&y, 64i32]).unwrap();
    caught(&device, "two_barriers_for_one", launch, args![&y], FaultKind::Barrier);
    device.launch("barrier_in_uniform_branch", &launch, args![&y, 1i32]).unwrap();
}

#[test]
fn a_misaligned_vector_is_told() {
    let device = device();
    let x = device.upload("x", &common::noise(132, 1.0)).unwrap();
    let y = device.unwritten::<f32>("y", 132).unwrap();
    let launch = Launch::new(1, 32);
    for kernel in ["copy4", "sum4"] {
        device.launch(kernel, &launch, args![x.at(4), &y]).unwrap();
        let fault = caught(&device, kernel, launch, args![x.at(3), &y], FaultKind::Misaligned);
        assert_reports(&fault, &["float4", "no multiple of 16", "planted.cu:"]);
        let fault = caught(&device, kernel, launch, args![x.at(8), &y], FaultKind::OutOfBounds);
        assert_reports(&fault, &["at byte 528 of buffer `x`"]);
    }
}

#[test]
fn use_after_free_is_told() {
    let device = device();
    let y = device.unwritten::<f32>("y", 32).unwrap();
    let x = device.upload("x", &[1.0f32; 32]).unwrap();
    let kept = x.at(0);
    let launch = Launch::new(1, 32);
    device.launch("index_right", &launch, args![kept, &y, 32i32]).unwrap();
    drop(x);
    let fault = caught(&device, "index_right", launch, args![kept, &y, 32i32], FaultKind::UseAfterFree);
    assert_reports(&fault, &["freed buffer `x`"]);
}

#[test]
fn lanes_are_not_in_step_by_themselves() {
    let device = device();
    let x = device.upload("x", &common::noise(64, 1.0)).unwrap();
    let y = device.unwritten::<f32>("y", 64).unwrap();
    let launch = Launch::new(1, 64);
    for seed in 0..8 {
        let fault = device.launch("warp_without_sync", &launch.seed(seed), args![&x, &y]).unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Race | FaultKind::Unwritten), "{fault}");
    }
    let fault = caught(&device, "warp_with_shuffle", launch, args![&x, &y], FaultKind::Race);
    assert_reports(&fault, &["a shuffle does not order memory"]);
    let report = device.launch("warp_with_sync", &launch, args![&x, &y]).unwrap();
    assert_eq!((report.barriers, report.warp_operations), (0, 2));
    for seed in 0..8 {
        let fault = device.launch("warps_with_syncwarp", &launch.seed(seed), args![&x, &y]).unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Race | FaultKind::Unwritten), "{fault}");
    }
    for seed in 0..16 {
        device.launch("half_warps_with_sync", &Launch::new(1, 32).seed(seed), args![&x, &y]).unwrap();
    }
}

#[test]
fn a_write_after_a_read_is_a_race_unless_they_are_ordered() {
    let device = device();
    let y = device.unwritten::<f32>("y", 96).unwrap();
    // A reader and a writer in different warps; two readers of which one is the writer, or in the writer's warp.
    for (reader, other, writer) in [(0, 0, 40), (40, 40, 0), (0, 40, 0), (40, 0, 0), (1, 40, 0), (41, 64, 40)]
    {
        for seed in 0..16 {
            let launch = Launch::new(1, 96).seed(seed);
            let fault =
                device.launch("readers_and_writer", &launch, args![&y, reader, other, writer]).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Race, "{reader} {other} {writer} {fault}");
            assert_reports(&fault, &["shared array `place`"]);
        }
    }
    // All in one warp, with a __syncwarp between.
    for seed in 0..16 {
        let launch = Launch::new(1, 96).seed(seed);
        device.launch("readers_and_writer", &launch, args![&y, 3i32, 4i32, 5i32]).unwrap();
    }
    // In ascending order thread 0 reads before thread 1 writes, and no __syncwarp is between.
    let x = device.upload("x", &[1.0f32; 64]).unwrap();
    let launch = Launch::new(1, 64).keep_order();
    let fault = device.launch("reads_then_neighbour_writes", &launch, args![&x, &y]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Race, "{fault}");
    assert_reports(
        &fault,
        &["write at byte 0 of shared array `tile` races with the read by thread (0, 0, 0)"],
    );
}

#[test]
fn order_is_handed_on_from_lane_to_lane() {
    let device = device();
    let y = device.unwritten::<f32>("y", 1).unwrap();
    for seed in 0..16 {
        let launch = Launch::new(1, 32).seed(seed);
        device.launch("relay", &launch, args![&y, 1i32]).unwrap();
        let fault = device.launch("relay", &launch, args![&y, 2i32]).unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Race | FaultKind::Unwritten), "{fault}");
    }
}

#[test]
fn races_in_global_memory_are_told() {
    let device = device();
    let y = device.unwritten::<f32>("y", 64).unwrap();
    caught(&device, "all_write_one", Launch::new(1, 2), args![&y], FaultKind::Race);
    let fault = caught(&device, "blocks_write_one", Launch::new(2, 32), args![&y], FaultKind::Race);
    assert_reports(&fault, &["nothing orders two blocks", "write by block ("]);
    device.launch("blocks_write_one", &Launch::new(1, 32), args![&y]).unwrap();
    let zeros = device.zeros::<f32>("zeros", 64).unwrap();
    caught(&device, "blocks_read_each_other", Launch::new(8, 32), args![&zeros], FaultKind::Race);
    device.launch("blocks_read_each_other", &Launch::new(1, 32), args![&zeros]).unwrap();

    let fault = caught(&device, "blocks_read_one", Launch::new(4, 32), args![&zeros, 3i32], FaultKind::Race);
    assert_reports(&fault, &["nothing orders two blocks"]);
    let launch = Launch::new(4, 32).keep_order();
    let fault = device.launch("blocks_read_one", &launch, args![&zeros, 3i32]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Race, "{fault}");
    assert_reports(&fault, &["with the read by another block"]);
    device.launch("blocks_read_one", &launch, args![&zeros, 4i32]).unwrap();

    let halves = device.unwritten::<u16>("halves", 33).unwrap();
    device.launch("neighbours", &Launch::new(1, 33), args![&halves]).unwrap();
    assert_eq!(halves.read().unwrap()[32], 32);
}

#[test]
fn a_sum_in_order_of_arrival_changes_with_the_seed_and_only_with_it() {
    let device = device();
    let x = device.upload("x", &common::noise(256, 1e4)).unwrap();
    let sum = |seed| {
        let y = device.unwritten::<f32>("y", 1).unwrap();
        let count = device.zeros::<u32>("count", 1).unwrap();
        device.launch("sum_by_arrival", &Launch::new(1, 256).seed(seed), args![&x, &y, &count]).unwrap();
        y.read().unwrap()[0].to_bits()
    };
    let sums: Vec<u32> = (0..8).map(sum).collect();
    assert!(sums.iter().any(|&s| s != sums[0]), "{sums:x?}");
    assert_eq!(sums, (0..8).map(sum).collect::<Vec<_>>());
}

#[test]
fn faults_are_the_same_for_the_same_seed() {
    let told = || {
        let device = device();
        let x = device.upload("x", &[1.0f32; 64]).unwrap();
        let y = device.unwritten::<f32>("y", 64).unwrap();
        device.launch("second_barrier_removed", &Launch::new(1, 64).seed(11), args![&x, &y]).unwrap_err()
    };
    assert_eq!(told(), told());
}

#[test]
fn copies_of_every_kind_are_seen() {
    let device = device();
    let x = device.upload("x", &[7u8; 300]).unwrap();
    let y = device.unwritten::<u8>("y", 300).unwrap();
    let launch = Launch::new(1, 1);
    device.launch("copies_bytes", &launch, args![&x, &y, 300i32]).unwrap();
    assert_eq!(y.read().unwrap(), [7u8; 300]);
    caught(&device, "copies_bytes", launch, args![&x, &y, 301i32], FaultKind::OutOfBounds);
    let x = device.upload("x", &[7f32; 36]).unwrap();
    let y = device.unwritten::<f32>("y", 36).unwrap();
    device.launch("copies_rows", &Launch::new(1, 3), args![&x, &y]).unwrap();
    assert_eq!(y.read().unwrap(), [7f32; 36]);
    // A narrow access later does not forget what wide ones wrote.
    let bytes = device.unwritten::<u8>("bytes", 144).unwrap();
    device.launch("copies_bytes", &launch, args![&y, &bytes, 143i32]).unwrap();
    assert_eq!(y.read().unwrap(), [7f32; 36]);
    assert_eq!(bytes.read().unwrap_err().kind, FaultKind::Unwritten);
    caught(&device, "copies_rows", Launch::new(1, 4), args![&x, &y], FaultKind::OutOfBounds);
}

#[test]
fn impossible_launches_are_told() {
    let device = device();
    let y = device.unwritten::<f32>("y", 32).unwrap();
    let cases: [(&str, Launch, &[Arg], &str); 7] = [
        ("no_such_kernel", Launch::new(1, 32), args![&y], "the library has barrier_removed"),
        ("leaves_none_out", Launch::new(1, 32), args![&y], "takes 2 arguments, 1 given"),
        (
            "leaves_none_out",
            Launch::new(1, 32),
            args![&y, 32.0f32],
            "argument 2 is an f32, the kernel takes a 4-byte integer",
        ),
        ("leaves_none_out", Launch::new(1, 1025), args![&y, 32i32], "1 to 1024"),
        ("leaves_none_out", Launch::new(0, 32), args![&y, 32i32], "each side is at least 1"),
        ("leaves_none_out", Launch::new(1, 32).shared(50_000), args![&y, 32i32], "limit 49152"),
        ("too_much_shared", Launch::new(1, 32), args![&y], "uses 64000 bytes of shared memory"),
    ];
    for (kernel, launch, args, words) in cases {
        let fault = device.launch(kernel, &launch, args).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Launch, "{fault}");
        assert_reports(&fault, &[kernel, words]);
    }
    let report =
        device.launch("too_much_shared", &Launch::new(1, 32).shared_limit(64_000), args![&y]).unwrap();
    assert_eq!(report.shared_bytes, 64_000);
    let launch = Launch::new(1, 4);
    let (x, zero) = (device.upload("x", &[1i32, 2, 3, 4]).unwrap(), device.zeros::<i32>("zero", 4).unwrap());
    device.launch("divides", &launch, args![&x, &zero]).unwrap();
    let zero = device.zeros::<i32>("zero", 4).unwrap();
    caught(&device, "divides", launch, args![&zero, &x], FaultKind::Arithmetic);
}
