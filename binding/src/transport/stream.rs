//! `StreamTransport`: a connected stream socket, TCP or Unix.

use std::os::fd::RawFd;

use ferroloop_engine::{Phase, borrow_fd, set_nodelay};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::chunk::{self, Chunk};
use super::kind::Kind;
use super::{Base, BaseTransport, Descriptor, Parts, WriteTransport, extra};
use crate::errors::os_error;
use crate::event_loop::EventLoop;
use crate::{ffi, names};

/// The same everywhere (`getprotobyname(3)`).
const IPPROTO_TCP: i32 = 6;

/// A connected stream socket (asyncio.Transport).
#[pyclass(frozen, extends = WriteTransport, module = "ferroloop._ferroloop")]
pub(crate) struct StreamTransport;

impl StreamTransport {
    /// A transport for a connection the loop accepted.
    pub(crate) fn accepted(event_loop: &Bound<'_, EventLoop>, parts: Parts<'_>) -> PyResult<()> {
        let base = BaseTransport::new(event_loop, Kind::Stream, parts)?;
        let initializer =
            PyClassInitializer::from(base).add_subclass(WriteTransport).add_subclass(Self);
        let this = Bound::new(event_loop.py(), initializer)?;
        BaseTransport::enter(this.base(), event_loop, None)
            .or_else(|error| BaseTransport::release(this.base()).and(Err(error)))
    }

    /// `write()` of what TLS made.
    pub(crate) fn write_records<'py>(
        this: &Bound<'py, Self>,
        records: Vec<Bound<'py, PyBytes>>,
    ) -> PyResult<()> {
        Self::check_takes_writes(this.base().get(), this.py(), "write")?;
        let chunks = records.into_iter().map(Chunk::from).collect();
        BaseTransport::write_all(this.base(), chunks, false)
    }

    /// RuntimeError after `write_eof()` or while a file is being sent (S16.12).
    #[inline]
    fn check_takes_writes(this: &BaseTransport, py: Python<'_>, method: &str) -> PyResult<()> {
        let (ended, busy) =
            this.cell.with(py, |state, _| (state.stream.eof_written(), state.sends_file));
        if ended {
            let text = format!("Cannot call {method}() after write_eof()");
            return Err(PyRuntimeError::new_err(text));
        }
        if busy {
            let text = format!("unable to {method}; sendfile is in progress");
            return Err(PyRuntimeError::new_err(text));
        }
        Ok(())
    }
}

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
    ) -> PyResult<PyClassInitializer<Self>> {
        let _ = waiter;
        EventLoop::ensure_no_transport(r#loop, sock)?;
        send_small_writes_at_once(sock)?;
        let context = match context {
            Some(context) => context,
            None => ffi::copy_context(sock.py())?,
        };
        let parts = Parts {
            descriptor: Descriptor::of(sock)?,
            protocol,
            context,
            server,
            addresses: None,
            extra: Some(extra::of_socket(sock, extra)?),
        };
        let base = BaseTransport::new(r#loop, Kind::Stream, parts)?;
        Ok(PyClassInitializer::from(base).add_subclass(WriteTransport).add_subclass(Self))
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
        let this = slf.base();
        // As long as there is a socket to be seen.
        BaseTransport::extra_info(this, intern!(slf.py(), "socket"))?;
        BaseTransport::enter(this, r#loop, waiter).inspect_err(|_| BaseTransport::disown(this))
    }

    /// Sends bytes, a bytearray or a memoryview; never blocks, the rest is buffered.
    ///
    /// Raises TypeError for anything else, RuntimeError after `write_eof()` or while a file is
    /// sent.
    #[inline]
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.base();
        let chunk = chunk::from_object(data)?;
        Self::check_takes_writes(this.get(), slf.py(), "write")?;
        BaseTransport::write(this, chunk)
    }

    /// True once closing has begun.
    // The class's own, as `TimerHandle.cancel` is: many programs ask before each write.
    fn is_closing(slf: &Bound<'_, Self>) -> bool {
        slf.base().get().is_closing(slf.py())
    }

    /// Sends all the chunks of an iterable. Raises what `write()` raises, and then sends none of
    /// them.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        // Until 3.12 asyncio's writelines was a write of everything joined, and said so; since then
        // it tries to send at once, whatever waits.
        let own = slf.py().version_info() >= (3, 12);
        let method = if own { "writelines" } else { "write" };
        Self::check_takes_writes(slf.base().get(), slf.py(), method)?;
        let chunks = chunk::each_of(list_of_data)?;
        BaseTransport::write_all(slf.base(), chunks, own)
    }

    /// Ends our side after what is buffered; the peer reads EOF.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        BaseTransport::end_writing(slf.base())
    }

    /// True: stream sockets can be shut down one way.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Reading was paused, and nothing has ended it (asyncio's private spelling).
    #[getter(_paused)]
    fn is_paused(slf: &Bound<'_, Self>) -> bool {
        slf.base().get().cell.with(slf.py(), |state, _| {
            state.stream.phase() == Phase::Open
                && !state.stream.is_reading()
                && !state.stream.eof_received()
        })
    }

    /// The protocol has been told to pause writing (asyncio's private spelling).
    #[getter]
    fn _protocol_paused(slf: &Bound<'_, Self>) -> bool {
        slf.base().get().cell.with(slf.py(), |state, _| state.marks.is_paused())
    }

    /// `abort()` with a reason for `connection_lost` (asyncio's private spelling).
    #[pyo3(signature = (exc))]
    fn _force_close(slf: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        BaseTransport::abort(slf.base(), exc)
    }

    /// Begins to send a file: writes are refused until `_end_sendfile()`.
    ///
    /// Raises RuntimeError if that has begun already.
    fn _begin_sendfile(slf: &Bound<'_, Self>) -> PyResult<()> {
        BaseTransport::begin_sendfile(slf.base())
    }

    /// A future that is done when a chunk may be sent; ConnectionError if the connection is lost.
    fn _room<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        BaseTransport::room(slf.base())
    }

    /// Sends a chunk of a file in one system call; the number of bytes, 0 at the end of the file,
    /// None if there is no room.
    fn _send_chunk(
        slf: &Bound<'_, Self>,
        fd: RawFd,
        offset: u64,
        count: usize,
    ) -> PyResult<Option<usize>> {
        BaseTransport::send_chunk(slf.base(), fd, offset, count)
    }

    /// Ends what `_begin_sendfile()` began.
    fn _end_sendfile(slf: &Bound<'_, Self>) -> PyResult<()> {
        BaseTransport::end_sendfile(slf.base())
    }

    /// `loop.sendfile` tries the system call on this transport.
    #[classattr]
    fn _sendfile_compatible(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        names::sendfile_mode(py)?.getattr("TRY_NATIVE")
    }

    /// asyncio's `start_tls` may be used on this transport.
    #[classattr]
    fn _start_tls_compatible() -> bool {
        true
    }

    /// Makes `isinstance(transport, asyncio.Transport)` true: that class has slots, which a native
    /// class cannot share.
    #[getter(__class__)]
    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        names::transport_class(py)
    }
}

/// As TCP does without delay then (S16.3); other sockets have none.
fn send_small_writes_at_once(socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let protocol: i32 = socket.getattr(intern!(socket.py(), "proto"))?.extract()?;
    if protocol == IPPROTO_TCP {
        let fd: RawFd = socket.call_method0(intern!(socket.py(), "fileno"))?.extract()?;
        let outcome = borrow_fd(fd).and_then(set_nodelay);
        outcome.map_err(|error| os_error(socket.py(), &error))?;
    }
    Ok(())
}
