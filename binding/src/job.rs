//! What waits in the ready queue, and how each kind of it runs: the loop's only dispatch.

use std::os::fd::RawFd;
use std::sync::Arc;

use ferroloop_engine::{Answer, Readiness};
use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::acceptor::Acceptor;
use crate::event_loop::{EventLoop, Side};
use crate::ffi;
use crate::handle::Handle;
use crate::names;
use crate::transport::BaseTransport;

/// One entry of the ready queue.
pub(crate) enum Job {
    /// A `call_soon` callback, or a timer that is due.
    Call(Py<Handle>),
    /// The reader or writer callback of an fd that is ready.
    Watch(Py<Handle>),
    /// One side of an fd is ready, which this future waits for.
    Waited(RawFd, Side, Py<PyAny>),
    /// A transport's socket or pipe is ready.
    Transport(Py<BaseTransport>, Readiness),
    /// A new transport tells its protocol.
    Made(Py<BaseTransport>),
    /// A transport starts to read and wakes whoever waits for it.
    Begin(Py<BaseTransport>, Option<Py<PyAny>>),
    /// A pipe has been read to its end.
    Eof(Py<BaseTransport>),
    /// A transport has ended: None, or the exception that ended it.
    Lost(Py<BaseTransport>, Option<Py<PyAny>>),
    /// A listening socket has connections.
    Accept(Py<Acceptor>),
    /// A name was looked up, which this future waits for, and perhaps others.
    Answer(Py<PyAny>, Arc<Answer>),
    /// Signal numbers wait in the self-pipe.
    Signals,
}

impl Job {
    /// Runs a `Job::Call`.
    #[inline]
    pub(crate) fn run_call(handle: Py<Handle>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let handle = handle.into_bound(event_loop.py());
        let outcome = if event_loop.get().debug() {
            Self::Call(handle.clone().unbind()).run_timed(event_loop)
        } else {
            Handle::run(&handle)
        };
        ffi::let_go(handle);
        outcome
    }

    /// Runs the job. An error leaves the run: an exit request, or what the exception handler
    /// raised.
    #[inline]
    pub(crate) fn run(self, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        if event_loop.get().debug() {
            return self.run_timed(event_loop);
        }
        self.dispatch(event_loop)
    }

    #[inline]
    fn dispatch(self, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = event_loop.py();
        match self {
            Self::Call(handle) => Handle::run(handle.bind(py)),
            Self::Watch(handle) => Handle::run_again(handle.bind(py)),
            Self::Waited(fd, side, waiter) => EventLoop::on_waited(event_loop, fd, side, waiter),
            Self::Transport(transport, readiness) => {
                BaseTransport::on_ready(transport.bind(py), event_loop, readiness)
            }
            Self::Made(transport) => BaseTransport::made(transport.bind(py), event_loop),
            Self::Begin(transport, waiter) => {
                BaseTransport::begin(transport.bind(py), event_loop, waiter)
            }
            Self::Eof(transport) => BaseTransport::end_of_file(transport.bind(py), event_loop),
            Self::Lost(transport, reason) => {
                BaseTransport::lost(transport.bind(py), event_loop, reason)
            }
            Self::Accept(acceptor) => Acceptor::on_ready(acceptor.bind(py), event_loop),
            Self::Answer(future, answer) => EventLoop::on_answer(event_loop, &future, &answer),
            Self::Signals => EventLoop::on_signals(event_loop),
        }
    }

    /// Debug mode: remembers the handle for the exception handler and reports slow callbacks
    /// (S8.6).
    #[cold]
    fn run_timed(self, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = event_loop.py();
        let subject =
            self.subject().map_or(event_loop.as_any(), |subject| subject.bind(py)).clone();
        let handle = subject.cast::<Handle>().ok();
        if handle.is_some_and(|handle| handle.get().is_cancelled()) {
            return Ok(());
        }
        let nested = event_loop.get().nested_seconds(py);
        let started = EventLoop::now(event_loop)?;
        event_loop.get().set_current_handle(py, handle.map(|handle| handle.clone().unbind()));
        let outcome = self.dispatch(event_loop);
        // The application's own clock may fail, but its error must not replace an exit request.
        let ended = EventLoop::now(event_loop);
        event_loop.get().set_current_handle(py, None);
        outcome?;
        let seconds = ended? - started - (event_loop.get().nested_seconds(py) - nested);
        let limit: f64 = event_loop.getattr(intern!(py, "slow_callback_duration"))?.extract()?;
        if seconds >= limit {
            let warning = ("Executing %s took %.3f seconds", describe(&subject)?, seconds);
            names::logger(py)?.call_method1(intern!(py, "warning"), warning)?;
        }
        Ok(())
    }

    /// The Python object whose job this is; the signals are the loop's own.
    pub(crate) fn subject(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::Call(handle) | Self::Watch(handle) => Some(handle.as_any()),
            Self::Transport(transport, _)
            | Self::Made(transport)
            | Self::Begin(transport, _)
            | Self::Eof(transport)
            | Self::Lost(transport, _) => Some(transport.as_any()),
            Self::Waited(_, _, future) | Self::Answer(future, _) => Some(future),
            Self::Accept(acceptor) => Some(acceptor.as_any()),
            Self::Signals => None,
        }
    }

    /// Shows the job's references to the garbage collector.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.subject())?;
        match self {
            Self::Begin(_, other) | Self::Lost(_, other) => visit.call(other),
            _ => Ok(()),
        }
    }
}

/// asyncio names the task whose step was slow, and otherwise the handle.
fn describe<'py>(subject: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let py = subject.py();
    if let Ok(handle) = subject.cast::<Handle>()
        && let Some(callback) = handle.get().callback(py)
        && let Ok(owner) = callback.getattr(intern!(py, "__self__"))
        && owner.is_instance(names::task_class(py)?)?
    {
        return owner.repr();
    }
    subject.repr()
}
