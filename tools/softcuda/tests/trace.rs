//! The trace of a block: what it records, its bound, and that it is recorded for one block and on request alone.

mod common;

use softcuda::{AccessKind, Event, FaultKind, Launch, Trace, Wait, args};

/// A row softmax of two rows of 64 columns, with 64 threads.
fn softmax(launch: &Launch) -> Trace {
    let device = common::device("softmax.cu");
    let x = device.upload("x", &common::noise(128, 4.0)).unwrap();
    let y = device.unwritten::<f32>("y", 128).unwrap();
    device.launch("softmax", launch, args![&x, &y, 64i32]).unwrap();
    device.take_trace()
}

fn waits(trace: &Trace, wanted: Wait) -> usize {
    trace.events.iter().filter(|event| matches!(event, Event::Wait { wait, .. } if *wait == wanted)).count()
}

/// The line of softmax.cu that holds `text`, as a trace names it.
fn line_of(text: &str) -> String {
    let source = include_str!("kernels/softmax.cu");
    format!("softmax.cu:{}", 1 + source.lines().position(|line| line.contains(text)).unwrap())
}

#[test]
fn a_trace_has_each_wait_and_each_access_of_its_block() {
    for seed in 0..3 {
        let trace = softmax(&Launch::new(2, 64).seed(seed).trace(1));
        assert_eq!(trace.lost, 0);
        // Three barriers, and four reductions of five shuffles.
        assert_eq!((waits(&trace, Wait::Block), waits(&trace, Wait::Warp)), (3 * 64, 20 * 64));
        let passed = |wanted| {
            let threads = trace.events.iter().filter_map(|event| match event {
                Event::Pass { wait, threads, .. } if *wait == wanted => Some(threads.clone()),
                _ => None,
            });
            threads.collect::<Vec<_>>()
        };
        assert_eq!(passed(Wait::Block), vec![(0..64).collect::<Vec<u32>>(); 3]);
        let of_warps = passed(Wait::Warp);
        for warp in 0..2 {
            let lanes: Vec<u32> = (32 * warp..32 * warp + 32).collect();
            assert_eq!(of_warps.iter().filter(|threads| **threads == lanes).count(), 20, "seed {seed}");
        }
        let runs = trace.events.iter().filter(|event| matches!(event, Event::Run { .. })).count();
        let returns = trace.events.iter().filter(|event| matches!(event, Event::Return { .. })).count();
        assert_eq!((runs, returns), (64 * 24, 64));

        // The second row begins at byte 256: lines 2 and 3 of x, which each of two warps reads three times.
        let names: Vec<&str> = trace.arrays.iter().map(|array| array.name.as_str()).collect();
        assert_eq!(names, ["x", "partial", "y"]);
        assert_eq!((trace.arrays[0].bytes, trace.arrays[1].is_shared), (512, true));
        let accesses = trace.warp_accesses();
        let of =
            |array, kind| accesses.iter().filter(move |access| access.array == array && access.kind == kind);
        for (array, kind, times) in [(0, AccessKind::Read, 3), (2, AccessKind::Write, 1)] {
            for warp in 0..2u64 {
                let begin = 256 + 128 * warp;
                let own: Vec<_> = of(array, kind).filter(|access| u64::from(access.warp) == warp).collect();
                assert_eq!(own.len(), times);
                for access in own {
                    assert_eq!((access.lanes, &access.ranges[..]), (32, &[(begin, begin + 128)][..]));
                    assert_eq!((access.pieces(32).len(), access.pieces(128).len()), (4, 1));
                }
            }
        }
        // Lane 0 of each warp writes its result twice.
        let written: Vec<_> = of(1, AccessKind::Write).map(|access| (access.warp, access.lanes)).collect();
        assert_eq!((written.len(), written.iter().all(|&(_, lanes)| lanes == 1)), (4, true), "{written:?}");
    }
}

#[test]
fn a_trace_names_the_lines_of_the_source() {
    let trace = softmax(&Launch::new(2, 64).keep_order().trace(0));
    let place = trace.events.iter().find_map(|event| match event {
        Event::Wait { wait: Wait::Block, operation, place, .. } => Some((operation.clone(), place.clone())),
        _ => None,
    });
    let (operation, place) = place.unwrap();
    assert_eq!(operation, "__syncthreads");
    assert!(place.ends_with(&line_of("__syncthreads();")), "{place}");
    let accesses = trace.warp_accesses();
    // Without addr2line there are no lines.
    let first = &accesses[0].places;
    assert!(first.is_empty() || first[0].ends_with(&line_of("__ldg(row + i)")), "{first:?}");
}

#[test]
fn no_trace_is_recorded_without_a_request_and_a_second_one_replaces_the_first() {
    assert_eq!(softmax(&Launch::new(2, 64)), Trace::default());
    let device = common::device("softmax.cu");
    let x = device.upload("x", &common::noise(64, 1.0)).unwrap();
    let y = device.unwritten::<f32>("y", 64).unwrap();
    let launch = Launch::new(1, 32).trace(0);
    device.launch("softmax", &launch, args![&x, &y, 64i32]).unwrap();
    device.launch("softmax", &launch, args![&x, &y, 32i32]).unwrap();
    let trace = device.take_trace();
    assert_eq!(waits(&trace, Wait::Block), 3 * 32);
    assert_eq!(device.take_trace(), Trace::default());
}

