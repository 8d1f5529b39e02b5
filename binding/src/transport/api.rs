//! The Python surface of a transport (asyncio.Transport).

use ferroloop_engine::Phase;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::writing::Caller;
use super::{Descriptor, Parts, State, StreamTransport, chunk, extra, protocol};
use crate::event_loop::EventLoop;
use crate::{ffi, names};

#[pymethods]
impl StreamTransport {
    /// The arguments are those of `__init__`, which sees the new object and starts it.
    #[new]
    #[pyo3(signature = (r#loop, sock, protocol, waiter = None, extra = None, server = None, context = None))]
    fn __new__<'py>(
        r#loop: &Bound<'py, EventLoop>,
        sock: &Bound<'py, PyAny>,
        protocol: Bound<'py, PyAny>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
        server: Option<Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let _ = waiter;
        EventLoop::ensure_no_transport(r#loop, sock)?;
        Descriptor::set_nodelay(sock)?;
        let context = match context {
            Some(context) => context,
            None => ffi::copy_context(sock.py())?,
        };
        let parts = Parts {
            descriptor: Descriptor::of_socket(sock)?,
            protocol,
            context,
            server,
            names: None,
            extra: Some(extra::of_socket(sock, extra)?),
        };
        Self::new(r#loop, parts)
    }

    #[pyo3(signature = (r#loop, _sock, _protocol, waiter = None, *_args, **_options))]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        r#loop: &Bound<'py, EventLoop>,
        _sock: &Bound<'py, PyAny>,
        _protocol: &Bound<'py, PyAny>,
        waiter: Option<Py<PyAny>>,
        _args: &Bound<'py, PyTuple>,
        _options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        Self::start(slf, r#loop, waiter).inspect_err(|_| Self::disown(slf))
    }

    /// Sends bytes, a bytearray or a memoryview; never blocks, the rest is buffered.
    #[inline]
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let chunk = chunk::from_object(data)?;
        slf.get().check_not_ended(slf.py(), "write")?;
        if chunk.is_empty() {
            return Ok(());
        }
        if slf.get().queue(slf.py(), chunk) {
            Self::after_write(slf)
        } else {
            slf.get().lose_write(slf.py())
        }
    }

