//! How late timers come.

use crate::histogram::Histogram;

/// How much later than its deadline each timer was taken.
///
/// A deadline that had passed when its timer was made says nothing about the loop. When that was is
/// not known, but a time before it is: the last one at which no timer was late.
#[derive(Debug, Default)]
pub struct Lateness {
    delays: Histogram,
    /// A time at which no timer was late, the last one known.
    punctual: f64,
}

impl Lateness {
    /// A timer with the deadline `when` is taken (seconds of the loop's clock).
    #[inline]
    pub fn count(&mut self, when: f64, now: f64) {
        self.delays.count(now - when.max(self.punctual));
    }

    /// At `now` no timer was late.
    #[inline]
    pub fn note_punctual(&mut self, now: f64) {
        self.punctual = now;
    }

    /// By how much they were late; those who were early, by the clock's margin, not at all.
    pub fn delays(&self) -> &Histogram {
        &self.delays
    }
}
