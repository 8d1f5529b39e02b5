//! The poller's kernel side on Linux: epoll, level-triggered.
//!
//! # What epoll keys on
//!
//! epoll does not watch descriptors. It watches *open files*, filed under the pair (open file,
//! descriptor number). Closing a descriptor ends the watch only when it was the last one for that
//! file. If the program closed 7 behind our back while a `dup` of it, or a forked child, keeps the
//! file open, the watch stays and goes on reporting, and `EPOLL_CTL_DEL 7` cannot name it any more:
//! 7 is nothing now, or another file. Three answers follow from that:
//!
//! * `ADD` that says `EEXIST` and `MOD` that says `ENOENT` are not errors but news about what the
//!   kernel has; [`Kernel::change`] takes the other verb then.
//! * An event whose generation is unknown comes from such a ghost;
//!   [`Poller::end`](crate::Poller::end) gets rid of it.
//! * A forked child shares the epoll itself: what it deregistered would be gone in the parent, so
//!   [`Poller::remove`](crate::Poller::remove) does not tell the kernel there (S6.9).

use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::thread::{current_timer_slack, set_current_timer_slack};

use super::{EVENTS, Reports, borrow_fd};
use crate::readiness::{Interest, Readiness};
use crate::token::Token;

/// An epoll instance.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    epoll: Arc<OwnedFd>,
}

impl Kernel {
    pub(crate) const NAME: &'static str = "epoll";

    pub(crate) fn open() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll: Arc::new(epoll) })
    }

    /// Makes `wanted` what is watched of the token's descriptor, where `armed` was before.
    ///
    /// No interest means no registration: epoll reports errors and hangups of whatever is
    /// registered, asked or not, and a reader that paused could not make such an event go away.
    pub(crate) fn change(&self, token: Token, armed: Interest, wanted: Interest) -> io::Result<()> {
        let fd = borrow_fd(token.fd())?;
        let (epoll, flags) = (&*self.epoll, event_flags(wanted));
        let data = EventData::new_u64(token.to_u64());
        match (armed.is_none(), wanted.is_none()) {
            (true, true) => {}
            (false, true) => self.delete(token.fd()),
            (true, false) => match epoll::add(epoll, fd, data, flags) {
                Err(Errno::EXIST) => epoll::modify(epoll, fd, data, flags)?,
                outcome => outcome?,
            },
            (false, false) => match epoll::modify(epoll, fd, data, flags) {
                Err(Errno::NOENT) => epoll::add(epoll, fd, data, flags)?,
                outcome => outcome?,
            },
        }
        Ok(())
    }

    /// Watches a waker's read end. Edge-triggered: one wake is reported once and never read back.
    pub(crate) fn add_waker(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let data = EventData::new_u64(token.to_u64());
        Ok(epoll::add(&*self.epoll, fd, data, EventFlags::IN | EventFlags::ET)?)
    }

    /// Forgets whatever is registered under a descriptor number. A number that is not registered,
    /// or not open, is as good as deleted, and nothing else can go wrong.
    pub(crate) fn delete(&self, fd: RawFd) {
        if let Ok(fd) = borrow_fd(fd) {
            let _ = epoll::delete(&*self.epoll, fd);
        }
    }

    /// Waits for events, at most `timeout`, and appends them to `reports`; `None` is forever.
    ///
    /// `epoll_wait` counts whole milliseconds, a timer does not. Rounding up would make every sleep
    /// late by up to one, so the last fraction is slept in `ppoll` on the epoll descriptor, to the
    /// nanosecond. Only a timer that really comes due pays for that. (`epoll_pwait2` would do it in
    /// one call, but only on Linux 5.11 and where no sandbox forbids it.)
    pub(crate) fn wait(&self, reports: &mut Reports, timeout: Option<Duration>) -> io::Result<()> {
        let Some(timeout) = timeout else {
            return self.collect(reports, None);
        };
        let (whole, fraction) = split_millis(timeout);
        if fraction.is_zero() {
            return self.collect(reports, Some(whole));
        }
        let deadline = Instant::now() + timeout;
        if !whole.is_zero() {
            self.collect(reports, Some(whole))?;
            if !reports.is_empty() {
                return Ok(());
            }
        }
        if self.sleep_until(deadline)? {
            self.collect(reports, Some(Duration::ZERO))?;
        }
        Ok(())
    }

    fn collect(&self, reports: &mut Reports, timeout: Option<Duration>) -> io::Result<()> {
        let mut room = [MaybeUninit::uninit(); EVENTS];
        let timeout = timeout.and_then(timespec);
        let (events, _) = epoll::wait(&*self.epoll, &mut room, timeout.as_ref())?;
        reports.extend(events.iter().map(report));
        Ok(())
    }

    /// Sleeps until `deadline` or until there is something to collect: whether there is.
    fn sleep_until(&self, deadline: Instant) -> io::Result<bool> {
        let mut epoll = [PollFd::from_borrowed_fd(self.epoll.as_fd(), PollFlags::IN)];
        let _punctual = Punctual::begin();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            if rustix::event::poll(&mut epoll, timespec(left).as_ref())? > 0 {
                return Ok(true);
            }
        }
    }
}

/// While it lives, the kernel ends this thread's sleeps on time. Otherwise it delays them by up to
/// 50 µs, to end several at once (`prctl(2)`, `PR_SET_TIMERSLACK`).
struct Punctual {
    /// The thread's slack before, in nanoseconds; None if it cannot be changed here.
    slack: Option<u64>,
}

impl Punctual {
    fn begin() -> Self {
        let slack = current_timer_slack().ok();
        let changed = set_current_timer_slack(NonZeroU64::new(1));
        Self { slack: slack.filter(|_| changed.is_ok()) }
    }
}

impl Drop for Punctual {
    fn drop(&mut self) {
        if let Some(slack) = self.slack {
            let _ = set_current_timer_slack(NonZeroU64::new(slack));
        }
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn split_millis(timeout: Duration) -> (Duration, Duration) {
    let fraction = Duration::from_nanos(u64::from(timeout.subsec_nanos() % 1_000_000));
    (timeout.saturating_sub(fraction), fraction)
}

/// A time longer than the kernel can count is forever.
fn timespec(duration: Duration) -> Option<Timespec> {
    Timespec::try_from(duration).ok()
}

fn event_flags(wanted: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, wanted.contains(Interest::READ));
    flags.set(EventFlags::OUT, wanted.contains(Interest::WRITE));
    flags.set(EventFlags::ONESHOT, wanted.contains(Interest::ONCE));
    flags
}

/// What the kernel says of one open file, for both sides of its descriptor.
fn report(event: &Event) -> (Token, Readiness) {
    let (flags, data) = (event.flags, event.data);
    let readiness = Readiness::new(
        flags.contains(EventFlags::IN),
        flags.contains(EventFlags::OUT),
        flags.intersects(EventFlags::ERR | EventFlags::HUP),
    );
    (Token::from_u64(data.u64()), readiness)
}
