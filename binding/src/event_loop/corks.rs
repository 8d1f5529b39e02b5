//! Corks: what the jobs of one batch write leaves together.
//!
//! A send to a peer that sleeps wakes it, and the sender pays for that: on loopback a third of what
//! a whole small HTTP response costs. Sent one right after the other, the responses of a batch wake
//! a peer once. The price is the time for which the first waits, so that has a limit; and a job
//! that no other follows has nothing to wait for but its own further writes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::EventLoop;
use crate::cell::LoopCell;
use crate::transport::BaseTransport;

/// How long what one job has written may wait for other jobs. Each group of responses costs a
/// waking, so this is long enough for those of a few dozen requests of an HTTP server; with 200 µs
/// aiohttp needs an eighth more time.
const PATIENCE: Duration = Duration::from_millis(1);

/// With more bytes than this nothing waits: large chunks that are not sent while they are in the
/// processor's cache cost more than is gained. Without a limit an echo of 10 KiB over 256
/// connections loses a quarter, and even two at a time a tenth.
const AMOUNT: usize = 8 * 1024;

/// The batch that is running, and what its writes wait for.
#[derive(Default)]
pub(super) struct Corks {
    /// A job is running: writes wait, so that they leave together.
    corking: AtomicBool,
    /// It is the last of its batch, and none waits yet.
    ending: AtomicBool,
    /// How many batches there were: by this number transports know their first write in one.
    batches: AtomicU32,
    /// Whether `corked` has transports: most jobs write nothing, and nobody opens it for them.
    holding: AtomicBool,
    corked: LoopCell<Corked>,
}

impl Corks {
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.corked.traverse(visit, |corked, visit| {
            corked.transports.iter().try_for_each(|transport| visit.call(transport))
        })
    }

    pub(super) fn clear(&self) {
        self.corked.clear(std::mem::take);
    }

    /// Whether writes wait: a job is running.
    #[inline]
    pub(super) fn is_corking(&self) -> bool {
        self.corking.load(Ordering::Relaxed)
    }

    /// Whether there is something to send.
    #[inline]
    fn is_holding(&self) -> bool {
        self.holding.load(Ordering::Relaxed)
    }

    fn push(&self, py: Python<'_>, transport: Py<BaseTransport>) {
        self.corked.with(py, move |corked, _| {
            corked.transports.push_back(transport);
            self.holding.store(true, Ordering::Relaxed);
        });
    }

    #[inline]
    fn pop(&self, py: Python<'_>) -> Option<Py<BaseTransport>> {
        self.corked.with(py, |corked, _| {
            let first = corked.transports.pop_front();
            if first.is_none() {
                corked.bytes = 0;
                corked.since = None;
                self.holding.store(false, Ordering::Relaxed);
            }
            first
        })
    }

    /// Writes wait from now on, as those of a new batch.
    #[inline]
    pub(super) fn begin_batch(&self) {
        let before = self.batches.load(Ordering::Relaxed);
        self.batches.store(before.wrapping_add(1), Ordering::Relaxed);
        self.ending.store(false, Ordering::Relaxed);
        self.corking.store(true, Ordering::Relaxed);
    }
}

/// Transports with something to send, in the order of their first writes.
#[derive(Default)]
struct Corked {
    transports: VecDeque<Py<BaseTransport>>,
    /// What has been written to them.
    bytes: usize,
    /// When the job ended that wrote to the first of them.
    since: Option<Instant>,
}

impl Corked {
    /// A job has ended: whether it is time to send, and not to wait for another.
    #[inline]
    fn check_due(&mut self) -> bool {
        if self.bytes > AMOUNT {
            return true;
        }
        let now = Instant::now();
        now.duration_since(*self.since.get_or_insert(now)) >= PATIENCE
    }
}

impl EventLoop {
    /// The batch that is running; outside of one no write waits.
    #[inline]
    pub(crate) fn batch(&self) -> Option<Batch> {
        let Corks { batches, ending, .. } = &self.corks;
        self.corks.is_corking().then(|| Batch {
            number: batches.load(Ordering::Relaxed),
            ends: ending.load(Ordering::Relaxed),
        })
    }

    /// The last job of the batch begins.
    #[inline]
    pub(super) fn begin_last(&self) {
        self.corks.ending.store(!self.corks.is_holding(), Ordering::Relaxed);
    }

    /// Has `transport`, to which so many bytes were written, flushed at the end of the batch or
    /// earlier.
    #[inline]
    pub(crate) fn cork(&self, transport: &Bound<'_, BaseTransport>, bytes: usize) {
        self.corks.push(transport.py(), transport.clone().unbind());
        self.count_corked(transport.py(), bytes);
    }

    /// That many bytes more were written to a transport that is corked.
    #[inline]
    pub(crate) fn count_corked(&self, py: Python<'_>, bytes: usize) {
        self.corks.corked.with(py, |corked, _| corked.bytes = corked.bytes.saturating_add(bytes));
    }

    /// A job has ended. What has been written goes out if it has waited long enough.
    #[inline]
    pub(super) fn uncork_if_due(this: &Bound<'_, Self>) -> PyResult<()> {
        let corks = &this.get().corks;
        if corks.is_holding() && corks.corked.with(this.py(), |corked, _| corked.check_due()) {
            return Self::draw_corks(this);
        }
        Ok(())
    }

    /// Sends what the jobs have written.
    #[inline]
    pub(super) fn uncork(this: &Bound<'_, Self>) -> PyResult<()> {
        if this.get().corks.is_holding() { Self::draw_corks(this) } else { Ok(()) }
    }

    /// All of it, also if a protocol that is paused meanwhile ends the run. The first error is the
    /// one that does.
    fn draw_corks(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let mut outcome = Ok(());
        while let Some(transport) = this.get().corks.pop(py) {
            let flushed = BaseTransport::draw_cork(transport.bind(py), this);
            outcome = outcome.and(flushed);
        }
        outcome
    }
}

/// The jobs whose writes may leave together.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    /// It differs from that of the batch before.
    pub(crate) number: u32,
    /// Its last job is running and nothing is held back: a write has only that job's own to wait
    /// for.
    pub(crate) ends: bool,
}

/// While jobs run, writes may wait.
pub(super) struct Corking<'a>(&'a Corks);

impl<'a> Corking<'a> {
    pub(super) fn begin(event_loop: &'a EventLoop) -> Self {
        event_loop.corks.begin_batch();
        Self(&event_loop.corks)
    }
}

impl Drop for Corking<'_> {
    fn drop(&mut self) {
        self.0.corking.store(false, Ordering::Relaxed);
    }
}
