//! `ReadPipeTransport` and `WritePipeTransport`: one end of a pipe, or of what can pass for one.

use ferroloop_engine::{Interest, PipeKind, borrow_fd, set_nonblocking};
use pyo3::exceptions::{PyBrokenPipeError, PyNotImplementedError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::kind::Kind;
use super::reading::Received;
use super::{Base, BaseTransport, Descriptor, Parts, WriteTransport, chunk};
use crate::errors::os_error;
use crate::event_loop::EventLoop;
use crate::handle::Args;
use crate::job::Job;
use crate::{ffi, names};

/// The end of a pipe that is read (asyncio.ReadTransport).
#[pyclass(frozen, extends = BaseTransport, module = "ferroloop._ferroloop")]
pub(crate) struct ReadPipeTransport {
    /// Bytes that are not asked for wait for the next read. A socket of messages forgets them, and
    /// so do some devices.
    keeps_unread: bool,
}

/// The end of a pipe that is written to (asyncio.WriteTransport).
#[pyclass(frozen, extends = WriteTransport, module = "ferroloop._ferroloop")]
pub(crate) struct WritePipeTransport;

/// The common part of both constructors. A refused pipe is left as it was (S30.1).
fn take_over<'py>(
    event_loop: &Bound<'py, EventLoop>,
    end: Kind,
    pipe: &Bound<'py, PyAny>,
    protocol: Bound<'py, PyAny>,
    extra: Option<&Bound<'py, PyDict>>,
) -> PyResult<(BaseTransport, PipeKind)> {
    let py = pipe.py();
    let descriptor = open_descriptor(pipe)?;
    EventLoop::ensure_no_transport(event_loop, pipe)?;
    let kind = adopt(py, &descriptor, end)?;
    let known = PyDict::new(py);
    if let Some(extra) = extra {
        known.update(extra.as_mapping())?;
    }
    known.set_item(intern!(py, "pipe"), pipe)?;
    let context = ffi::copy_context(py)?;
    let extra = Some(known);
    let parts = Parts { descriptor, protocol, context, server: None, addresses: None, extra };
    let base = BaseTransport::new(event_loop, end, parts)?;
    Ok((base, kind))
}

/// The descriptor of an object with `fileno()`. Errors: what `fileno()` raises, OSError EBADF.
fn open_descriptor(pipe: &Bound<'_, PyAny>) -> PyResult<Descriptor> {
    let descriptor = Descriptor::of(pipe)?;
    borrow_fd(descriptor.fd()).map_err(|error| os_error(pipe.py(), &error))?;
    Ok(descriptor)
}

/// Takes over a descriptor as one end of a pipe, and makes its file non-blocking.
///
/// Errors: ValueError for what is no pipe, socket or character device, OSError EBADF.
fn adopt(py: Python<'_>, descriptor: &Descriptor, end: Kind) -> PyResult<PipeKind> {
    let examine = || {
        let fd = borrow_fd(descriptor.fd())?;
        let kind = PipeKind::of(fd)?;
        if kind.is_some() {
            set_nonblocking(fd)?;
        }
        Ok(kind)
    };
    let kind = examine().map_err(|error: std::io::Error| os_error(py, &error))?;
    kind.ok_or_else(|| {
        PyValueError::new_err(match end {
            Kind::WritePipe => "Pipe transport is only for pipes, sockets and character devices",
            _ => "Pipe transport is for pipes/sockets only.",
        })
    })
}

impl ReadPipeTransport {
    /// One read of up to 256 KiB, one `data_received` (S30.5), whose failure is a failed callback
    /// and leaves the transport open (S30.8).
    pub(super) fn on_readable(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        let (keeps_unread, this, py) = (this.get().keeps_unread, this.base(), this.py());
        let received = if keeps_unread {
            this.get().receive_bytes(event_loop)
        } else {
            this.get().receive_copy(event_loop)
        };
        match received {
            Ok(Received::Nothing) => Ok(()),
            Ok(Received::Data(data)) => {
                let Some(target) = this.get().target(py) else { return Ok(()) };
                let method = intern!(py, "data_received");
                let Err(error) = target.call(method, [&data]) else { return Ok(()) };
                // The report does not show the data.
                BaseTransport::call_failed(this, event_loop, target, method, Args::None, error)
            }
            Ok(Received::Eof) => {
                BaseTransport::info_log(this, event_loop, "%r was closed by peer")?;
                event_loop.get().push_and_wake(py, Job::Eof(this.clone().unbind()));
                BaseTransport::force_close(this, event_loop, None)
            }
            Err(error) => BaseTransport::read_failed(this, event_loop, error),
        }
    }
}

