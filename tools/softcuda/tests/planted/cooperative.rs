//! Cooperative launches: the barrier of the grid, and blocks that must all fit on the device at once.

use crate::{assert_reports, caught, common, device};
use softcuda::{FaultKind, Launch, args};

#[test]
fn a_barrier_of_the_grid_orders_its_blocks() {
    let device = device();
    let host = common::noise(5 * 64, 1.0);
    let x = device.upload("x", &host).unwrap();
    let (parts, y) =
        (device.unwritten::<f32>("parts", 5).unwrap(), device.unwritten::<f32>("y", 320).unwrap());
    let launch = Launch::new(5, 64).shared(64 * 4).cooperative(1);
    for seed in 0..8 {
        let report = device.launch("shares_right", &launch.seed(seed), args![&x, &parts, &y]).unwrap();
        assert_eq!((report.blocks, report.threads, report.grid_barriers), (5, 320, 1));
        let total: f32 = host.chunks(64).map(|part| part.iter().sum::<f32>()).sum();
        let y = y.read().unwrap();
        assert!(host.iter().zip(&y).all(|(x, y)| *y == 2.0 * x / total), "seed {seed}");
    }

    // Without the barrier the first block to run reads a part that nobody has written, a later one an unordered write.
    for kernel in ["shares_no_barrier", "shares_others_part"] {
        for seed in 0..8 {
            let parts = device.unwritten::<f32>("parts", 5).unwrap();
            let fault = device.launch(kernel, &launch.seed(seed), args![&x, &parts, &y]).unwrap_err();
            assert!(matches!(fault.kind, FaultKind::Race | FaultKind::Unwritten), "{fault}");
            assert_reports(&fault, &[kernel, "`parts`", "planted.cu:"]);
        }
    }
    let barrier = FaultKind::Barrier;
    let fault = caught(&device, "shares_block_left_out", launch, args![&x, &parts, &y], barrier);
    assert_reports(&fault, &["the barrier of the grid reached by only 4 of 5 blocks: block 1 has returned"]);
    let fault = caught(&device, "shares_thread_left_out", launch, args![&x, &parts, &y], barrier);
    assert_reports(
        &fault,
        &["the barrier of the grid reached by only 63 of 64 threads", "block (1, 0, 0)", "has returned"],
    );
    let fault = caught(&device, "shares_two_barriers", launch, args![&x, &parts, &y], barrier);
    assert_reports(&fault, &["different barriers of the grid", "waits at the barrier of the grid of"]);
    let fault =
        caught(&device, "shares_right", Launch::new(5, 64).shared(256), args![&x, &parts, &y], barrier);
    assert_reports(&fault, &["in a launch that is not cooperative", "cuLaunchCooperativeKernel"]);
}

/// Blocks that wait for blocks which do not fit on the device would wait for ever.
#[test]
fn a_cooperative_launch_is_resident() {
    let device = device();
    let x = device.upload("x", &common::noise(40 * 64, 1.0)).unwrap();
    let (parts, y) =
        (device.unwritten::<f32>("parts", 40).unwrap(), device.unwritten::<f32>("y", 40 * 64).unwrap());
    let launch = Launch::new(40, 64).shared(64 * 4);
    device.launch("shares_right", &launch.cooperative(2), args![&x, &parts, &y]).unwrap();
    let fault =
        caught(&device, "shares_right", launch.cooperative(1), args![&x, &parts, &y], FaultKind::Launch);
    assert_reports(&fault, &["cooperative launch of 40 blocks of 64 threads", "hold only 32 at once"]);
    // By shared memory, of which 256 bytes are static.
    let launch = Launch::new(3, 64).shared_limit(100 << 10);
    let most = launch.shared((75 << 10) - 256).cooperative(1);
    device.launch("shares_right", &most, args![&x, &parts, &y]).unwrap();
    let more = launch.shared((75 << 10) - 252).cooperative(1);
    let fault = caught(&device, "shares_right", more, args![&x, &parts, &y], FaultKind::Launch);
    assert_reports(&fault, &["76804 bytes of shared memory", "hold only 2 at once"]);
}
