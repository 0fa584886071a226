//! Several streams on the stand-in driver: the order of their work, captures with a fork and a join, and races.

mod common;

use std::ptr;
use std::sync::Arc;

use common::stand_ins::{
    Process, alloc, captured, download, enqueue_download, open_stream, upload, uploaded, wait,
};
use cudarc::driver::result;
use cudarc::driver::sys::{self, CUresult, CUstreamCaptureMode};
use cudarc::driver::{CudaStream, DriverError};

const ORDERS: [&str; 3] = ["needed", "others", "mixed"];
const THREAD_LOCAL: CUstreamCaptureMode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;

fn open_two() -> [Arc<CudaStream>; 2] {
    let first = open_stream();
    let second = first.context().new_stream().unwrap();
    [first, second]
}

/// Enqueues a copy of 32 bytes.
fn copy(stream: &CudaStream, to: u64, from: u64) {
    // SAFETY: the stand-in checks the ranges.
    unsafe { result::memcpy_dtod_async(to, from, 32, stream.cu_stream()) }.unwrap();
}

fn end(stream: &Arc<CudaStream>) -> Option<CUresult> {
    stream.end_capture(sys::CUgraphInstantiate_flags(0)).err().map(|error: DriverError| error.0)
}

fn failed(stream: &CudaStream) {
    assert_eq!(wait(stream).unwrap_err().0, CUresult::CUDA_ERROR_LAUNCH_FAILED);
}

/// Runs `body` in a process for each order of the streams.
fn in_each_order(test: &'static str, says: Option<&'static str>, body: fn()) {
    for order in ORDERS {
        let process = Process::of(test).set("SOFTCUDA_STREAMS", order);
        let process = match says {
            Some(text) => process.says(text),
            None => process,
        };
        process.run(body);
        if std::env::var_os("SOFTCUDA_KERNELS").is_some() {
            return;
        }
    }
}

#[test]
fn an_event_orders_two_streams() {
    in_each_order("an_event_orders_two_streams", None, || {
        let [main, side] = open_two();
        let (x, y) = (alloc(32), alloc(32));
        for value in [1.0f32, 2.0] {
            upload(&main, x, &[value; 8]);
            side.join(&main).unwrap();
            copy(&side, y, x);
            main.join(&side).unwrap();
            assert_eq!(download::<f32>(&main, y, 8), [value; 8]);
        }
    });
}

#[test]
fn a_write_without_an_event_is_a_race() {
    in_each_order("a_write_without_an_event_is_a_race", Some("race between streams: "), || {
        let [main, side] = open_two();
        let (x, y) = (uploaded(&main, &[1.0f32; 8]), alloc(32));
        side.join(&main).unwrap();
        copy(&side, y, x);
        // In bytes that the other stream reads.
        upload(&main, x, &[2.0f32; 8]);
        main.join(&side).unwrap();
        failed(&main);
    });
}

#[test]
fn a_race_names_both_sides() {
    let says = "race between streams: download reads bytes 16 to 32 of `allocation 1`, and no event orders it after \
                upload has written (work 1 of chain 0)";
    Process::of("a_race_names_both_sides").set("SOFTCUDA_STREAMS", "others").says(says).run(|| {
        let [main, side] = open_two();
        let x = uploaded(&main, &[1.0f32; 8]);
        let mut host = [0.0f32; 4];
        enqueue_download(&side, &mut host, x + 16);
        failed(&side);
    });
}

#[test]
fn streams_without_a_conflict_need_no_event() {
    in_each_order("streams_without_a_conflict_need_no_event", None, || {
        let [main, side] = open_two();
        let x = uploaded(&main, &[1.0f32; 16]);
        side.join(&main).unwrap();
        // Both read all bytes, and each writes its half of others.
        let y = alloc(64);
        copy(&main, y, x);
        copy(&side, y + 32, x);
        main.join(&side).unwrap();
        assert_eq!(download::<f32>(&main, y, 16), [1.0; 16]);
    });
}

#[test]
fn a_wait_of_the_host_orders_too() {
    in_each_order("a_wait_of_the_host_orders_too", None, || {
        let [main, side] = open_two();
        let x = uploaded(&side, &[1.0f32; 8]);
        wait(&side).unwrap();
        upload(&main, x, &[2.0f32; 8]);
        let event = main.record_event(None).unwrap();
        event.synchronize().unwrap();
        assert_eq!(download::<f32>(&side, x, 8), [2.0; 8]);
    });
}

/// Host memory has no history, so that its bits show which stream came first.
fn order_of_two() -> f32 {
    let [main, side] = open_two();
    let (x, y) = (alloc(4), uploaded(&side, &[2.0f32]));
    // SAFETY: as large as one number, which is written before it is read.
    let pinned = unsafe {
        let memory = result::malloc_host(4, 0).unwrap().cast::<f32>();
        ptr::write(memory, 1.0);
        std::slice::from_raw_parts_mut(memory, 1)
    };
    upload(&main, x, pinned);
    enqueue_download(&side, pinned, y);
    download::<f32>(&main, x, 1)[0]
}

#[test]
fn the_stream_that_is_waited_for_comes_first() {
    Process::of("the_stream_that_is_waited_for_comes_first")
        .set("SOFTCUDA_STREAMS", "needed")
        .run(|| assert_eq!(order_of_two(), 1.0));
}

