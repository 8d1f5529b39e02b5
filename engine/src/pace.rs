//! How often a busy loop looks at the kernel.

use std::time::{Duration, Instant};

/// Decides when a poll that would not sleep may be skipped.
///
/// asyncio polls once per iteration, also while callbacks wait. For a chain of small callbacks that
/// poll costs more than all the rest, and finds nothing a million times in a row. So a loop that
/// has been busy for [`CALM`](Self::CALM) turns without an event, and without a change of what is
/// watched, skips up to [`SKIPPED`](Self::SKIPPED) polls in a row, and ends that when
/// [`LATE`](Self::LATE) has passed since the last one. The clock costs something too: it is read in
/// every [`STRIDE`](Self::STRIDE)th turn. If that finds even these few turns too long, all of the
/// next [`PAUSE`](Self::PAUSE) turns poll. The first event, the first change and the first sleep
/// end the calm.
///
/// Only a program that makes a descriptor ready itself in the middle of the chain can tell: what
/// comes from elsewhere comes at no particular turn.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The host wants the next turn to have no poll.
    skip_next: bool,
    /// Polls in a row that neither slept nor found anything.
    quiet: u32,
    /// Turns since the last poll; counted only while it is calm.
    turns: u32,
    /// When the last poll was; kept only while it is calm.
    polled: Option<Instant>,
}

impl Pace {
    /// Far more than the iterations in which programs wait for something to settle.
    const CALM: u32 = 1024;
    /// What is left of the polls' cost drowns in the callbacks'.
    const SKIPPED: u32 = 63;
    /// Of the order in which the kernel delivers a packet, or wakes a process that waits for it.
    const LATE: Duration = Duration::from_micros(25);
    /// A reading of the clock costs a tenth of a small callback's turn.
    const STRIDE: u32 = 4;
    /// One turn was long because of a collection, or of what else the machine does, or all are: then
    /// polls cost little beside them.
    const PAUSE: u32 = 64;

    /// Skips this turn's poll if the loop may do without it; whether it did.
    #[inline]
    pub(crate) fn try_skip(&mut self) -> bool {
        if std::mem::take(&mut self.skip_next) {
            return true;
        }
        if self.quiet < Self::CALM {
            return false;
        }
        self.turns += 1;
        !self.turns.is_multiple_of(Self::STRIDE) || self.is_early(Instant::now())
    }

    fn is_early(&mut self, now: Instant) -> bool {
        let late = self.polled.is_none_or(|polled| now.duration_since(polled) >= Self::LATE);
        if !late && self.turns <= Self::SKIPPED {
            return true;
        }
        if late && self.turns == Self::STRIDE && self.polled.is_some() {
            self.disturb();
            self.quiet = Self::CALM - Self::PAUSE;
        } else {
            self.turns = 0;
            self.polled = Some(now);
        }
        false
    }

    /// The next turn may do without its poll.
    #[inline]
    pub(crate) fn skip_next_poll(&mut self) {
        self.skip_next = true;
    }

    /// A poll has found nothing.
    #[inline]
    pub(crate) fn found_nothing(&mut self) {
        self.quiet = self.quiet.saturating_add(1);
    }

    /// Something is going on, or soon will be: poll every turn.
    #[inline]
    pub(crate) fn disturb(&mut self) {
        self.skip_next = false;
        self.quiet = 0;
        self.turns = 0;
        self.polled = None;
    }
}
