//! The `EventLoop` class: its state, and what every room of it shares.
//!
//! `schedule` takes callbacks in, `run` runs them, `readers` ties them to file descriptors, `api`
//! is the Python surface. What runs once per loop or connection is Python (`ferroloop._loop`).

mod api;
mod corks;
mod fileno;
mod inventory;
mod lend;
mod lookups;
mod nested;
mod reactor;
mod readers;
mod run;
mod schedule;
mod signals;
mod sock_ops;
mod tasks;
mod virtual_clock;
mod waiting;
mod watch;

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ferroloop_engine::{Idle, Interest, Ready, Spin, Timers, Token, VirtualClock, clock};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::cell::LoopCell;
use crate::errors::Refusal;
use crate::handle::{Handle, Scheduled};
use crate::job::Job;
use crate::parking::Parking;
use crate::{errors, ffi, heap, names};

pub(crate) use corks::Batch;
use corks::Corks;
use lookups::Lookups;
use reactor::Reactor;
pub(crate) use sock_ops::try_sendfile;
pub(crate) use watch::{Side, Watch};

/// One read's limit on sockets (S0.28, asyncio's `max_size`), and the size of the loop's one buffer
/// for it: a fresh object of this size for each read would cost page faults.
pub(crate) const SCRATCH_SIZE: usize = 256 * 1024;

/// Ready queue, timers, poller and the run loop.
#[pyclass(frozen, subclass, module = "ferroloop._ferroloop")]
#[derive(Default)]
pub(crate) struct EventLoop {
    debug: AtomicBool,
    closed: AtomicBool,
    stopping: AtomicBool,
    /// A subclass or test has its own `time()`.
    custom_clock: AtomicBool,
    /// Apart from what a loop loses when it closes: a closed loop has a time, too.
    virtual_clock: LoopCell<Option<VirtualClock>>,
    /// An iteration is under way, which keeps the loop alive and all that it has queued.
    iterating: AtomicBool,
    /// The interpreter is about to end under a daemon thread's loop; see `parking`.
    parking: Parking,
    /// `threading.get_ident()` of the thread that runs the loop, or 0.
    thread_id: AtomicU64,
    cell: LoopCell<LoopState>,
    corks: Corks,
    current_handle: LoopCell<Option<Py<Handle>>>,
    /// How many seconds jobs have spent in nested runs; counted in debug mode.
    nested_seconds: LoopCell<f64>,
    task_factory: LoopCell<Option<Py<PyAny>>>,
    /// See [`EventLoop::as_keyword`].
    keyword: LoopCell<Option<Py<PyDict>>>,
}

/// What a loop loses when it closes.
#[derive(Default)]
struct LoopState {
    ready: Ready<Job>,
    timers: Timers<Scheduled>,
    reactor: Option<Reactor>,
    /// What the loop does before it sleeps.
    spin: Spin,
    idle: Idle,
    lookups: Lookups,
    scratch: Vec<u8>,
}

impl EventLoop {
    fn open() -> io::Result<Self> {
        heap::prefer_heap();
        let reactor = Some(Reactor::open()?);
        Ok(Self {
            cell: LoopCell::new(LoopState { reactor, ..LoopState::default() }),
            ..Self::default()
        })
    }

    #[inline]
    pub(crate) fn debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn check_closed(&self) -> PyResult<()> {
        if self.closed() { Err(errors::closed_loop()) } else { Ok(()) }
    }

    /// The loop's time: the monotonic clock, or a subclass's own `time()` (S1.9).
    pub(crate) fn now(this: &Bound<'_, Self>) -> PyResult<f64> {
        if this.get().has_custom_clock() {
            return ffi::call_method(this, intern!(this.py(), "time"), [])?.extract();
        }
        Ok(clock::now())
    }

    #[inline]
    fn has_custom_clock(&self) -> bool {
        self.custom_clock.load(Ordering::Relaxed)
    }

    /// Appends to the ready queue. On a closed loop the job is dropped, as asyncio's loops forget
    /// what is queued late.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "see Next in run.rs")]
    pub(crate) fn push(&self, py: Python<'_>, job: Job) {
        if self.closed() {
            drop(job);
        } else {
            self.cell.with(py, move |state, _| state.ready.push(job));
        }
    }

