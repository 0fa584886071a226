//! Intrinsics, warp values and bf16 against known numbers.

mod common;

use softcuda::{Launch, args};

#[test]
fn intrinsics_give_known_values() {
    let device = common::device("planted.cu");
    let y = device.unwritten::<u32>("y", 16).unwrap();
    device.launch("intrinsics", &Launch::new(1, 1), args![&y]).unwrap();
    let product = (0xd251_1f53u64 * 0xdead_beef) >> 32;
    let want = [
        product as u32,
        8,
        31,
        32,
        4,
        0x8000_0000,
        0x3f80_0000,
        2,
        4,
        i32::MAX as u32,
        0,
        0,
        i32::MIN as u32,
        0.5f32.to_bits(),
        0x4049_0fdb,
        3,
    ];
    assert_eq!(y.read().unwrap(), want);
}

#[test]
fn shuffles_and_votes_follow_the_programming_guide() {
    let device = common::device("planted.cu");
    for seed in 0..4 {
        let y = device.unwritten::<u32>("y", 256).unwrap();
        let wide = device.unwritten::<i64>("wide", 32).unwrap();
        device.launch("warp_values", &Launch::new(1, 32).seed(seed), args![&y, &wide]).unwrap();
        let thirds = (0..32).filter(|lane| lane % 3 == 0).fold(0u32, |mask, lane| mask | 1 << lane);
        for (lane, row) in (0u32..).zip(y.read().unwrap().chunks(8)) {
            let up = if lane % 8 < 2 { lane } else { lane - 2 };
            let down = if lane % 8 > 5 { lane } else { lane + 2 };
            assert_eq!(row, [lane / 8 * 8 + 3, up, down, lane ^ 5, thirds, 1, 0, 15], "lane {lane}");
        }
        for (lane, value) in (0i64..).zip(wide.read().unwrap()) {
            assert_eq!(value, (lane - 1).max(0) << 40);
        }
    }
}

#[test]
fn bf16_rounds_to_nearest_even() {
    let device = common::device("planted.cu");
    let x: Vec<f32> = [
        0x3f80_0000u32, // 1
        0x3f80_8000,    // a tie, down to the even 0x3f80
        0x3f81_8000,    // a tie, up to the even 0x3f82
        0x3f80_8001,    // just above a tie
        0x3f80_7fff,    // just below
        0x7f7f_ffff,    // the largest float rounds to infinity
        0xff80_0000,    // minus infinity stays
        0x7fc0_0001,    // NaN
        0x0000_0001,    // the smallest subnormal
        0x8000_8001,    // a negative subnormal
    ]
    .map(f32::from_bits)
    .into();
    let want = [0x3f80u16, 0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0xff80, 0x7fff, 0, 0x8001];
    let input = device.upload("x", &x).unwrap();
    let bits = device.unwritten::<u16>("bits", x.len()).unwrap();
    let back = device.unwritten::<f32>("back", x.len()).unwrap();
    device
        .launch("rounds_to_bf16", &Launch::new(1, 32), args![&input, &bits, &back, x.len() as i32])
        .unwrap();
    assert_eq!(bits.read().unwrap(), want);
    for (bits, back) in want.iter().zip(back.read().unwrap()) {
        assert_eq!(u32::from(*bits) << 16, back.to_bits());
    }
}