#[test]
fn the_other_stream_comes_first() {
    Process::of("the_other_stream_comes_first")
        .set("SOFTCUDA_STREAMS", "others")
        .run(|| assert_eq!(order_of_two(), 2.0));
}

#[test]
fn the_seed_chooses_the_order() {
    Process::of("the_seed_chooses_the_order").set("SOFTCUDA_SEED", 1).run(|| assert_eq!(order_of_two(), 2.0));
}

/// An event adds no node, and each replay obeys it.
#[test]
fn a_capture_may_fork_and_join() {
    in_each_order("a_capture_may_fork_and_join", None, || {
        let [main, side] = open_two();
        let [x, y, z, other] = [(); 4].map(|()| alloc(32));
        main.begin_capture(THREAD_LOCAL).unwrap();
        copy(&main, y, x);
        side.join(&main).unwrap();
        copy(&side, z, y);
        copy(&main, other, x);
        main.join(&side).unwrap();
        copy(&main, y, z);
        // SAFETY: the capture was begun above, and there is one place for the number.
        let nodes = unsafe {
            let graph = result::stream::end_capture(main.cu_stream()).unwrap();
            let mut count = 0;
            sys::cuGraphGetNodes(graph, ptr::null_mut(), &raw mut count).result().unwrap();
            count
        };
        assert_eq!(nodes, 4);
    });
}

fn fork_in_capture(main: &Arc<CudaStream>, side: &Arc<CudaStream>, [x, y, z]: [u64; 3]) {
    copy(main, y, x);
    side.join(main).unwrap();
    copy(side, z, y);
    main.join(side).unwrap();
    copy(main, y, z);
}

#[test]
fn replays_keep_the_order_of_a_capture() {
    in_each_order("replays_keep_the_order_of_a_capture", None, || {
        let [main, side] = open_two();
        let arrays = [(); 3].map(|()| alloc(32));
        let graph = captured(&main, || fork_in_capture(&main, &side, arrays));
        for value in [1.0f32, 2.0] {
            upload(&main, arrays[0], &[value; 8]);
            graph.launch().unwrap();
            graph.launch().unwrap();
            assert_eq!(download::<f32>(&main, arrays[1], 8), [value; 8]);
        }
        // The second stream is free again.
        upload(&side, arrays[2], &[7.0f32; 8]);
        assert_eq!(download::<f32>(&side, arrays[2], 8), [7.0; 8]);
    });
}

#[test]
fn a_branch_without_an_edge_is_a_race() {
    in_each_order("a_branch_without_an_edge_is_a_race", Some("race between streams: "), || {
        let [main, side] = open_two();
        let [x, y, z] = [(); 3].map(|()| alloc(32));
        upload(&main, x, &[1.0f32; 8]);
        let graph = captured(&main, || {
            copy(&main, y, x);
            side.join(&main).unwrap();
            copy(&side, z, y);
            copy(&main, y, x);
            main.join(&side).unwrap();
        });
        graph.launch().unwrap();
        failed(&main);
    });
}

#[test]
fn a_branch_that_is_not_joined_is_refused() {
    Process::of("a_branch_that_is_not_joined_is_refused").says("has not waited for").run(|| {
        let [main, side] = open_two();
        let arrays = [(); 3].map(|()| alloc(32));
        main.begin_capture(THREAD_LOCAL).unwrap();
        fork_in_capture(&main, &side, arrays);
        copy(&side, arrays[2], arrays[0]);
        assert_eq!(end(&main), Some(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNJOINED));
        // A branch without work as well.
        main.begin_capture(THREAD_LOCAL).unwrap();
        side.join(&main).unwrap();
        assert_eq!(end(&main), Some(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNJOINED));
        main.begin_capture(THREAD_LOCAL).unwrap();
        side.join(&main).unwrap();
        assert_eq!(end(&side), Some(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNMATCHED));
        assert_eq!(end(&main), Some(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
    });
}

#[test]
fn events_of_other_captures_are_refused() {
    Process::of("events_of_other_captures_are_refused").says("one of another capture").run(|| {
        let [main, side] = open_two();
        // Recorded before the capture.
        let before = side.record_event(None).unwrap();
        main.begin_capture(THREAD_LOCAL).unwrap();
        assert_eq!(main.wait(&before).unwrap_err().0, CUresult::CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
        assert_eq!(end(&main), Some(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        // Of another capture.
        main.begin_capture(THREAD_LOCAL).unwrap();
        side.begin_capture(THREAD_LOCAL).unwrap();
        assert_eq!(main.join(&side).unwrap_err().0, CUresult::CUDA_ERROR_STREAM_CAPTURE_MERGE);
        for stream in [&main, &side] {
            assert_eq!(end(stream), Some(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        }
        // Of a capture that has ended.
        main.begin_capture(THREAD_LOCAL).unwrap();
        let inside = main.record_event(None).unwrap();
        assert_eq!(end(&main), None);
        assert_eq!(side.wait(&inside).unwrap_err().0, CUresult::CUDA_ERROR_CAPTURED_EVENT);
        assert_eq!(inside.synchronize().unwrap_err().0, CUresult::CUDA_ERROR_CAPTURED_EVENT);
    });
}
