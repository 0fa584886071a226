//! The expected shares of batches and pairs with a common identity: losses of pairs need them.

use super::{Sampler, SamplerKind, pairs};

impl Sampler {
    /// Expected share of batches in which no two images show one identity: there the pairs of a batch loss are missing.
    ///
    /// Of n images with n_c of identity c, a batch of m distinct images has none of these pairs with probability
    /// e_m(n_1, n_2, ...) / C(n, m); e_m is the elementary symmetric polynomial of degree m.
    pub fn share_without_pairs(&self) -> f64 {
        let m = match self.kind {
            SamplerKind::Pk { images, .. } => return if images > 1 { 0.0 } else { 1.0 },
            SamplerKind::Pairs { pairs, positive, .. } => {
                return pairs::share_without_positive(&self.members, pairs, positive);
            }
            SamplerKind::Random { batch } | SamplerKind::Epochs { batch } => batch,
        };
        let n = self.images as f64;
        // Scaled by s^k, so that e_k of a thousand images is a number of f64.
        let s = m as f64 / (n * std::f64::consts::E);
        let mut scaled = vec![0.0; m + 1];
        scaled[0] = 1.0;
        // An image without an identity has no partner, as an identity's only image.
        let counts = self.members.iter().map(|(_, images)| images.len());
        for count in counts.chain(std::iter::repeat_n(1, self.unlabelled)) {
            for k in (1..=m).rev() {
                scaled[k] += scaled[k - 1] * count as f64 * s;
            }
        }
        let all: f64 = (0..m).map(|i| ((n - i as f64) / (i + 1) as f64 * s).ln()).sum();
        (scaled[m].ln() - all).exp().clamp(0.0, 1.0)
    }

    /// Expected share of the pairs (i, i + m/2) of a batch of m images that show one identity: of n images with n_c of
    /// identity c, two distinct ones show one with probability sum n_c (n_c - 1) / (n (n - 1)). Of the pairs sampler that of
    /// the first epoch.
    pub fn share_of_equal_pairs(&self) -> f64 {
        match self.kind {
            SamplerKind::Pk { .. } => 0.0,
            SamplerKind::Pairs { positive, decay, least, .. } => pairs::share(positive, decay, least, 0),
            SamplerKind::Random { .. } | SamplerKind::Epochs { .. } => {
                let ordered_pairs = |n: usize| n as f64 * (n as f64 - 1.0);
                let equal: f64 = self.members.iter().map(|(_, images)| ordered_pairs(images.len())).sum();
                equal / ordered_pairs(self.images)
            }
        }
    }
}
