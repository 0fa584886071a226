// Expect: none is deterministic and has success
/// An algorithm that a library offers for a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub is_deterministic: bool,
    /// Whether its status is success.
    pub is_success: bool,
    /// Bytes.
    pub workspace: usize,
}

/// The place of the offer to use. The offers are in the order of the library's ranking.
pub fn choose(offers: &[Offer], limit: usize) -> Option<usize> {
    let usable = || offers.iter().enumerate().filter(|(_, offer)| offer.is_deterministic);
    // Of equal workspaces min_by_key returns the first one.
    let within = usable().find(|(_, offer)| offer.workspace <= limit);
    within.or_else(|| usable().min_by_key(|(_, offer)| offer.workspace)).map(|(place, _)| place)
}
