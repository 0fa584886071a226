//! Kernels that are right: their numbers, and that they do not depend on the order of the threads.

mod common;

use softcuda::{Launch, args};

fn softmax_f64(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(f64::from(b)));
    let e: Vec<f64> = row.iter().map(|&v| (f64::from(v) - largest).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|v| v / sum).collect()
}

#[test]
fn softmax_agrees_with_f64() {
    let device = common::device("softmax.cu");
    for (rows, columns, block) in [(1, 1, 32), (5, 77, 64), (3, 1000, 256), (2, 33, 1024)] {
        let x = common::noise(rows * columns, 8.0);
        let input = device.upload("x", &x).unwrap();
        let output = device.unwritten::<f32>("y", x.len()).unwrap();
        let launch = Launch::new(rows as u32, block).seed(columns as u64);
        let report = device.launch("softmax", &launch, args![&input, &output, columns as i32]).unwrap();
        assert_eq!((report.blocks, report.barriers), (rows as u64, 3 * rows as u64));
        assert_eq!(report.global_bytes_read, 3 * 4 * x.len() as u64);
        assert_eq!(report.global_bytes_written, 4 * x.len() as u64);
        assert_eq!(report.shared_bytes, 128);
        let y = output.read().unwrap();
        for (row, got) in x.chunks(columns).zip(y.chunks(columns)) {
            for (want, got) in softmax_f64(row).iter().zip(got) {
                assert!((want - f64::from(*got)).abs() <= 1e-6 * want + 1e-12, "{want} {got}");
            }
        }
    }
}

#[test]
fn a_reduction_in_fixed_order_has_the_same_bits_for_every_seed() {
    let device = common::device("softmax.cu");
    let x = common::noise(4097, 100.0);
    let input = device.upload("x", &x).unwrap();
    let sums: Vec<u32> = (0..8)
        .map(|seed| {
            let output = device.unwritten::<f32>("sum", 1).unwrap();
            let launch = Launch::new(1, 256).shared(256 * 4).seed(seed);
            device.launch("block_sum", &launch, args![&input, &output, 4097i32]).unwrap();
            output.read().unwrap()[0].to_bits()
        })
        .collect();
    assert!(sums.iter().all(|&bits| bits == sums[0]), "{sums:x?}");
    let reference: f64 = x.iter().map(|&v| f64::from(v)).sum();
    assert!((f64::from(f32::from_bits(sums[0])) - reference).abs() < 0.05, "{reference}");
}
