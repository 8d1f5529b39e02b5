//! The write side: chunks from the protocol to the descriptor, and flow control.

use ferroloop_engine::{Interest, Phase, Pressure, borrow_fd};
use pyo3::intern;
use pyo3::prelude::*;

use super::chunk::Chunk;
use super::habit::Habit;
use super::kind::Kind;
use super::{BaseTransport, DatagramTransport, State};
use crate::errors::{self, os_error};
use crate::event_loop::{Batch, EventLoop};
use crate::job::Job;
use crate::names;

/// Who is calling, and thus where the protocol is called back: right here, in the application's
/// current context as asyncio does, or in the transport's context.
#[derive(Clone, Copy)]
pub(super) enum Caller {
    Application,
    Loop,
}

/// What is to be done about the chunks in the outbox.
enum Plan {
    /// Nothing: it will be flushed already.
    Wait,
    /// A flush when the loop draws the cork, together with whatever else is written until then.
    Cork,
    Flush,
    /// The poller waits for room; only the pressure has changed.
    Blocked,
}

impl BaseTransport {
    /// `write()` of one chunk.
    #[inline]
    pub(super) fn write(this: &Bound<'_, Self>, chunk: Chunk) -> PyResult<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        let size = chunk.len();
        let taken = this.get().queue(this.py(), chunk);
        if taken { Self::after_write(this, size) } else { this.get().lose_write(this.py()) }
    }

    /// `writelines()`: all at once. `retrying` sends even while the poller waits for room, and
    /// thus meets the end of a connection in this very call.
    pub(super) fn write_all(
        this: &Bound<'_, Self>,
        chunks: Vec<Chunk>,
        retrying: bool,
    ) -> PyResult<()> {
        let py = this.py();
        let retrying = retrying && !chunks.is_empty();
        let size = chunks.iter().map(|chunk| chunk.len()).sum();
        let taken = chunks
            .into_iter()
            .filter(|chunk| !chunk.is_empty())
            .map(|chunk| this.get().queue(py, chunk))
            .reduce(|all, taken| all && taken);
        if taken == Some(false) {
            return this.get().lose_write(py);
        }
        if retrying && this.get().cell.with(py, |state, _| state.is_blocked()) {
            return Self::flush_now(this);
        }
        if taken.is_some() { Self::after_write(this, size) } else { Ok(()) }
    }

    /// Queues one chunk; false if the stream takes no more.
    #[inline]
    fn queue(&self, py: Python<'_>, chunk: Chunk) -> bool {
        let refused = self.cell.with(py, move |state, _| state.stream.write(chunk));
        refused.is_none()
    }

    /// Sends what was queued, now or together with what other jobs write.
    #[inline]
    fn after_write(this: &Bound<'_, Self>, size: usize) -> PyResult<()> {
        let py = this.py();
        Self::while_alive(this, |event_loop| {
            let batch = event_loop.get().batch();
            match this.get().cell.with(py, |state, _| state.plan(batch)) {
                Plan::Wait => event_loop.get().count_corked(py, size),
                Plan::Cork => event_loop.get().cork(this, size),
                Plan::Flush => return Self::pump(this, event_loop, Caller::Application),
                Plan::Blocked => {
                    return Self::pause_if_above(this, event_loop, Caller::Application);
                }
            }
            Ok(())
        })
    }

    /// A write that nobody will read: counted, and soon worth a warning (S16.18, S31.14).
    #[cold]
    pub(super) fn lose_write(&self, py: Python<'_>) -> PyResult<()> {
        let (warns, kind) = self.cell.with(py, |state, _| (state.lost_writes.count(), state.kind));
        if warns {
            let text = kind.lost_write();
            names::logger(py)?.call_method1(intern!(py, "warning"), (text,))?;
        }
        Ok(())
    }

    /// The loop sends what its jobs have written.
    #[inline]
    pub(crate) fn draw_cork(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        let uncorked = Self::uncork(this, event_loop, Caller::Loop);
        Self::lose_if_drained(this, event_loop);
        uncorked
    }