    /// The native part of `close()`: whatever dies does so with the cell shut.
    fn release(&self, py: Python<'_>) {
        self.closed.store(true, Ordering::Relaxed);
        let mut state = self.cell.with(py, |state, _| std::mem::take(state));
        if let Some(resolver) = state.lookups.take_resolver() {
            py.detach(move || drop(resolver));
        }
        drop(state);
        drop(self.keyword.with(py, |keyword, _| keyword.take()));
    }

    /// A timer still in the heap was cancelled (S5.8).
    pub(crate) fn timer_cancelled(&self, py: Python<'_>) {
        self.cell.with(py, |state, _| state.timers.note_cancelled());
    }

    #[inline]
    fn iterating(&self) -> bool {
        self.iterating.load(Ordering::Relaxed)
    }

    #[inline]
    fn running(&self) -> bool {
        self.thread_id.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn runs_in_this_thread(&self, py: Python<'_>) -> PyResult<bool> {
        let current: u64 = names::get_ident(py)?.call0()?.extract()?;
        Ok(self.thread_id.load(Ordering::Relaxed) == current)
    }

    pub(crate) fn set_current_handle(&self, py: Python<'_>, handle: Option<Py<Handle>>) {
        let old = self.current_handle.with(py, |current, _| std::mem::replace(current, handle));
        drop(old);
    }

    /// Lends the read buffer to `work`, which may call Python.
    #[inline]
    pub(crate) fn with_scratch<R>(&self, py: Python<'_>, work: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut scratch = self.cell.with(py, |state, _| std::mem::take(&mut state.scratch));
        if scratch.is_empty() {
            scratch = vec![0; SCRATCH_SIZE];
        }
        let result = work(&mut scratch);
        self.cell.with(py, move |state, _| state.scratch = scratch);
        result
    }

    /// Enters the owner of `fd` into the poller's table, and watches `fd` for `interest`.
    pub(crate) fn enroll(
        this: &Bound<'_, Self>,
        fd: RawFd,
        watch: Watch,
        interest: Interest,
    ) -> PyResult<Token> {
        let py = this.py();
        let outcome = this.get().cell.with(py, move |state, _| match &mut state.reactor {
            Some(reactor) => reactor
                .poller
                .insert(fd, interest, watch)
                .map_err(|refused| (Refusal::System(refused.error), refused.payload)),
            None => Err((Refusal::Closed, watch)),
        });
        match outcome {
            Ok((token, replaced)) => {
                drop(replaced);
                Ok(token)
            }
            Err((refusal, watch)) => {
                drop(watch);
                Err(refusal.into_error(py))
            }
        }
    }

    /// Ends the watch behind `token`; the caller drops it.
    pub(crate) fn dismiss(&self, py: Python<'_>, token: Token) -> Option<Watch> {
        self.cell.with(py, |state, _| state.reactor.as_mut()?.poller.remove(token))
    }

    /// Puts another payload behind `token`; the caller drops the old one.
    pub(crate) fn replace_watch(
        &self,
        py: Python<'_>,
        token: Token,
        watch: Watch,
    ) -> Option<Watch> {
        self.cell.with(py, move |state, _| {
            let slot = state.reactor.as_mut().and_then(|reactor| reactor.poller.payload_mut(token));
            match slot {
                Some(slot) => Some(std::mem::replace(slot, watch)),
                None => Some(watch),
            }
        })
    }

    /// Changes what an fd is watched for. Applied at the next poll; a loop that sleeps (the call
    /// came from another thread) is woken for it.
    #[inline]
    pub(crate) fn set_interest(&self, py: Python<'_>, token: Token, interest: Interest) {
        self.cell.with(py, |state, _| {
            if let Some(reactor) = &mut state.reactor {
                reactor.poller.set_interest(token, interest);
                reactor.wake();
            }
        });
    }
}

/// Registers the class with its FASTCALL methods.
pub(crate) fn add_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<EventLoop>()?;
    let class: Bound<'_, PyType> = module.py().get_type::<EventLoop>();
    schedule::add_methods(&class)?;
    ffi::add_method::<tasks::CreateTask>(&class)?;
    sock_ops::add_functions(module)
}

impl LoopState {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for job in self.ready.iter() {
            job.traverse(visit)?;
        }
        for timer in self.timers.iter() {
            visit.call(&timer.0)?;
        }
        for (_, watch) in self.reactor.iter().flat_map(|reactor| reactor.poller.iter()) {
            watch.traverse(visit)?;
        }
        self.lookups.traverse(visit)
    }
}
