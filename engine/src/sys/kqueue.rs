//! The poller's kernel side on macOS and the BSDs: kqueue (`kqueue(2)`), level-triggered.
//!
//! kqueue files its watches under (descriptor number, filter), reading and writing each on its own,
//! and drops them when the descriptor is closed. So there are no ghosts here as under epoll, and a
//! descriptor that is ready on both sides is reported twice. Adding what is there already updates
//! it.
//!
//! A kqueue does not survive `fork(2)`: in the child its number is free, and the poller must not be
//! used there.

use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::kqueue::{self, Event, EventFilter, EventFlags};

use super::{EVENTS, Reports, borrow_fd};
use crate::readiness::{Interest, Readiness};
use crate::token::Token;

const _: () = assert!(size_of::<usize>() == 8, "a token travels in the event's user pointer");

/// A kqueue.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    queue: Arc<OwnedFd>,
}

impl Kernel {
    pub(crate) const NAME: &'static str = "kqueue";

    pub(crate) fn open() -> io::Result<Self> {
        let queue = kqueue::kqueue()?;
        rustix::io::fcntl_setfd(&queue, rustix::io::FdFlags::CLOEXEC)?;
        Ok(Self { queue: Arc::new(queue) })
    }

    /// Makes `wanted` what is watched of the token's descriptor, where `armed` was before.
    pub(crate) fn change(&self, token: Token, armed: Interest, wanted: Interest) -> io::Result<()> {
        borrow_fd(token.fd())?;
        let once = wanted.contains(Interest::ONCE);
        let add = if once { EventFlags::ADD | EventFlags::ONESHOT } else { EventFlags::ADD };
        // Adding again does not take "once" back.
        let anew = armed.contains(Interest::ONCE) && !once;
        for side in [Interest::READ, Interest::WRITE] {
            if armed.contains(side) && (anew || !wanted.contains(side)) {
                // A number that is not registered, or not open, is as good as deleted.
                let _ = self.apply(filter(token.fd(), side), EventFlags::DELETE, token);
            }
            if wanted.contains(side) {
                self.apply(filter(token.fd(), side), add, token)?;
            }
        }
        Ok(())
    }

    /// Watches a waker's read end. Edge-triggered: one wake is reported once and never read back.
    pub(crate) fn add_waker(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let read = EventFilter::Read(fd.as_raw_fd());
        self.apply(read, EventFlags::ADD | EventFlags::CLEAR, token)
    }

    /// Forgets whatever is registered under a descriptor number.
    pub(crate) fn delete(&self, fd: RawFd) {
        let nobody = Token::new(fd, 0);
        let _ = self.change(nobody, Interest::BOTH, Interest::NONE);
    }

    #[allow(unsafe_code, reason = "kevent")]
    fn apply(&self, filter: EventFilter, flags: EventFlags, token: Token) -> io::Result<()> {
        let change = [Event::new(filter, flags, user_data(token))];
        let nothing: &mut [Event] = &mut [];
        // SAFETY: a descriptor that is closed while it is watched leaves the kqueue by itself, so a
        // number that has become invalid is an error the kernel reports, and nothing more.
        unsafe { kqueue::kevent(&*self.queue, &change, nothing, Some(Duration::ZERO)) }?;
        Ok(())
    }

    /// Waits for events, at most `timeout`, and appends them to `reports`; `None` is forever.
    #[allow(unsafe_code, reason = "kevent")]
    pub(crate) fn wait(&self, reports: &mut Reports, timeout: Option<Duration>) -> io::Result<()> {
        let mut room = [MaybeUninit::uninit(); EVENTS];
        // SAFETY: no change is submitted, so no descriptor is named.
        let (events, _) = unsafe { kqueue::kevent(&*self.queue, &[], &mut room, timeout) }?;
        reports.extend(events.iter().map(report));
        Ok(())
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

fn filter(fd: RawFd, side: Interest) -> EventFilter {
    if side == Interest::READ { EventFilter::Read(fd) } else { EventFilter::Write(fd) }
}

#[expect(clippy::cast_possible_truncation, reason = "asserted above to be 64 bits")]
fn user_data(token: Token) -> *mut c_void {
    std::ptr::without_provenance_mut(token.to_u64() as usize)
}

/// What the kernel says of one side of a descriptor.
fn report(event: &Event) -> (Token, Readiness) {
    let filter = event.filter();
    let readiness = Readiness::new(
        matches!(filter, EventFilter::Read(_)),
        matches!(filter, EventFilter::Write(_)),
        event.flags().contains(EventFlags::ERROR),
    );
    (Token::from_u64(event.udata().addr() as u64), readiness)
}
