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
    /// Programs that let some iterations pass until things have settled take far fewer.
    const CALM: u32 = 1024;
    /// With one poll in 64 turns, polling costs next to nothing beside the callbacks.
    const SKIPPED: u32 = 63;
    /// About as long as the kernel takes to deliver a packet or wake a process.
    const LATE: Duration = Duration::from_micros(25);
    /// Reading the clock costs a tenth of a small callback's turn.
    const STRIDE: u32 = 4;
    /// After one slow turn (a collection, a busy machine) it is not known whether all are slow; if
    /// they are, polling each turn costs little.
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
        !self.turns.is_multiple_of(Self::STRIDE) || self.try_postpone(Instant::now())
    }

    /// Puts the poll off once more if the last one is recent; whether it did. If it did not, this
    /// turn polls; if even the first turns after the last poll took too long, so do the next ones.
    fn try_postpone(&mut self, now: Instant) -> bool {
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