    /// Sends what is corked: the loop between jobs, the application for calls that must not run
    /// ahead of earlier writes.
    ///
    /// Like a write, the latter does not end a transport that is closing. `resume_writing` may be
    /// what calls it, and write more.
    #[inline]
    pub(super) fn uncork(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        caller: Caller,
    ) -> PyResult<()> {
        if this.get().cell.with(this.py(), |state, _| state.corked) {
            return Self::pump(this, event_loop, caller);
        }
        Ok(())
    }

    /// Sends while the poller waits for room, without a loop at hand.
    fn flush_now(this: &Bound<'_, Self>) -> PyResult<()> {
        Self::while_alive(this, |event_loop| {
            let pumped = Self::pump(this, event_loop, Caller::Application);
            Self::lose_if_drained(this, event_loop);
            pumped
        })
    }

    /// The application's uncorking, without a loop at hand.
    pub(super) fn uncork_now(this: &Bound<'_, Self>) -> PyResult<()> {
        Self::while_alive(this, |event_loop| Self::uncork(this, event_loop, Caller::Application))
    }

    /// The poller found room. With the last byte of a closing transport the connection is lost in
    /// the same step (S31.12).
    pub(super) fn on_writable(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        let (blocked, kind) =
            this.get().cell.with(this.py(), |state, _| (state.is_blocked(), state.kind));
        if !blocked {
            return Ok(());
        }
        if kind == Kind::Datagram {
            return DatagramTransport::on_writable(this.cast()?, event_loop);
        }
        let pumped = Self::pump(this, event_loop, Caller::Loop);
        // An exit request of the protocol's must not keep the transport from its end.
        let ended = Self::end_if_drained(this, event_loop);
        pumped.and(ended).and_then(|()| Self::grant_room(this, event_loop))
    }

    /// Ends a closing transport in this very step if nothing is left to send.
    pub(super) fn end_if_drained(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        if this.get().loses_if_drained(this.py()) {
            return Self::lost(this, event_loop, None);
        }
        Ok(())
    }

    /// Gives the kernel what it takes; then tells poller and protocol what that has changed.
    #[inline]
    fn pump(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        caller: Caller,
    ) -> PyResult<()> {
        let sent = this.get().check_descriptor(this.py()).and_then(|()| this.get().send(this.py()));
        let relieved = match sent {
            Ok(relieved) => relieved,
            Err(error) => return Self::write_failed(this, event_loop, error),
        };
        Self::update_interest(this, event_loop)?;
        if relieved {
            Self::judge_pressure(this, event_loop, caller)
        } else {
            Self::pause_if_above(this, event_loop, caller)
        }
    }

    /// The error ends the connection; of a pipe it is also the first write lost (S31.9). But exit
    /// requests are the run's: what is unsent goes when there is room, which is at once.
    #[cold]
    fn write_failed(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        error: PyErr,
    ) -> PyResult<()> {
        if errors::is_exit_request(this.py(), &error) {
            this.get().cell.with(this.py(), |state, _| state.corked = false);
            return Self::update_interest(this, event_loop).and(Err(error));
        }
        let kind = this.get().cell.with(this.py(), |state, _| {
            if state.kind == Kind::WritePipe {
                state.lost_writes.count();
            }
            state.kind
        });
        Self::fatal(this, event_loop, error, kind.write_error())
    }

    /// The system calls of a flush; whether the kernel took anything.
    #[inline]
    pub(super) fn send(&self, py: Python<'_>) -> PyResult<bool> {
        let mut sent = Vec::new();
        let outcome = self.cell.with(py, |state, _| {
            state.corked = false;
            let waiting = state.stream.outbox().len_bytes();
            state.stream.flush(borrow_fd(state.descriptor.fd())?, &mut sent)?;
            let left = state.stream.outbox().len_bytes();
            state.habit.sent(waiting.saturating_sub(left), left);
            Ok(left < waiting)
        });
        outcome.map_err(|error| os_error(py, &error))
    }