    /// Sends all the chunks of an iterable.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        // Until 3.12 asyncio's writelines was a write of everything joined, and said so.
        let method = if py.version_info() >= (3, 12) { "writelines" } else { "write" };
        slf.get().check_not_ended(py, method)?;
        let chunks = list_of_data
            .try_iter()?
            .map(|data| chunk::from_object(&data?))
            .collect::<PyResult<Vec<_>>>()?;
        let mut taken = true;
        for chunk in chunks {
            if !chunk.is_empty() {
                taken &= slf.get().queue(py, chunk);
            }
        }
        if taken { Self::after_write(slf) } else { slf.get().lose_write(py) }
    }

    /// Ends our side after what is buffered; the peer reads EOF.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::end_writing(slf)
    }

    /// True: stream sockets can be shut down one way.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Stops reading, sends what is buffered, then `connection_lost(None)` in a later iteration.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().event_loop(slf.py()) {
            Some(event_loop) => Self::close_gently(slf, &event_loop, Caller::Application),
            None => Ok(()),
        }
    }

    /// Drops what is buffered; `connection_lost(None)` in a later iteration.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::_force_close(slf, None)
    }

    /// True once closing has begun.
    #[pyo3(name = "is_closing")]
    fn py_is_closing(&self, py: Python<'_>) -> bool {
        self.is_closing(py)
    }

    /// Stops `data_received`; again, or when closing, does nothing.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let changed = slf.get().cell.with(slf.py(), |state, _| state.stream.pause_reading());
        Self::after_reading_change(slf, changed, "%r pauses reading")
    }

    /// Undoes `pause_reading()`.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let changed = slf.get().cell.with(slf.py(), |state, _| state.stream.resume_reading());
        Self::after_reading_change(slf, changed, "%r resumes reading")
    }

    /// True if data is asked for.
    fn is_reading(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |state, _| state.stream.is_reading())
    }

    /// What is known about the connection: 'socket', 'sockname', 'peername' and what the creator
    /// added.
    #[pyo3(signature = (name, default = None))]
    fn get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        // Whoever gets the socket may use it beside us: what was written before goes first.
        Self::uncork_now(slf)?;
        Ok(Self::extra_info(slf, name)?.or(default))
    }

    /// Hands the connection to another protocol.
    fn set_protocol(&self, protocol: Bound<'_, PyAny>) -> PyResult<()> {
        let py = protocol.py();
        let buffered = protocol::is_buffered(&protocol)?;
        let protocol = protocol.unbind();
        let old = self.cell.with(py, move |state, _| {
            let ties = state.ties.as_mut()?;
            ties.buffered = buffered;
            Some(std::mem::replace(&mut ties.protocol, protocol))
        });
        drop(old);
        Ok(())
    }

    /// The protocol; None after `connection_lost`.
    fn get_protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.cell
            .with(py, |state, share| state.ties.as_ref().map(|ties| share.share(&ties.protocol)))
    }

    /// Sets the buffer sizes in bytes above and below which the protocol is paused and resumed.
    ///
    /// Raises ValueError unless high >= low >= 0.
    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(
        slf: &Bound<'_, Self>,
        high: Option<i64>,
        low: Option<i64>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.get().cell.with(py, |state, _| state.marks.set_limits(high, low)).map_err(
            |limits| {
                PyValueError::new_err(format!(
                    "high ({}) must be >= low ({}) must be >= 0",
                    limits.high, limits.low
                ))
            },
        )?;
        match slf.get().event_loop(py) {
            Some(event_loop) => Self::pause_if_above(slf, &event_loop),
            None => Ok(()),
        }
    }

    /// The limits as (low, high), in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (i64, i64) {
        self.cell.with(py, |state, _| (state.marks.low(), state.marks.high()))
    }

    /// Bytes the kernel has not taken yet.
    fn get_write_buffer_size(slf: &Bound<'_, Self>) -> PyResult<usize> {
        // Bytes held back for the end of the job would look like a full socket.
        Self::uncork_now(slf)?;
        Ok(slf.get().cell.with(slf.py(), |state, _| state.stream.outbox().len_bytes()))
    }

    /// `abort()` with a reason for `connection_lost` (asyncio's private spelling).
    #[pyo3(signature = (exc))]
    fn _force_close(slf: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        match slf.get().event_loop(slf.py()) {
            Some(event_loop) => Self::force_close(slf, &event_loop, exc),
            None => Ok(()),
        }
    }

    /// asyncio's `start_tls` may be used on this transport.
    #[classattr]
    fn _start_tls_compatible() -> bool {
        true
    }

    /// Reading was paused, and nothing has ended it (asyncio's private spelling).
    #[getter(_paused)]
    fn is_paused(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |state, _| {
            state.stream.phase() == Phase::Open
                && !state.stream.is_reading()
                && !state.stream.eof_received()
        })
    }

    #[getter(_loop)]
    fn get_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, EventLoop>> {
        self.event_loop(py)
    }

    #[getter(_protocol)]
    fn protocol_attribute(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.get_protocol(py)
    }

    /// Makes `isinstance(transport, asyncio.Transport)` true: that class has slots, which a native
    /// class cannot share.
    #[getter(__class__)]
    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        names::transport_class(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let polled =
            self.event_loop(py).is_some_and(|event_loop| event_loop.get().check_closed().is_ok());
        self.cell.with(py, |state, _| state.describe(polled))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.cell.peek(|state| state.traverse(&visit)).unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        self.cell.clear(|state| (state.ties.take(), state.extra.take()));
    }
}

impl StreamTransport {
    fn after_reading_change(this: &Bound<'_, Self>, changed: bool, log: &str) -> PyResult<()> {
        let Some(event_loop) = this.get().event_loop(this.py()) else {
            return Ok(());
        };
        if !changed {
            return Ok(());
        }
        Self::update_interest(this, &event_loop)?;
        Self::debug_log(this, &event_loop, log)
    }

    /// RuntimeError after `write_eof()` (S16.12).
    #[inline]
    fn check_not_ended(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        if self.cell.with(py, |state, _| state.stream.eof_written()) {
            return Err(PyRuntimeError::new_err(format!(
                "Cannot call {method}() after write_eof()"
            )));
        }
        Ok(())
    }
}

impl State {
    /// asyncio's description (S16.25); what is polled only while the loop is open.
    fn describe(&self, polled: bool) -> String {
        let fd = self.token.fd();
        let phase = match (&self.descriptor, self.stream.phase()) {
            (Descriptor::Closed, _) => " closed",
            (_, Phase::Open) => "",
            (_, Phase::Closing | Phase::Lost) => " closing",
        };
        if !polled {
            return format!("<StreamTransport{phase} fd={fd}>");
        }
        let state = |wanted| {
            if self.interest.is_some_and(|interest| interest.contains(wanted)) {
                "polling"
            } else {
                "idle"
            }
        };
        let read = state(ferroloop_engine::Interest::READ);
        let write = state(ferroloop_engine::Interest::WRITE);
        let size = self.stream.outbox().len_bytes();
        format!("<StreamTransport{phase} fd={fd} read={read} write=<{write}, bufsize={size}>>")
    }
}
