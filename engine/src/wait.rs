//! The one step of a poll that blocks.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::clock::LONGEST_POLL;
use crate::readiness::Readiness;
use crate::sys::{Kernel, Reports};
use crate::token::Token;

/// One poll under way: made by [`Poller::begin`](crate::Poller::begin), handed back to
/// [`Poller::end`](crate::Poller::end).
///
/// It borrows nothing, so the host can let go of its locks before it sleeps. It keeps the kernel
/// side open, so that it sleeps safely even if the poller is dropped meanwhile.
#[derive(Debug)]
pub struct Wait {
    kernel: Kernel,
    reports: Reports,
    timeout: Option<Duration>,
    interrupted: bool,
}

impl Wait {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self { kernel, reports: Reports::new(), timeout: None, interrupted: false }
    }

    /// Sleeps on another kernel side from now on; what was found on the old one stays.
    pub(crate) fn move_to(&mut self, kernel: Kernel) {
        self.kernel = kernel;
    }

    pub(crate) fn prepare(&mut self, timeout: Option<Duration>) {
        self.reports.clear();
        self.timeout = timeout.map(|timeout| timeout.min(LONGEST_POLL));
        self.interrupted = false;
    }

    /// Sleeps until something is ready, the time is over, or a signal arrives.
    ///
    /// A signal (`EINTR`) is an answer, not an error: nothing is ready, and
    /// [`interrupted`](Wait::interrupted) says why, so that the host can look after its signal
    /// handlers (S4.15).
    ///
    /// # Errors
    ///
    /// None is known from a poller's own descriptor; what the kernel says is passed on.
    pub fn run(&mut self) -> io::Result<()> {
        self.reports.clear();
        match self.kernel.wait(&mut self.reports, self.timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.interrupted = true;
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Polls until something is ready or the time is over, without sleeping.
    ///
    /// A wait without a timeout would not end; it is over at once. Signals do not interrupt a poll
    /// that does not sleep: see [`Spin`](crate::Spin).
    ///
    /// # Errors
    ///
    /// Those of [`run`](Wait::run).
    pub fn spin(&mut self) -> io::Result<()> {
        let start = Instant::now();
        let time = self.timeout.replace(Duration::ZERO).unwrap_or_default();
        loop {
            self.run()?;
            if !self.reports.is_empty() || self.interrupted || start.elapsed() >= time {
                return Ok(());
            }
        }
    }

    /// Whether a signal ended the last run.
    #[inline]
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Adds a report that the kernel did not make: this watch failed.
    pub(crate) fn push_failed(&mut self, token: Token) {
        self.reports.push((token, Readiness::new(false, false, true)));
    }

    pub(crate) fn reports(&self) -> impl Iterator<Item = (Token, Readiness)> {
        self.reports.iter().copied()
    }
}
