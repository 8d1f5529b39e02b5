//! How a connection ends: gently, by force, or by an error; and what is let go of then.

use std::sync::OnceLock;

use ferroloop_engine::{Phase, borrow_fd};
use pyo3::call::PyCallArgs;
use pyo3::exceptions::PyResourceWarning;
use pyo3::ffi::destructor;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::writing::Caller;
use super::{
    BaseTransport, DatagramTransport, Descriptor, ReadPipeTransport, StreamTransport, Ties,
    WritePipeTransport,
};
use crate::errors::{self, Report, os_error};
use crate::event_loop::EventLoop;
use crate::ffi::{self, Finalize};
use crate::handle::{Args, Call};
use crate::job::Job;
use crate::names;

impl BaseTransport {
    /// `close()`, if there is anything left to close. A StreamWriter that is collected, in whichever
    /// thread, calls it, too, and without a GIL would meet the loop in the middle of a write.
    pub(super) fn close(this: &Bound<'_, Self>) -> PyResult<()> {
        Self::while_alive(this, |event_loop| {
            let close = || this.getattr(intern!(this.py(), "close"));
            if cfg!(Py_GIL_DISABLED) && EventLoop::hand_over(event_loop, close)? {
                return Ok(());
            }
            Self::close_gently(this, event_loop, Caller::Application)
        })
    }

    /// `abort()`, with a reason for `connection_lost`.
    pub(super) fn abort(this: &Bound<'_, Self>, reason: Option<Py<PyAny>>) -> PyResult<()> {
        Self::while_alive(this, |event_loop| Self::force_close(this, event_loop, reason))
    }

    /// `close()` of a living transport: stops reading; what is queued still goes out, then
    /// the connection is lost.
    pub(super) fn close_gently(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        caller: Caller,
    ) -> PyResult<()> {
        this.get().check_thread(event_loop)?;
        Self::uncork(this, event_loop, caller)?;
        if this.get().cell.with(this.py(), |state, _| state.stream.close()) {
            Self::update_interest(this, event_loop)?;
            Self::lose_if_drained(this, event_loop);
        }
        Ok(())
    }

