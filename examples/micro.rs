use bcreid::device::cpu::tile::*;
#[repr(C)]
struct Ts {
    s: i64,
    n: i64,
}
unsafe extern "C" {
    fn clock_gettime(id: i32, t: *mut Ts) -> i32;
}
fn cpu() -> f64 {
    let mut t = Ts { s: 0, n: 0 };
    unsafe { clock_gettime(2, &mut t) };
    t.s as f64 + t.n as f64 * 1e-9
}
fn main() {
    for (count, step) in [(64, 1), (256, 1), (256, 6), (64, 6), (384, 1)] {
        let a = vec![0.5f32; 400 * 6 * 6];
        let b = vec![0.25f32; 400 * 16];
        let mut c = vec![0f32; 96];
        let st: [Rows; 1] = [std::array::from_fn(|i| if step == 1 { &a[i * 400..] } else { &a[i..] })];
        let mut best = 1e9f64;
        for _ in 0..20 {
            let t = cpu();
            for _ in 0..20000 {
                tile(
                    Depth { stretches: &st, first: 0, count, step },
                    &b,
                    Start::Add,
                    &mut c,
                    std::array::from_fn(|i| i * 16),
                );
            }
            best = best.min(cpu() - t);
        }
        println!("{count} {step}: {:.1} GF/s", 20000.0 * 192.0 * count as f64 / best / 1e9);
    }
}
