//! How long a loop has had nothing to do.

/// The waits of a loop: how many, and how long they took, the one under way included. Times are in
/// seconds of the [`clock`](crate::clock).
#[derive(Debug, Default)]
pub struct Idle {
    waits: u64,
    time: f64,
    /// When the wait under way began.
    since: Option<f64>,
}

impl Idle {
    /// A wait begins.
    #[inline]
    pub fn begin(&mut self, now: f64) {
        self.waits += 1;
        self.since = Some(now);
    }

    /// It is over.
    #[inline]
    pub fn end(&mut self, now: f64) {
        self.time = self.time(now);
        self.since = None;
    }

    /// How many waits have begun.
    pub fn waits(&self) -> u64 {
        self.waits
    }

    /// For how long the loop has waited in all.
    #[inline]
    pub fn time(&self, now: f64) -> f64 {
        self.time + self.since.map_or(0.0, |since| now - since)
    }
}
