//! The run: whole iterations, each in the steps that `BaseEventLoop._run_once` takes (S4).

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ferroloop_engine::{Wait, clock};
use pyo3::prelude::*;

use super::corks::Corking;
use super::{EventLoop, LoopState};
use crate::cell::Share;
use crate::errors::Refusal;
use crate::ffi;
use crate::handle::Handle;
use crate::job::Job;

/// After so many iterations the loop lets other threads have the interpreter and hears signals, also
/// if it never sleeps: what it runs may be native code alone, which does neither as Python code
/// does.
const ITERATIONS: u64 = 64;

impl EventLoop {
    /// Iterates until a stop request is seen at the end of an iteration (S2.7).
    pub(super) fn iterate(this: &Bound<'_, Self>) -> PyResult<()> {
        let _iterating = Iterating::begin(this);
        Self::iterate_until(this, || false)
    }

    /// Iterates until a stop request is seen at the end of an iteration, or it is over then.
    pub(super) fn iterate_until(
        this: &Bound<'_, Self>,
        is_over: impl Fn() -> bool,
    ) -> PyResult<()> {
        this.get().attend(this.py());
        loop {
            Self::run_once(this, None)?;
            if this.get().parking.is_requested() {
                this.get().give_way(this.py())?;
            }
            if this.get().stopping.load(Ordering::Relaxed) || is_over() {
                return Ok(());
            }
        }
    }

    fn give_way(&self, py: Python<'_>) -> PyResult<()> {
        let Self { parking, closed, .. } = self;
        py.detach(|| parking.park_if_requested(closed));
        py.check_signals()
    }

    /// One iteration that is a run of its own, and waits for at most `limit`.
    pub(super) fn iterate_once(this: &Bound<'_, Self>, limit: Option<Duration>) -> PyResult<()> {
        let _iterating = Iterating::begin(this);
        this.get().attend(this.py());
        Self::run_once(this, limit)
    }

    #[inline]
    fn run_once(this: &Bound<'_, Self>, limit: Option<Duration>) -> PyResult<()> {
        if !this.get().look_if_busy(this.py())? {
            Self::look_around(this, limit)?;
        }
        Self::run_batch(this)
    }

    /// Steps 1 to 5 in one opening of the cell, for a loop that has jobs waiting and no timers.
    /// False if they have yet to be taken.
    #[inline]
    fn look_if_busy(&self, py: Python<'_>) -> PyResult<bool> {
        let looked = self.cell.with(py, |state, share| {
            let busy = state.timers.is_empty() && !state.ready.is_empty();
            if busy { Some(state.look(share)) } else { None }
        });
        let Some(looked) = looked else { return Ok(false) };
        // A signal handler may have made timers.
        Ok(!self.end_poll(py, looked)?)
    }

    /// Steps 1 to 5, one by one.
    fn look_around(this: &Bound<'_, Self>, limit: Option<Duration>) -> PyResult<()> {
        this.get().drop_cancelled_timers(this.py());
        Self::wait(this, limit)?;
        Self::queue_due_timers(this)
    }

    /// A run begins: its first iteration polls, however calm the loop was before, and nobody waits
    /// in the loop's place any more.
    fn attend(&self, py: Python<'_>) {
        self.cell.with(py, |state, _| {
            state.idle.work(clock::now());
            if let Some(reactor) = &mut state.reactor {
                reactor.waker.disarm();
                reactor.poller.poll_next_turn();
            }
        });
    }

    /// A loop that does not run is not late.
    pub(super) fn begin_punctual(&self, py: Python<'_>) {
        if !self.has_custom_clock() {
            self.cell.with(py, |state, _| state.timers.note_punctual(clock::now()));
        }
    }

    /// Step 1 (S4.1). Dropping a handle, which says from then on that it is not scheduled, may run
    /// finalizers that come back here, so they are dropped with the cell shut.
    pub(super) fn drop_cancelled_timers(&self, py: Python<'_>) {
        let dead = self.cell.with(py, |state, _| {
            let mut dead = Vec::new();
            state.timers.purge(&mut dead);
            dead
        });
        for timer in dead {
            drop(timer.into_handle());
        }
    }

