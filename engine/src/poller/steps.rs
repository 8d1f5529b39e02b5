//! The steps of a poll: what the kernel is told before it, and what it has found.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::getpid;

use super::{Poller, WAKER};
use crate::readiness::{Interest, Readiness};
use crate::sys::Kernel;
use crate::token::Token;
use crate::wait::Wait;

/// Polls in a row with ghosts before the kernel side is replaced. The first may find the ghost by
/// its number and delete it; a second means that this did not help.
const HAUNTED: u8 = 2;

impl<W> Poller<W> {
    /// First step of a poll: tells the kernel what changed and hands out what is needed to sleep
    /// for at most `timeout`. `None` is forever; more than [a day](crate::clock::LONGEST_POLL)
    /// is a day.
    ///
    /// A watch that the kernel refuses, because its descriptor was closed behind the loop's back,
    /// is reported as ready on both sides, once: its owner then meets the true error in its own
    /// `recv` or `send`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENOSPC` of `epoll_ctl(2)`: what could not be watched is tried again next time.
    pub fn begin(&mut self, timeout: Option<Duration>) -> io::Result<Wait> {
        self.pace.disturb();
        self.apply_interest()?;
        let timeout = if self.refused.is_empty() { timeout } else { Some(Duration::ZERO) };
        let mut wait = self.wait.take().unwrap_or_else(|| Wait::new(self.kernel.clone()));
        wait.prepare(timeout);
        Ok(wait)
    }

    /// Skips this turn's [`look`](Poller::look) if a loop with jobs waiting may do without it;
    /// whether it did. What the last look found then counts for nothing any more.
    ///
    /// When a thousand looks in a row have found nothing and follow each other within microseconds,
    /// most of them may be skipped: an event is then up to 63 looks late, and no more than three
    /// when those take long. Any event and any change of what is watched ends that, and so does
    /// [`poll_next_turn`](Poller::poll_next_turn).
    #[inline]
    pub fn try_skip(&mut self) -> bool {
        self.pace.try_skip()
    }

    /// A whole poll that does not sleep, for a loop with jobs waiting. Returns whether a signal
    /// interrupted it.
    ///
    /// # Errors
    ///
    /// Those of [`begin`](Poller::begin) and of [`Wait::run`].
    pub fn look(&mut self) -> io::Result<bool> {
        self.apply_interest()?;
        let kernel = &self.kernel;
        let wait = self.wait.get_or_insert_with(|| Wait::new(kernel.clone()));
        wait.prepare(Some(Duration::ZERO));
        let outcome = wait.run();
        let interrupted = wait.interrupted();
        self.settle();
        outcome.map(|()| interrupted)
    }

    /// Has the next turn poll: a run begins, and what became ready before it is heard of in its
    /// first turn.
    pub fn poll_next_turn(&mut self) {
        self.pace.disturb();
    }

    /// Has the next turn skip its poll, unless what is watched changes before: what the last events
    /// called for goes on first.
    ///
    /// Bytes wake a task, whose step answers in the next turn. A poll in between finds half of the
    /// other connections ready, and parts them for good into groups that take turns, each with its
    /// own polls.
    #[inline]
    pub fn skip_next_poll(&mut self) {
        self.pace.skip_next_poll();
    }

    /// Tells the kernel what changed, so that the host may wait until the poller's
    /// [descriptor](std::os::fd::AsFd) is readable, in place of a [`Wait`]. False if it need not: a
    /// watch was refused, and the next [`look`](Poller::look) reports it.
    ///
    /// # Errors
    ///
    /// Those of [`begin`](Poller::begin).
    pub fn lend(&mut self) -> io::Result<bool> {
        self.apply_interest()?;
        Ok(self.refused.is_empty())
    }

    fn apply_interest(&mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.retain(|&fd| match self.apply_one(fd) {
            Ok(()) => false,
            Err(error) => {
                outcome = Err(error);
                true
            }
        });
        self.dirty = dirty;
        outcome
    }

    fn apply_one(&mut self, fd: RawFd) -> io::Result<()> {
        let Some(slot) = self.table.get_mut(fd) else {
            return Ok(());
        };
        slot.dirty = false;
        if slot.wanted == slot.armed {
            return Ok(());
        }
        let token = Token::new(fd, slot.generation);
        match self.kernel.change(token, slot.armed, slot.wanted) {
            Ok(()) => slot.armed = slot.wanted,
            Err(error) if is_shortage(&error) => {
                slot.dirty = true;
                return Err(error);
            }
            Err(_) => {
                slot.armed = Interest::NONE;
                self.refused.push(token);
            }
        }
        Ok(())
    }

    /// Last step of a poll: takes the `Wait` back with what it found.
    ///
    /// # Ghosts
    ///
    /// An event whose registration has ended comes from a descriptor that was closed behind the
    /// loop's back while a duplicate keeps its file open (see `sys/epoll.rs`). It stays ready, so
    /// ignoring it would turn every poll into a busy loop. Its number is deleted. If that number
    /// means something else by now, the ghost has no name, and a new kernel side replaces the old
    /// one: everything else is registered again.
    pub fn end(&mut self, wait: Wait) {
        self.wait = Some(wait);
        self.settle();
    }

    /// Goes through what the poll that just ended has found.
    fn settle(&mut self) {
        let Self { wait: Some(wait), table, refused, kernel, .. } = self else { return };
        for token in refused.drain(..) {
            if table.current(token).is_some() {
                wait.push_failed(token);
            }
        }
        let (mut found, mut ghosts) = (false, false);
        for (token, _) in wait.reports() {
            found = true;
            if let Some(slot) = table.current_mut(token) {
                slot.reported();
            } else if token != WAKER {
                ghosts = true;
                // Ends the ghost, unless a living registration has its number.
                if table.get(token.fd()).is_none_or(|slot| slot.armed.is_none()) {
                    kernel.delete(token.fd());
                }
            }
        }
        if found {
            self.pace.disturb();
        } else {
            self.pace.found_nothing();
        }
        self.haunted = if ghosts { self.haunted.saturating_add(1) } else { 0 };
        if self.haunted >= HAUNTED {
            self.replace_kernel();
        }
    }

    /// Starts over with a new kernel side. Failing that (no descriptor to be had), the next poll
    /// tries again.
    fn replace_kernel(&mut self) {
        let Ok(kernel) = Kernel::open() else { return };
        if let Some(wake_fd) = &self.wake_fd
            && kernel.add_waker(wake_fd.read_end(), WAKER).is_err()
        {
            return;
        }
        if let Some(wait) = &mut self.wait {
            wait.move_to(kernel.clone());
        }
        self.kernel = kernel;
        self.process = getpid();
        self.haunted = 0;
        for (fd, slot) in self.table.iter_mut() {
            slot.disarmed();
            slot.mark_dirty(fd, &mut self.dirty);
        }
    }

    /// What the last poll found, in the kernel's order: token, readiness and payload of every
    /// registration that still stands.
    #[inline]
    pub fn events(&self) -> impl Iterator<Item = (Token, Readiness, &W)> {
        self.wait.iter().flat_map(Wait::reports).filter_map(|(token, readiness)| {
            let payload = self.table.current(token)?.payload.as_ref()?;
            Some((token, readiness, payload))
        })
    }
}

/// Whether the kernel refused for want of memory or of watches: no fault of the descriptor.
fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOMEM | Errno::NOSPC))
}
