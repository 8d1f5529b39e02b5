//! How long an idle loop polls before it sleeps.

use std::time::{Duration, Instant};

/// Decides whether an idle loop polls once more or sleeps.
///
/// Sleeping and being woken costs more than a small message. A loop that polls instead has the
/// message at once, but keeps a core busy meanwhile: it polls only if the host gives it time.
///
/// The time is handed out in slices: between them the host can look after what does not end a poll,
/// such as signals (S4.15).
#[derive(Debug, Default)]
pub struct Spin {
    limit: Duration,
    /// When the loop became idle, while it polls for that.
    since: Option<Instant>,
}

impl Spin {
    /// The longest limit: beyond it nothing is won, and a core is lost.
    pub const LONGEST: Duration = Duration::from_secs(1);
    /// The longest slice: a signal is noticed as late as that.
    pub const SLICE: Duration = Duration::from_micros(100);

    /// Sets for how long the loop polls each time it becomes idle, at most
    /// [`LONGEST`](Self::LONGEST). Zero, as in the beginning, is off.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit.min(Self::LONGEST);
        self.since = None;
    }

    /// For how long the loop polls each time it becomes idle.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// For how long to poll next, without sleeping; `None` if it is time to sleep.
    ///
    /// `timeout` is how long the loop could sleep. A slice that lasts until then ends this
    /// idleness, as sleeping does, and as [`disturb`](Self::disturb) does: the next one has its
    /// whole time.
    #[inline]
    pub fn slice(&mut self, timeout: Option<Duration>, now: Instant) -> Option<Duration> {
        if self.limit.is_zero() {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let left = self.limit.saturating_sub(now.saturating_duration_since(since));
        if left.is_zero() {
            self.since = None;
            return None;
        }
        let slice = left.min(Self::SLICE);
        match timeout {
            Some(timeout) if timeout <= slice => {
                self.since = None;
                Some(timeout)
            }
            _ => Some(slice),
        }
    }

    /// There is work: the loop is not idle any more.
    #[inline]
    pub fn disturb(&mut self) {
        self.since = None;
    }
}
