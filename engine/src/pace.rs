//! How often a busy loop looks at the kernel.

use std::time::{Duration, Instant};

/// Decides when a poll that would not sleep may be left out.
///
/// asyncio polls once per iteration, also while callbacks wait. For a chain of small callbacks that
/// poll costs more than all the rest, and finds nothing a million times in a row. So a loop that
/// has been busy for [`CALM`](Self::CALM) turns without an event, and without a change of what is
/// watched, leaves out up to [`LEFT_OUT`](Self::LEFT_OUT) polls in a row, each only after a turn
/// shorter than [`TURN`](Self::TURN). That bounds how late an event can be seen. The first event,
/// the first change and the first sleep end the calm.
///
/// Only a program that makes a descriptor ready itself, within such a turn, can tell: what comes
/// from elsewhere comes at no particular turn. And a turn in which it sends takes longer.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Polls in a row that neither slept nor found anything.
    quiet: u32,
    /// Polls left out since the last one.
    left_out: u32,
    /// When the turn before this one got here; kept only while it is calm.
    last: Option<Instant>,
}

impl Pace {
    /// Far more than the iterations in which programs wait for something to settle.
    const CALM: u32 = 1024;
    /// One poll in sixteen is a sixteenth of the cost: what is left of it drowns in the callbacks'.
    const LEFT_OUT: u32 = 15;
    /// About the least that a `send` on a local socket takes. Beside a longer turn the poll is cheap.
    const TURN: Duration = Duration::from_micros(1);

    /// Whether this turn may do without its poll.
    #[inline]
    pub(crate) fn leaves_out(&mut self) -> bool {
        if self.quiet < Self::CALM {
            return false;
        }
        let now = Instant::now();
        let last = self.last.replace(now);
        let leaves_out = self.left_out < Self::LEFT_OUT
            && last.is_some_and(|last| now.duration_since(last) < Self::TURN);
        self.left_out = if leaves_out { self.left_out + 1 } else { 0 };
        leaves_out
    }

    /// A poll has found nothing.
    #[inline]
    pub(crate) fn found_nothing(&mut self) {
        self.quiet = self.quiet.saturating_add(1);
    }

    /// Something is going on, or soon will be: poll every turn.
    #[inline]
    pub(crate) fn disturb(&mut self) {
        self.quiet = 0;
        self.last = None;
    }
}