#[test]
fn a_trace_is_bounded_and_says_what_it_lost() {
    let whole = softmax(&Launch::new(2, 64).seed(5).trace(1));
    let cut = softmax(&Launch::new(2, 64).seed(5).trace(1).trace_limit(100));
    assert_eq!(cut.events.len(), 100);
    assert_eq!(cut.lost, whole.events.len() as u64 - 100);
    let kinds =
        |trace: &Trace| -> Vec<_> { trace.events.iter().take(100).map(std::mem::discriminant).collect() };
    assert_eq!(kinds(&cut), kinds(&whole));
    assert!(cut.svg("cut").contains("further events were not recorded"));

    let device = common::device("softmax.cu");
    let x = device.upload("x", &[1.0f32; 32]).unwrap();
    let fault = device.launch("softmax", &Launch::new(2, 32).trace(2), args![&x, &x, 16i32]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Launch);
    assert!(fault.message.contains("a trace of block 2, and the grid has the blocks 0 to 1"), "{fault}");
}

#[test]
fn a_trace_ends_at_a_fault_with_the_access_that_races() {
    let device = common::device("planted.cu");
    let x = device.upload("x", &common::noise(64, 1.0)).unwrap();
    let y = device.unwritten::<f32>("y", 64).unwrap();
    let launch = Launch::new(1, 64).trace(0);
    let fault = device.launch("second_barrier_removed", &launch, args![&x, &y]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Race);
    let trace = device.take_trace();
    let Some(Event::Access { access, .. }) = trace.events.last() else {
        panic!("{:?}", trace.events.last());
    };
    assert_eq!(trace.arrays[access.array].name, "tile");
}

#[test]
fn a_picture_is_bounded_and_says_what_it_leaves_out() {
    let device = common::device("softmax.cu");
    let x = device.upload("x", &common::noise(2048, 1.0)).unwrap();
    let y = device.unwritten::<f32>("y", 1).unwrap();
    let launch = Launch::new(1, 256).shared(1024).keep_order().trace(0);
    device.launch("block_sum", &launch, args![&x, &y, 2048i32]).unwrap();
    let svg = device.take_trace().svg("block_sum");
    // Eight warps read eight times 128 bytes each: 64 lines and 64 accesses, of which 32 and 16 are drawn.
    for expected in [
        ">and 32 more lines</text>",
        ">and 48 more accesses of a warp</text>",
        ">barriers 1, 2, 3, 4, 5, 6, 7, 8: __syncthreads, softmax.cu:",
        ">warp 7</text>",
    ] {
        assert!(svg.contains(expected), "no {expected} in {svg}");
    }
    // 1,024 threads with three barriers and twenty shuffles have 24,576 runs.
    let long = device.unwritten::<f32>("long", 2048).unwrap();
    device.launch("softmax", &Launch::new(2, 1024).trace(1), args![&x, &long, 1024i32]).unwrap();
    assert!(device.take_trace().svg("softmax").contains(">the first 20,000 runs of a thread"));
}

/// The blocks of a cooperative launch run in turn; the trace has one of them, with the grid's barrier.
#[test]
fn a_block_of_a_cooperative_launch_is_traced_behind_the_barrier_of_the_grid_too() {
    let device = common::device("planted.cu");
    let x = device.upload("x", &common::noise(5 * 64, 1.0)).unwrap();
    let parts = device.unwritten::<f32>("parts", 5).unwrap();
    let y = device.unwritten::<f32>("y", 320).unwrap();
    let launch = Launch::new(5, 64).shared(64 * 4).cooperative(1).keep_order().trace(2);
    device.launch("shares_right", &launch, args![&x, &parts, &y]).unwrap();
    let trace = device.take_trace();
    assert_eq!((waits(&trace, Wait::Block), waits(&trace, Wait::Grid)), (64, 64));
    let passed = trace.events.iter().filter(|event| matches!(event, Event::Pass { wait: Wait::Grid, .. }));
    assert_eq!(passed.count(), 1);
    let returned = trace.events.iter().filter(|event| matches!(event, Event::Return { .. })).count();
    assert_eq!(returned, 64);
    // Behind the barrier each thread of this block reads the parts of all five blocks, and writes its own element.
    let of = |name: &str, kind| -> Vec<_> {
        let accesses = trace.warp_accesses();
        let own =
            |access: &&softcuda::WarpAccess| trace.arrays[access.array].name == name && access.kind == kind;
        accesses.iter().filter(own).map(|access| access.ranges.clone()).collect()
    };
    assert_eq!(of("parts", AccessKind::Read).len(), 2 * 5);
    assert_eq!(of("y", AccessKind::Write), [[(512, 640)], [(640, 768)]]);
}

#[test]
fn the_picture_shows_threads_barriers_and_memory() {
    let trace = softmax(&Launch::new(2, 64).keep_order().trace(1));
    let svg = trace.svg("softmax <1>");
    for expected in [
        "<title>softmax &lt;1&gt;</title>",
        "prefers-color-scheme: dark",
        ">warp 1</text>",
        ">1,536 runs of a thread, one behind the other, from left to right</text>",
        &format!(">barrier 1: __syncthreads, {}</text>", line_of("__syncthreads();")),
        ": 10 of warp 0, 10 of warp 1</text>",
        ">512 bytes of global memory, each cell is a sector of 32 bytes</tspan>",
        ">128 bytes of shared memory, each cell is a word of 4 bytes</tspan>",
        ">line 2</text>",
        ">4 sectors, 128 bytes</text>",
        ">1 word</text>",
    ] {
        assert!(svg.contains(expected), "no {expected} in {svg}");
    }
    assert_eq!(svg, softmax(&Launch::new(2, 64).keep_order().trace(1)).svg("softmax <1>"));
}
