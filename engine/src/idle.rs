//! How long a loop has had nothing to do, and how long something.

use crate::histogram::Histogram;

/// The waits of a loop: how many, and how long they took, the one under way included. And what lies
/// between them: for as long as the loop is busy, whatever happens in the meantime waits for it.
/// Times are in seconds of the [`clock`](crate::clock).
#[derive(Debug, Default)]
pub struct Idle {
    waits: u64,
    time: f64,
    /// When the wait under way began.
    since: Option<f64>,
    /// When the work under way began.
    at_work: Option<f64>,
    busy: Histogram,
}

impl Idle {
    /// The loop goes to work: it begins to run, or to do so again, or a wait is over.
    #[inline]
    pub fn work(&mut self, now: f64) {
        self.end(now);
        self.at_work.get_or_insert(now);
    }

    /// It does not run any more.
    #[inline]
    pub fn rest(&mut self, now: f64) {
        if let Some(began) = self.at_work.take() {
            self.busy.count(now - began);
        }
    }

    /// A wait begins, unless one is under way.
    #[inline]
    pub fn begin(&mut self, now: f64) {
        self.rest(now);
        if self.since.is_none() {
            self.waits += 1;
            self.since = Some(now);
        }
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

    /// For how long it was at work, from one wait to the next. What is under way does not count
    /// yet.
    pub fn busy(&self) -> &Histogram {
        &self.busy
    }
}
