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
//! * An event whose generation is unknown comes from such a ghost; see
//!   [`Poller::end`](crate::Poller::end), which lays it.
//! * A forked child shares the open epoll itself: what it deregisters is gone in the parent. It must
//!   only close (S6.9); see [`Poller::drain`](crate::Poller::drain).

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::thread::{current_timer_slack, set_current_timer_slack};

use super::{EVENTS, borrow_fd};
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

    /// Forgets whatever is registered under a descriptor number. Not there, or not even open, is
    /// as good as deleted, and nothing else can go wrong.
    pub(crate) fn delete(&self, fd: RawFd) {
        if let Ok(fd) = borrow_fd(fd) {
            let _ = epoll::delete(&*self.epoll, fd);
        }
    }

    /// Waits for events, at most `timeout`; `None` is forever.
    ///
    /// `epoll_wait` counts whole milliseconds, a timer does not. Rounding up would make every sleep
    /// late by up to one, so the last fraction is slept in `ppoll` on the epoll descriptor, to the
    /// nanosecond. Only a timer that really comes due pays for that. (`epoll_pwait2` would do it in
    /// one call, but only on Linux 5.11 and where no sandbox forbids it.)
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let Some(timeout) = timeout else {
            return self.collect(events, None);
        };
        let (whole, fraction) = split_millis(timeout);
        if fraction.is_zero() {
            return self.collect(events, Some(whole));
        }
        let deadline = Instant::now() + timeout;
        if !whole.is_zero() {
            self.collect(events, Some(whole))?;
            if !events.is_empty() {
                return Ok(());
            }
        }
        if self.sleep_until(deadline)? {
            self.collect(events, Some(Duration::ZERO))?;
        }
        Ok(())
    }

    fn collect(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        let timeout = timeout.map(timespec);
        epoll::wait(&*self.epoll, spare_capacity(&mut events.buffer), timeout.as_ref())?;
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
            if rustix::event::poll(&mut epoll, Some(&timespec(left)))? > 0 {
                return Ok(true);
            }
        }
    }
}

/// While it lives the kernel does not put off the end of this thread's sleeps, as it otherwise does
/// by up to 50 µs, for whatever it could do in one go with others (`prctl(2)`, `PR_SET_TIMERSLACK`).
struct Punctual {
    /// In nanoseconds, what the thread had before; None if it cannot be changed here.
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

fn split_millis(timeout: Duration) -> (Duration, Duration) {
    let fraction = Duration::from_nanos(u64::from(timeout.subsec_nanos() % 1_000_000));
    (timeout.saturating_sub(fraction), fraction)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

fn event_flags(wanted: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, wanted.contains(Interest::READ));
    flags.set(EventFlags::OUT, wanted.contains(Interest::WRITE));
    flags.set(EventFlags::ONESHOT, wanted.contains(Interest::ONCE));
    flags
}

/// What the last wait reported: one buffer, allocated once.
pub(crate) struct Events {
    buffer: Vec<Event>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { buffer: Vec::with_capacity(EVENTS) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
    }

    /// Adds a report the kernel did not make: this watch failed.
    pub(crate) fn push_failed(&mut self, token: Token) {
        let data = EventData::new_u64(token.to_u64());
        self.buffer.push(Event { flags: EventFlags::ERR, data });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Token, Readiness)> {
        self.buffer.iter().map(|event| {
            let flags = event.flags;
            let readiness = Readiness::new(
                flags.contains(EventFlags::IN),
                flags.contains(EventFlags::OUT),
                flags.intersects(EventFlags::ERR | EventFlags::HUP),
            );
            (Token::from_u64(event.data.u64()), readiness)
        })
    }
}

// SAFETY: what keeps an event in its thread is the pointer its user data may be. Ours never is: it
// is a token's number.
#[allow(unsafe_code, reason = "a number in the place of a pointer")]
unsafe impl Send for Events {}

// SAFETY: as above; and a shared event is only read.
#[allow(unsafe_code, reason = "a number in the place of a pointer")]
unsafe impl Sync for Events {}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