    /// Steps 2 to 4 (S4.2): polls until the next deadline, and for at most `limit`.
    fn wait(this: &Bound<'_, Self>, limit: Option<Duration>) -> PyResult<()> {
        let event_loop = this.get();
        let (busy, deadline) = event_loop
            .cell
            .with(this.py(), |state, _| (!state.ready.is_empty(), state.timers.next_deadline()));
        let timeout = match deadline {
            _ if busy || event_loop.stopping.load(Ordering::Relaxed) => Some(Duration::ZERO),
            None => None,
            Some(deadline) if event_loop.has_custom_clock() => {
                return Self::wait_by_custom_clock(this, deadline, limit);
            }
            Some(_) => clock::poll_timeout(deadline, clock::now()),
        };
        event_loop.poll(this.py(), shorter(timeout, limit))
    }

    /// Steps 3 and 4: polls, and queues what the events call for (S4.3, S4.4).
    pub(super) fn poll(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<()> {
        let interrupted = if timeout == Some(Duration::ZERO) {
            self.cell.with(py, LoopState::look)
        } else if let Some(slice) = self.spin_slice(py, timeout) {
            self.spin(py, slice)
        } else {
            self.sleep(py, timeout)
        };
        self.end_poll(py, interrupted).map(drop)
    }

    /// If a signal interrupted the poll, its Python handlers run before anything else. Whether one
    /// did.
    #[inline]
    pub(super) fn end_poll(
        &self,
        py: Python<'_>,
        interrupted: Result<bool, Refusal>,
    ) -> PyResult<bool> {
        let interrupted = interrupted.map_err(|refusal| refusal.into_error(py))?;
        if interrupted {
            py.check_signals()?;
        }
        Ok(interrupted)
    }

    fn spin_slice(&self, py: Python<'_>, timeout: Option<Duration>) -> Option<Duration> {
        self.cell.with(py, |state, _| {
            // The clock is read only for a loop that spins.
            if state.spin.limit().is_zero() {
                None
            } else {
                state.spin.slice(timeout, Instant::now())
            }
        })
    }

    /// Sleeps detached, so that other threads run and may wake the loop.
    pub(super) fn sleep(&self, py: Python<'_>, timeout: Option<Duration>) -> Result<bool, Refusal> {
        self.detached(py, timeout, Wait::run)
    }

    /// Polls for a while without sleeping, detached as well. A signal does not interrupt such a
    /// poll, so there may have been one.
    fn spin(&self, py: Python<'_>, slice: Duration) -> Result<bool, Refusal> {
        self.detached(py, Some(slice), Wait::spin).map(|_| true)
    }

    fn detached(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
        run: fn(&mut Wait) -> io::Result<()>,
    ) -> Result<bool, Refusal> {
        let mut wait = self.cell.with(py, |state, _| state.fall_asleep(timeout))?;
        let Self { parking, closed, .. } = self;
        let (wait, outcome, end) = py.detach(move || {
            let outcome = run(&mut wait);
            let end = clock::now();
            parking.park_if_requested(closed);
            (wait, outcome, end)
        });
        let system_clock = !self.has_custom_clock();
        self.cell.with(py, move |state, share| {
            let LoopState { ready, timers, reactor: Some(reactor), spin, idle, lookups, .. } =
                state
            else {
                return Err(Refusal::Closed);
            };
            idle.work(end);
            if system_clock && timers.is_empty() {
                timers.note_punctual(end);
            }
            reactor.waker.disarm();
            let interrupted = wait.interrupted();
            reactor.poller.end(wait);
            reactor.gather(ready, share);
            lookups.gather(ready);
            if !ready.is_empty() {
                spin.disturb();
            }
            outcome.map(|()| interrupted).map_err(Refusal::System)
        })
    }

    /// Step 5 (S4.5).
    fn queue_due_timers(this: &Bound<'_, Self>) -> PyResult<()> {
        let cell = &this.get().cell;
        if cell.with(this.py(), |state, _| state.timers.is_empty()) {
            return Ok(());
        }
        let now = Self::now(this)?;
        let exact = this.get().has_virtual_clock(this.py());
        let end = if exact { now.next_up() } else { now + clock::due_margin(now) };
        // Nobody knows when a clock of the program's own stood still, so such a loop is never late.
        let punctual = this.get().has_custom_clock();
        cell.with(this.py(), |state, _| {
            if punctual {
                state.timers.note_punctual(now);
            }
            for timer in state.timers.take_due(now, end) {
                state.ready.push(Job::Call(timer.into_handle()));
            }
        });
        Ok(())
    }

    /// Step 6: runs what is queued now, not what that adds (S4.6, S4.7). However the batch ends,
    /// what did not run is still in front of the queue (S2.20).
    fn run_batch(this: &Bound<'_, Self>) -> PyResult<()> {
        let cell = &this.get().cell;
        let _corking = Corking::begin(this.get());
        let (batch, number) =
            cell.with(this.py(), |state, _| (state.ready.batch(), state.ready.batches()));
        if number.is_multiple_of(ITERATIONS) {
            this.get().give_way(this.py())?;
        }
        for following in (0..batch).rev() {
            if following == 0 {
                this.get().begin_last();
            }
            let Some(next) = cell.with(this.py(), |state, _| state.ready.pop().map(Next::of))
            else {
                break;
            };
            let outcome = match next {
                Next::Call(handle) => Job::run_call(handle, this),
                Next::Other(job) => job.run(this),
            };
            if outcome.is_err() {
                return outcome.and(Self::uncork(this));
            }
            Self::uncork_if_due(this)?;
        }
        Self::uncork(this)
    }
}

impl LoopState {
    /// The handles in the ready queue that wait for their first and only run.
    fn queued_calls(&self, share: Share<'_>) -> Vec<Py<Handle>> {
        let call = |job: &Job| match job {
            Job::Call(handle) => Some(share.share(handle)),
            _ => None,
        };
        self.ready.iter().filter_map(call).collect()
    }