    /// Drops what is queued and loses the connection, with `reason` or None.
    pub(super) fn force_close(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        reason: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        this.get().check_thread(event_loop)?;
        let mut sent = Ok(true);
        if this.get().cell.with(py, |state, _| std::mem::take(&mut state.corked)) {
            // asyncio would have sent these bytes already; whether they arrive is no matter here.
            sent = this.get().check_descriptor(py).and_then(|()| this.get().send(py));
        }
        let (mut unsent, mut datagrams) = (Vec::new(), Vec::new());
        let lost = this.get().cell.with(py, |state, _| {
            if let Some(queue) = &mut state.datagrams {
                queue.clear(&mut datagrams);
            }
            state.stream.lose(&mut unsent)
        });
        drop((unsent, datagrams));
        if lost {
            Self::update_interest(this, event_loop)?;
            event_loop.get().push_and_wake(py, Job::Lost(this.clone().unbind(), reason));
        }
        match sent {
            Err(error) if errors::is_exit_request(py, &error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Debug mode: who ends a connection schedules its loss, as only the loop's own thread may
    /// (S8.3).
    #[inline]
    fn check_thread(&self, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let py = event_loop.py();
        if event_loop.get().debug()
            && self.cell.with(py, |state, _| state.stream.phase() != Phase::Lost)
        {
            return event_loop.get().check_thread(py);
        }
        Ok(())
    }

    /// `write_eof()`: our side ends once everything queued is out (S16.23).
    pub(super) fn end_writing(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        Self::uncork_now(this)?;
        let outcome = this.get().cell.with(py, |state, _| match state.stream.phase() {
            Phase::Open => state.stream.write_eof(borrow_fd(state.descriptor.fd())?),
            Phase::Closing | Phase::Lost => Ok(()),
        });
        outcome.map_err(|error| os_error(py, &error))
    }

    /// An error of the descriptor or of our own: reported unless it is quiet, then the connection
    /// is lost with it (S16.10).
    #[cold]
    pub(super) fn fatal<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        error: PyErr,
        message: &str,
    ) -> PyResult<()> {
        let py = this.py();
        let reason = error.value(py).clone().into_any().unbind();
        if this.get().kind(py).is_quiet(py, &error)? {
            let options = PyDict::new(py);
            options.set_item(intern!(py, "exc_info"), &reason)?;
            let line = ("%r: %s", this, message);
            Self::log(event_loop, intern!(py, "debug"), line, Some(&options))?;
        } else {
            let target = this.get().target(py).map(|target| target.protocol);
            Report::new(py, message, error)?
                .with("transport", this)?
                .with("protocol", target)?
                .send(event_loop)?;
        }
        Self::force_close(this, event_loop, Some(reason))
    }

    /// A method of the protocol raised: the connection is lost, unless it was an exit request,
    /// which ends the run instead (S16.9, S0.11).
    #[cold]
    pub(super) fn protocol_failed<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        error: PyErr,
        method: &str,
    ) -> PyResult<()> {
        if errors::is_exit_request(this.py(), &error) {
            return Err(error);
        }
        Self::fatal(
            this,
            event_loop,
            error,
            &format!("Fatal error: protocol.{method}() call failed."),
        )
    }

    /// The last job of a transport: `connection_lost`, then everything is let go of (S16.22).
    pub(crate) fn lost(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        reason: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        let reason = reason.unwrap_or_else(|| py.None()).into_bound(py);
        let notified =
            Self::notify(this, event_loop, intern!(py, "connection_lost"), Some(&reason));
        let released = Self::release(this);
        let denied = Self::deny_room(this, event_loop, &reason);
        let closed = released.or_else(|error| Self::close_failed(this, event_loop, error));
        notified.and(denied).and(closed)
    }

    /// The `close()` of a socket or pipe may be user code: its failure is a failed callback.
    #[cold]
    fn close_failed(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        error: PyErr,
    ) -> PyResult<()> {
        let callback = this.getattr(intern!(this.py(), "close"))?.unbind();
        let call = Call { callback, args: Args::None };
        errors::job_failed(event_loop, call, ffi::copy_context(this.py())?, error)
    }

    /// Closes the fd, tells the server, and drops every tie; also from the finalizer.
    pub(super) fn release(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let (descriptor, ties) = Self::give_up(this);
        let closed = descriptor.close(py);
        if let Some(server) = ties.as_ref().and_then(|ties| ties.server.as_ref()) {
            server.call_method1(py, intern!(py, "_detach"), (this,))?;
        }
        closed
    }

    /// The transport never came to be: its socket stays its creator's.
    pub(super) fn disown(this: &Bound<'_, Self>) {
        drop(Self::give_up(this));
    }

    /// Gives up what the transport held; the loop forgets it.
    fn give_up(this: &Bound<'_, Self>) -> (Descriptor, Option<Ties>) {
        let (descriptor, ties) = this.get().cell.with(this.py(), |state, _| {
            (std::mem::replace(&mut state.descriptor, Descriptor::Closed), state.ties.take())
        });
        if let Some(ties) = &ties {
            Self::unwatch(this, ties.event_loop.bind(this.py()));
        }
        (descriptor, ties)
    }

    /// EBADF if the Python object was closed behind our back.
    #[inline]
    pub(super) fn check_descriptor(&self, py: Python<'_>) -> PyResult<()> {
        let owner = self.cell.with(py, |state, share| {
            state.descriptor.object().map(|owner| (share.share(owner), state.descriptor.fd()))
        });
        match owner {
            Some((owner, fd)) => super::descriptor::check_owner(py, &owner, fd),
            None => Ok(()),
        }
    }

    /// Debug mode: one line about this transport, `format` taking its repr.
    pub(super) fn debug_log(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        format: &str,
    ) -> PyResult<()> {
        Self::log(event_loop, intern!(this.py(), "debug"), (format, this), None)
    }

    /// The same at level INFO, where asyncio has the end of a pipe.
    pub(super) fn info_log(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        format: &str,
    ) -> PyResult<()> {
        Self::log(event_loop, intern!(this.py(), "info"), (format, this), None)
    }

    /// What filters and handlers of the application's raise is a failed callback.
    fn log<'py>(
        event_loop: &Bound<'py, EventLoop>,
        level: &Bound<'py, PyString>,
        line: impl PyCallArgs<'py>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        if !event_loop.get().debug() {
            return Ok(());
        }
        let py = event_loop.py();
        let log = names::logger(py)?.getattr(level)?;
        log.call(line, options).map(drop).or_else(|error| {
            let call = Call { callback: log.unbind(), args: Args::None };
            errors::job_failed(event_loop, call, ffi::copy_context(py)?, error)
        })
    }
}

macro_rules! finalized {
    ($($class:ty),*) => {$(
        impl Finalize for $class {
            fn dealloc() -> &'static OnceLock<destructor> {
                static DEALLOC: OnceLock<destructor> = OnceLock::new();
                &DEALLOC
            }

            fn finalize(this: &Bound<'_, Self>) -> PyResult<()> {
                BaseTransport::finalize(this.cast()?)
            }
        }
    )*};
}

finalized!(StreamTransport, DatagramTransport, ReadPipeTransport, WritePipeTransport);

impl BaseTransport {
    /// Nobody holds the transport any more and it was never closed (S16.26, S30.15).
    fn finalize(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        if this.get().cell.with(py, |state, _| matches!(state.descriptor, Descriptor::Closed)) {
            return Ok(());
        }
        let text = format!("unclosed transport {}", this.repr()?);
        let options = PyDict::new(py);
        options.set_item(intern!(py, "source"), this)?;
        let category = py.get_type::<PyResourceWarning>();
        let warned = names::warn(py)?.call((text, category), Some(&options));
        Self::release(this)?;
        warned.map(drop)
    }
}
