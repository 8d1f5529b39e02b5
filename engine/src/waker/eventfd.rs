//! What wakes a loop on Linux: an eventfd (`eventfd(2)`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

use crate::sys;

/// A counter. Every addition is an edge, so it is watched edge-triggered and never read; at one
/// wake a nanosecond it would be full after 584 years.
#[derive(Debug)]
pub(crate) struct WakeFd(OwnedFd);

impl WakeFd {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn signal(&self) -> io::Result<()> {
        sys::write(self.0.as_fd(), &1_u64.to_ne_bytes()).map(drop)
    }

    pub(crate) fn read_end(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
