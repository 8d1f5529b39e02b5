//! Writes that nobody will read.

/// So many pass without a warning (S0.24).
const QUIET: u32 = 5;

/// How many there were (S16.18, S31.14).
#[derive(Default)]
pub(crate) struct LostWrites(u32);

impl LostWrites {
    /// One more; whether it is worth a warning.
    pub(crate) fn count(&mut self) -> bool {
        let before = self.0;
        self.0 = before.saturating_add(1);
        before >= QUIET
    }
}