    /// Pauses or resumes the writer when a water mark is crossed (S17.2, S17.3). Judged after a
    /// flush, never before: what the kernel takes at once puts no pressure on anybody.
    #[inline]
    pub(super) fn judge_pressure(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        caller: Caller,
    ) -> PyResult<()> {
        let py = this.py();
        match this.get().cell.with(py, |state, _| state.pressure()) {
            None => Ok(()),
            Some(Pressure::High) => {
                Self::control_flow(this, event_loop, intern!(py, "pause_writing"), caller)
            }
            Some(Pressure::Low) => {
                Self::control_flow(this, event_loop, intern!(py, "resume_writing"), caller)
            }
        }
    }

    /// `set_write_buffer_limits()`: checked at once, but only for pausing (S17.4).
    pub(super) fn set_limits(
        this: &Bound<'_, Self>,
        high: Option<i64>,
        low: Option<i64>,
    ) -> PyResult<()> {
        // Bytes held back are no pressure.
        Self::uncork_now(this)?;
        let py = this.py();
        let outcome = this.get().cell.with(py, |state, _| state.marks.set_limits(high, low));
        outcome.map_err(|limits| errors::invalid_limits(&limits))?;
        Self::while_alive(this, |event_loop| {
            Self::pause_if_above(this, event_loop, Caller::Application)
        })
    }

    /// A write, or new limits, may pause the writer but never resume it: only what the kernel takes
    /// does that.
    pub(super) fn pause_if_above(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        caller: Caller,
    ) -> PyResult<()> {
        let py = this.py();
        let rises =
            this.get().cell.with(py, |state, _| state.marks.rise(state.waiting()).is_some());
        if !rises {
            return Ok(());
        }
        Self::control_flow(this, event_loop, intern!(py, "pause_writing"), caller)
    }

    /// The limits as (low, high).
    pub(super) fn limits(&self, py: Python<'_>) -> (usize, usize) {
        self.cell.with(py, |state, _| (state.marks.low(), state.marks.high()))
    }

    /// Bytes the kernel has not taken yet.
    pub(super) fn buffer_size(this: &Bound<'_, Self>) -> PyResult<usize> {
        // Bytes held back would look like a full socket.
        Self::uncork_now(this)?;
        Ok(this.get().cell.with(this.py(), |state, _| state.waiting()))
    }

    /// Loses a closing transport whose last byte is out; true if this call did. Asked after
    /// `resume_writing`, which may have written more (S17.6).
    #[inline]
    fn loses_if_drained(&self, py: Python<'_>) -> bool {
        let mut unsent = Vec::new();
        self.cell.with(py, |state, _| {
            let drained = state.stream.phase() == Phase::Closing && state.is_drained();
            drained && state.stream.lose(&mut unsent)
        })
    }

    /// Ends a closing transport if nothing is left to send; the protocol hears of it in a later
    /// step.
    #[inline]
    pub(super) fn lose_if_drained(this: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) {
        if this.get().loses_if_drained(this.py()) {
            event_loop.get().push_and_wake(this.py(), Job::Lost(this.clone().unbind(), None));
        }
    }
}

impl State {
    fn plan(&mut self, batch: Option<Batch>) -> Plan {
        let waits = batch.is_some_and(|batch| self.habit.note_write(batch));
        if self.corked {
            // Beyond the limit the chunks go now; the flush at the end will find nothing left.
            return if self.may_cork() { Plan::Wait } else { Plan::Flush };
        }
        if self.is_blocked() {
            return Plan::Blocked;
        }
        // asyncio's pipes write at once, and so do these: their readers may be in this very thread.
        if waits && self.kind == Kind::Stream && self.may_cork() {
            self.corked = true;
            return Plan::Cork;
        }
        Plan::Flush
    }

    /// Who set a low high-water mark is to hear of it in time.
    fn may_cork(&self) -> bool {
        let waiting = self.stream.outbox().len_bytes();
        let high = self.marks.high();
        waiting <= if high < Habit::LIMIT { high } else { self.habit.limit() }
    }

    /// The kernel took less than everything, and the poller waits for room.
    fn is_blocked(&self) -> bool {
        self.interest.is_some_and(|interest| interest.contains(Interest::WRITE))
    }

    fn pressure(&mut self) -> Option<Pressure> {
        let waiting = self.waiting();
        self.marks.rise(waiting).or_else(|| self.marks.fall(waiting))
    }
}
