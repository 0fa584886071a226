//! The two number types of the libraries, and how near a result must be.

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    F32,
    Bf16,
}

impl Type {
    pub fn bytes(self) -> usize {
        if self == Type::F32 { 4 } else { 2 }
    }

    /// Made-up numbers that the type holds exactly; another `seed` gives others.
    pub fn noise(self, count: usize, seed: usize) -> Vec<f32> {
        let values = super::noise(count + 97 * seed, 1.0).split_off(97 * seed);
        self.decode(&self.encode(&values))
    }

    /// Numbers as they lie in memory; bits that do not fit are cut off.
    pub fn encode(self, values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()[4 - self.bytes()..].to_vec()).collect()
    }

    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let number = |bytes: &[u8]| {
            let mut all = [0; 4];
            all[4 - bytes.len()..].copy_from_slice(bytes);
            f32::from_le_bytes(all)
        };
        bytes.chunks(self.bytes()).map(number).collect()
    }

    /// Checks the result of a sum of some hundred f32 terms of size 1 against the same in f64.
    #[track_caller]
    pub fn assert_near(self, got: &[f32], want: &[f64], what: &str) {
        assert_eq!(got.len(), want.len(), "{what}");
        let rounding = if self == Type::F32 { 1e-6 } else { 1.0 / 256.0 };
        for (i, (&got, want)) in got.iter().zip(want).enumerate() {
            let far = (f64::from(got) - want).abs();
            assert!(far <= rounding * want.abs() + 1e-5, "{what}: element {i} is {got}, not {want}");
        }
    }
}

/// A number after rounding to TF32's 10 bits of mantissa, to nearest, ties to even.
pub fn tf32(value: f32) -> f32 {
    let bits = value.to_bits();
    f32::from_bits((bits + 0xfff + (bits >> 13 & 1)) & !0x1fff)
}