impl BaseTransport {
    /// Tells the protocol of a pipe about the end of file; whatever it answers, the transport
    /// closes (S30.6).
    pub(crate) fn end_of_file(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        Self::notify(this, event_loop, intern!(this.py(), "eof_received"), None)
    }

    /// Nobody can read what is written here any more (S31.5).
    pub(super) fn on_lost_reader(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        let py = this.py();
        let (watched, unread) = this.get().cell.with(py, |state, _| {
            (state.stream.interest().contains(Interest::READ), !state.stream.outbox().is_empty())
        });
        if !watched {
            return Ok(());
        }
        Self::info_log(this, event_loop, "%r was closed by peer")?;
        let reason = unread.then(|| PyBrokenPipeError::new_err(()).into_value(py).into_any());
        Self::force_close(this, event_loop, reason)
    }
}

#[pymethods]
impl ReadPipeTransport {
    /// The arguments are those of `__init__`, which sees the new object and starts it.
    #[new]
    #[pyo3(signature = (r#loop, pipe, protocol, waiter = None, extra = None))]
    fn __new__<'py>(
        r#loop: &Bound<'py, EventLoop>,
        pipe: &Bound<'py, PyAny>,
        protocol: Bound<'py, PyAny>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _ = waiter;
        let (base, kind) = take_over(r#loop, Kind::ReadPipe, pipe, protocol, extra)?;
        let keeps_unread = kind == PipeKind::Pipe;
        Ok(PyClassInitializer::from(base).add_subclass(Self { keeps_unread }))
    }

    #[pyo3(signature = (r#loop, _pipe, _protocol, waiter = None, *_args, **_options))]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        r#loop: &Bound<'py, EventLoop>,
        _pipe: &Bound<'py, PyAny>,
        _protocol: &Bound<'py, PyAny>,
        waiter: Option<Py<PyAny>>,
        _args: &Bound<'py, PyTuple>,
        _options: Option<&Bound<'py, PyDict>>,
    ) {
        BaseTransport::start(slf.base(), r#loop, waiter);
    }

    /// As for `StreamTransport`.
    #[getter(__class__)]
    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        names::read_transport_class(py)
    }
}

#[pymethods]
impl WritePipeTransport {
    /// The arguments are those of `__init__`, which sees the new object and starts it.
    #[new]
    #[pyo3(signature = (r#loop, pipe, protocol, waiter = None, extra = None))]
    fn __new__<'py>(
        r#loop: &Bound<'py, EventLoop>,
        pipe: &Bound<'py, PyAny>,
        protocol: Bound<'py, PyAny>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _ = waiter;
        let (base, kind) = take_over(r#loop, Kind::WritePipe, pipe, protocol, extra)?;
        if !kind.tells_of_lost_reader() {
            base.cell.with(pipe.py(), |state, _| state.stream.pause_reading());
        }
        Ok(PyClassInitializer::from(base).add_subclass(WriteTransport).add_subclass(Self))
    }

    #[pyo3(signature = (r#loop, _pipe, _protocol, waiter = None, *_args, **_options))]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        r#loop: &Bound<'py, EventLoop>,
        _pipe: &Bound<'py, PyAny>,
        _protocol: &Bound<'py, PyAny>,
        waiter: Option<Py<PyAny>>,
        _args: &Bound<'py, PyTuple>,
        _options: Option<&Bound<'py, PyDict>>,
    ) {
        BaseTransport::start(slf.base(), r#loop, waiter);
    }

    /// Sends bytes, a bytearray or a memoryview; never blocks, the rest is buffered.
    ///
    /// Raises AssertionError for anything else.
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        BaseTransport::write(slf.base(), chunk::for_pipe(data)?)
    }

    /// Sends all the chunks of an iterable as one.
    ///
    /// Raises TypeError for what cannot be joined.
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        // One write(2): what is no longer than PIPE_BUF must not be mixed with others' (pipe(7)).
        let nothing = PyBytes::new(slf.py(), b"");
        let all = nothing.call_method1(intern!(slf.py(), "join"), (list_of_data,))?;
        Self::write(slf, &all)
    }

    /// `close()`: a pipe ends by being closed (S31.15).
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        BaseTransport::close(slf.base())
    }

    /// True.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Raises NotImplementedError, like the two after it: asyncio's write pipes pass for whole
    /// transports.
    fn is_reading(&self) -> PyResult<bool> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// Raises NotImplementedError.
    fn pause_reading(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// Raises NotImplementedError.
    fn resume_reading(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// As for `StreamTransport`.
    #[getter(__class__)]
    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        names::transport_class(py)
    }
}
