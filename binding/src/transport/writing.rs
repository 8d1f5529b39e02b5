//! The write side: chunks from the protocol to the socket, and flow control.

use ferroloop_engine::{Interest, Phase, Pressure, borrow_fd};
use pyo3::intern;
use pyo3::prelude::*;

use super::chunk::Chunk;
use super::{State, StreamTransport};
use crate::errors::os_error;
use crate::event_loop::EventLoop;
use crate::job::Job;
use crate::names;

/// More than this is not held back for the end of the job. It equals the default high-water mark
/// (S0.29), so that corking never hides from a writer that it should pause.
const CORK_LIMIT: i64 = 64 * 1024;

/// Writes after the end of writing that pass without a warning (S0.24).
const QUIET_LOST_WRITES: u32 = 5;

const WRITE_ERROR: &str = "Fatal write error on socket transport";

/// Who is calling, and thus where the protocol is called back: right here, in the application's
/// current context as asyncio does, or in the transport's context.
#[derive(Clone, Copy)]
pub(crate) enum Caller {
    Application,
    Loop,
}

/// What is to be done about the chunks in the outbox.
enum Plan {
    /// Nothing: a flush at the end of the job is due already.
    Wait,
    /// A flush at the end of the job, together with whatever else the job writes (design D3).
    Cork,
    Flush,
    /// The poller waits for room; only the pressure has changed.
    Blocked,
}

impl StreamTransport {
    /// Queues one chunk; false if the stream takes no more.
    #[inline]
    pub(super) fn queue(&self, py: Python<'_>, chunk: Chunk) -> bool {
        let refused = self.cell.with(py, move |state, _| state.stream.write(chunk));
        refused.is_none()
    }

    /// Sends what was queued, now or when the running job ends.
    #[inline]
    pub(super) fn after_write(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let Some(event_loop) = this.get().event_loop(py) else {
            return Ok(());
        };
        let corking = event_loop.get().corking();
        match this.get().cell.with(py, |state, _| state.plan(corking)) {
            Plan::Wait => Ok(()),
            Plan::Cork => {
                event_loop.get().cork(this);
                Ok(())
            }
            Plan::Flush => Self::flush(this, &event_loop, Caller::Application),
            Plan::Blocked => Self::pause_if_above(this, &event_loop),
        }
    }

    /// A write that nobody will read: counted, and from the fifth on worth a warning (S16.18).
    #[cold]
    pub(super) fn lose_write(&self, py: Python<'_>) -> PyResult<()> {
        let count = self.cell.with(py, |state, _| {
            state.lost_writes = state.lost_writes.saturating_add(1);
            state.lost_writes
        });
        if count >= QUIET_LOST_WRITES {
            let text = "socket.send() raised exception.";
            names::logger(py)?.call_method1(intern!(py, "warning"), (text,))?;
        }
        Ok(())
    }

    /// Flushes what is corked: the loop when a job has ended, the application for calls that must
    /// not run ahead of earlier writes.
    #[inline]
    pub(crate) fn uncork(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        caller: Caller,
    ) -> PyResult<()> {
        if this.get().cell.with(this.py(), |state, _| state.corked) {
            return Self::flush(this, event_loop, caller);
        }
        Ok(())
    }

    /// The application's uncorking, without a loop at hand.
    pub(super) fn uncork_now(this: &Bound<'_, Self>) -> PyResult<()> {
        match this.get().event_loop(this.py()) {
            Some(event_loop) => Self::uncork(this, &event_loop, Caller::Application),
            None => Ok(()),
        }
    }

    /// The poller found room in the socket.
    pub(super) fn on_writable(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        if this.get().cell.with(this.py(), |state, _| state.is_blocked()) {
            return Self::flush(this, event_loop, Caller::Loop);
        }
        Ok(())
    }

    /// Gives the kernel what it takes; then tells poller and protocol what that has changed.
    #[inline]
    fn flush(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        caller: Caller,
    ) -> PyResult<()> {
        let sent = this.get().check_descriptor(this.py()).and_then(|()| this.get().send(this.py()));
        if let Err(error) = sent {
            return Self::fatal(this, event_loop, error, WRITE_ERROR);
        }
        Self::update_interest(this, event_loop)?;
        Self::judge_pressure(this, event_loop, caller)?;
        Self::lose_if_drained(this, event_loop);
        Ok(())
    }

    /// The system calls of a flush.
    #[inline]
    pub(super) fn send(&self, py: Python<'_>) -> PyResult<()> {
        let mut sent = Vec::new();
        let outcome = self.cell.with(py, |state, _| {
            state.corked = false;
            state.stream.flush(borrow_fd(state.descriptor.fd())?, &mut sent)
        });
        outcome.map(drop).map_err(|error| os_error(py, &error))
    }

    /// Pauses or resumes the writer when a water mark is crossed (S17.2, S17.3). Judged after a
    /// flush, never before: what the kernel takes at once puts no pressure on anybody.
    #[inline]
    fn judge_pressure(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        caller: Caller,
    ) -> PyResult<()> {
        let py = this.py();
        match this.get().cell.with(py, |state, _| state.pressure()) {
            None => Ok(()),
            Some(Pressure::High) => {
                Self::signal(this, event_loop, intern!(py, "pause_writing"), caller)
            }
            Some(Pressure::Low) => {
                Self::signal(this, event_loop, intern!(py, "resume_writing"), caller)
            }
        }
    }

    /// New limits are checked at once, but only for pausing (S17.4).
    pub(super) fn pause_if_above(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        let py = this.py();
        let rises = this
            .get()
            .cell
            .with(py, |state, _| state.marks.rise(state.stream.outbox().len_bytes()).is_some());
        if !rises {
            return Ok(());
        }
        Self::signal(this, event_loop, intern!(py, "pause_writing"), Caller::Application)
    }

    /// A closing transport ends when its last byte is out. Asked after `resume_writing`, which may
    /// have written more (S17.6).
    #[inline]
    pub(super) fn lose_if_drained(this: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) {
        let py = this.py();
        let mut unsent = Vec::new();
        let lost = this.get().cell.with(py, |state, _| {
            let drained =
                state.stream.phase() == Phase::Closing && state.stream.outbox().is_empty();
            drained && state.stream.lose(&mut unsent)
        });
        if lost {
            event_loop.get().push(py, Job::Lost(this.clone().unbind(), None));
        }
    }
}

impl State {
    fn plan(&mut self, corking: bool) -> Plan {
        if self.corked {
            // Beyond the limit the chunks go now; the flush at the end will find nothing left.
            return if self.may_cork() { Plan::Wait } else { Plan::Flush };
        }
        if self.is_blocked() {
            return Plan::Blocked;
        }
        if corking && self.may_cork() {
            self.corked = true;
            return Plan::Cork;
        }
        Plan::Flush
    }

    fn may_cork(&self) -> bool {
        let waiting = i64::try_from(self.stream.outbox().len_bytes()).unwrap_or(i64::MAX);
        waiting <= CORK_LIMIT.min(self.marks.high())
    }

    /// The kernel took less than everything, and the poller waits for room.
    fn is_blocked(&self) -> bool {
        self.interest.is_some_and(|interest| interest.contains(Interest::WRITE))
    }

    fn pressure(&mut self) -> Option<Pressure> {
        let waiting = self.stream.outbox().len_bytes();
        self.marks.rise(waiting).or_else(|| self.marks.fall(waiting))
    }
}