    /// A poll that does not sleep needs no detaching. Refused if another thread has closed the loop
    /// when this run had just begun.
    fn look(&mut self, share: Share<'_>) -> Result<bool, Refusal> {
        let reactor = self.reactor.as_mut().ok_or(Refusal::Closed)?;
        self.spin.disturb();
        let mut interrupted = false;
        if !reactor.poller.try_skip() {
            interrupted = reactor.poller.look().map_err(Refusal::System)?;
            reactor.gather(&mut self.ready, share);
        }
        self.lookups.gather(&mut self.ready);
        Ok(interrupted)
    }

    /// Arms the waker and sees the queue empty in one step: a thread that pushes has either done
    /// so before, or finds the waker armed. A thread that has looked a name up does not wait for
    /// the cell, so its answer is looked for once the waker is armed.
    fn fall_asleep(&mut self, timeout: Option<Duration>) -> Result<Wait, Refusal> {
        let reactor = self.reactor.as_mut().ok_or(Refusal::Closed)?;
        reactor.waker.arm();
        let idle = self.ready.is_empty() && !self.lookups.are_answered();
        let timeout = if idle { timeout } else { Some(Duration::ZERO) };
        let wait = reactor.poller.begin(timeout).map_err(|error| {
            reactor.waker.disarm();
            Refusal::System(error)
        })?;
        self.idle.begin(clock::now());
        Ok(wait)
    }
}

/// The shorter of two waits; `None` is forever.
pub(super) fn shorter(timeout: Option<Duration>, limit: Option<Duration>) -> Option<Duration> {
    match (timeout, limit) {
        (Some(timeout), Some(limit)) => Some(timeout.min(limit)),
        (timeout, limit) => timeout.or(limit),
    }
}

/// A job on its way from the queue to its run.
///
/// The commonest kind travels apart, as one word in a register: a job written a moment ago, a word
/// here and a byte there, and copied out whole stalls the processor for longer than all else costs.
enum Next {
    Call(Py<Handle>),
    Other(Job),
}

impl Next {
    #[inline]
    fn of(job: Job) -> Self {
        match job {
            Job::Call(handle) => Self::Call(handle),
            other => Self::Other(other),
        }
    }
}

/// While a loop iterates it is alive, and the collector need not know what it has queued;
/// afterwards the loop may be garbage.
struct Iterating<'a, 'py>(&'a Bound<'py, EventLoop>);

impl<'a, 'py> Iterating<'a, 'py> {
    fn begin(event_loop: &'a Bound<'py, EventLoop>) -> Self {
        event_loop.get().iterating.store(true, Ordering::Relaxed);
        Self(event_loop)
    }
}

impl Drop for Iterating<'_, '_> {
    fn drop(&mut self) {
        let (event_loop, py) = (self.0.get(), self.0.py());
        event_loop.iterating.store(false, Ordering::Relaxed);
        let queued = event_loop.cell.with(py, |state, share| {
            state.idle.rest(clock::now());
            state.queued_calls(share)
        });
        for handle in queued {
            ffi::reveal(handle.bind(py));
        }
    }
}
