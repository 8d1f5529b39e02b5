//! The read side: bytes and end of file, from the descriptor to the protocol.
//!
//! Small messages are received into the loop's one buffer and copied into a `bytes` of their size:
//! making a large one and shortening it would cost more. Large ones are received in place.

use std::io;
use std::os::fd::BorrowedFd;

use ferroloop_engine::{Read, Stream, borrow_fd};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::chunk::Chunk;
use super::kind::Kind;
use super::protocol::{Receives, Target, check_room};
use super::writing::Caller;
use super::{BaseTransport, DatagramTransport, ReadPipeTransport};
use crate::errors::{self, os_error};
use crate::event_loop::EventLoop;
use crate::ffi;
use crate::tls::TlsLayer;

/// What one read in place may bring: twice as much is no faster. It is below the size from which
/// glibc maps memory where a program's settings keep it from the heap (see `heap`), and a map
/// shortened and unmapped with every read costs more than the copy it saves.
const ROOM: usize = 120 * 1024;

/// What one look at the descriptor brought.
pub(super) enum Received<T> {
    Data(T),
    Eof,
    Nothing,
}

impl<T> Received<T> {
    #[inline]
    fn try_map<U>(self, make: impl FnOnce(T) -> PyResult<U>) -> PyResult<Received<U>> {
        match self {
            Self::Data(data) => make(data).map(Received::Data),
            Self::Eof => Ok(Received::Eof),
            Self::Nothing => Ok(Received::Nothing),
        }
    }
}

impl BaseTransport {
    #[inline]
    pub(super) fn on_readable<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
    ) -> PyResult<()> {
        let py = this.py();
        if let Err(error) = this.get().check_descriptor(py) {
            return Self::read_failed(this, event_loop, error);
        }
        match this.get().kind(py) {
            Kind::Stream => {
                let Some(target) = this.get().target(py) else { return Ok(()) };
                match target.receives {
                    Receives::Data => Self::read_data(this, event_loop, &target),
                    Receives::Buffers => Self::read_into_buffer(this, event_loop, &target),
                    Receives::Records => Self::read_records(this, event_loop, &target),
                }
            }
            Kind::Datagram => DatagramTransport::on_readable(this.cast()?, event_loop),
            Kind::ReadPipe => ReadPipeTransport::on_readable(this.cast()?, event_loop),
            Kind::WritePipe => Self::on_lost_reader(this, event_loop),
        }
    }

    /// One read of up to 256 KiB, one `data_received` (S16.5).
    #[inline]
    fn read_data<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        target: &Target<'py>,
    ) -> PyResult<()> {
        let received = this.get().receive_bytes(event_loop);
        Self::deliver(this, event_loop, target, received, "data_received", |data| {
            target.call(intern!(this.py(), "data_received"), [&data]).map(drop)
        })
    }

    /// One read for TLS, which takes the records out of the loop's buffer by itself. An error goes
    /// by `buffer_updated`, since asyncio's TLS is a BufferedProtocol.
    #[inline]
    fn read_records<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        target: &Target<'py>,
    ) -> PyResult<()> {
        let layer = target.protocol.cast::<TlsLayer>()?;
        let take = |data: &[u8]| Ok(target.run(|| TlsLayer::receive_records(layer, data)));
        let received = this.get().receive_and(event_loop, take);
        Self::deliver(this, event_loop, target, received, "buffer_updated", |taken| taken)
    }

    /// Has `call` give the protocol what was received; `method` is whom its error is put down to.
    #[inline]
    fn deliver<'py, T>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        target: &Target<'py>,
        received: PyResult<Received<T>>,
        method: &str,
        call: impl FnOnce(T) -> PyResult<()>,
    ) -> PyResult<()> {
        match received {
            Ok(Received::Nothing) => Ok(()),
            Ok(Received::Eof) => Self::on_eof(this, event_loop, target),
            Ok(Received::Data(data)) => {
                call(data).or_else(|error| Self::protocol_failed(this, event_loop, error, method))
            }
            Err(error) => Self::read_failed(this, event_loop, error),
        }
    }

    /// The error ends the connection, but for exit requests: these are the run's.
    #[cold]
    pub(super) fn read_failed<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = this.py();
        if errors::is_exit_request(py, &error) {
            return Err(error);
        }
        Self::fatal(this, event_loop, error, this.get().kind(py).read_error())
    }

    /// Makes an exact `bytes` of what came.
    #[inline]
    pub(super) fn receive_bytes<'py>(
        &self,
        event_loop: &Bound<'py, EventLoop>,
    ) -> PyResult<Received<Bound<'py, PyBytes>>> {
        let py = event_loop.py();
        if self.cell.with(py, |state, _| state.stream.reads_in_place()) {
            return self.receive_in_place(py);
        }
        self.receive_copy(event_loop)
    }

    /// Reads into the loop's buffer, which has room for whatever one read may bring (S0.28).
    #[inline]
    pub(super) fn receive_copy<'py>(
        &self,
        event_loop: &Bound<'py, EventLoop>,
    ) -> PyResult<Received<Bound<'py, PyBytes>>> {
        self.receive_and(event_loop, |data| ffi::bytes_of(event_loop.py(), data))
    }

    /// Reads into a new `bytes` that may be too long, and is shortened to what came.
    fn receive_in_place<'py>(&self, py: Python<'py>) -> PyResult<Received<Bound<'py, PyBytes>>> {
        let mut outcome = Ok(Received::Nothing);
        let data = ffi::bytes_of_at_most(py, ROOM, |room| {
            outcome = self.try_receive(py, |stream, fd| stream.recv_uninit(fd, room));
            if let Ok(Received::Data(length)) = outcome { length } else { 0 }
        })?;
        outcome.map_err(|error| os_error(py, &error))?.try_map(|_| Ok(data))
    }

    /// Reads into the loop's buffer and has `take` make something of what came.
    #[inline]
    fn receive_and<T>(
        &self,
        event_loop: &Bound<'_, EventLoop>,
        take: impl FnOnce(&[u8]) -> PyResult<T>,
    ) -> PyResult<Received<T>> {
        let py = event_loop.py();
        event_loop.get().with_scratch(py, |scratch| {
            self.receive(py, |stream, fd| stream.recv(fd, scratch))?
                .try_map(|length| take(scratch.get(..length).unwrap_or_default()))
        })
    }

    /// `try_receive`, for whoever holds no memory that Python code could touch.
    #[inline]
    fn receive(
        &self,
        py: Python<'_>,
        recv: impl FnOnce(&mut Stream<Chunk>, BorrowedFd<'_>) -> io::Result<Read> + Send,
    ) -> PyResult<Received<usize>> {
        self.try_receive(py, recv).map_err(|error| os_error(py, &error))
    }

    /// Receives if the stream still wants to: the events of one poll are older than its jobs. Calls
    /// no Python, which even to make an error would be.
    #[inline]
    fn try_receive(
        &self,
        py: Python<'_>,
        recv: impl FnOnce(&mut Stream<Chunk>, BorrowedFd<'_>) -> io::Result<Read> + Send,
    ) -> io::Result<Received<usize>> {
        self.cell.with(py, |state, _| {
            if !state.stream.is_reading() {
                return Ok(Received::Nothing);
            }
            Ok(match recv(&mut state.stream, borrow_fd(state.descriptor.fd())?)? {
                Read::Data(length) => Received::Data(length),
                Read::Eof => Received::Eof,
                Read::NotReady => Received::Nothing,
            })
        })
    }

    /// Receives straight into the buffer of a BufferedProtocol (S16.6).
    fn read_into_buffer<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        target: &Target<'py>,
    ) -> PyResult<()> {
        let py = this.py();
        if !this.get().cell.with(py, |state, _| state.stream.is_reading()) {
            return Ok(());
        }
        let buffer = match get_buffer(target) {
            Ok(buffer) => buffer,
            Err(error) => return Self::protocol_failed(this, event_loop, error, "get_buffer"),
        };
        let received = ffi::with_writable_buffer(&buffer, |memory| {
            this.get().try_receive(py, |stream, fd| stream.recv(fd, memory))
        });
        let received = match received {
            Ok(received) => received.map_err(|error| os_error(py, &error)),
            Err(_) => Err(not_writable(&buffer)),
        };
        Self::deliver(this, event_loop, target, received, "buffer_updated", |length| {
            let length = length.into_pyobject(py)?.into_any();
            target.call(intern!(py, "buffer_updated"), [&length]).map(drop)
        })
    }

    /// The peer will send no more: the protocol says whether we may still write (S16.8).
    fn on_eof<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        target: &Target<'py>,
    ) -> PyResult<()> {
        let py = this.py();
        let keep_open = Self::debug_log(this, event_loop, "%r received EOF")
            .and_then(|()| target.call(intern!(py, "eof_received"), []))
            .and_then(|keep| keep.is_truthy());
        match keep_open {
            Ok(true) => Self::update_interest(this, event_loop),
            Ok(false) => Self::close_gently(this, event_loop, Caller::Loop),
            Err(error) => {
                // An exit request is no answer: whoever runs the loop again is to ask again.
                this.get().cell.with(py, |state, _| state.stream.forget_eof());
                Self::protocol_failed(this, event_loop, error, "eof_received")
            }
        }
    }
}

impl BaseTransport {
    pub(super) fn is_reading(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |state, _| state.stream.is_reading())
    }

    pub(super) fn pause_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let changed = this.get().cell.with(this.py(), |state, _| state.stream.pause_reading());
        Self::after_reading_change(this, changed, "%r pauses reading")
    }

    pub(super) fn resume_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let changed = this.get().cell.with(this.py(), |state, _| state.stream.resume_reading());
        Self::after_reading_change(this, changed, "%r resumes reading")
    }

    fn after_reading_change(this: &Bound<'_, Self>, changed: bool, log: &str) -> PyResult<()> {
        if !changed {
            return Ok(());
        }
        Self::while_alive(this, |event_loop| {
            Self::update_interest(this, event_loop)?;
            Self::debug_log(this, event_loop, log)
        })
    }
}

/// The error of `socket.recv_into`.
#[cold]
fn not_writable(buffer: &Bound<'_, PyAny>) -> PyErr {
    match buffer.get_type().name() {
        Ok(name) => PyTypeError::new_err(format!(
            "recv_into() argument 1 must be read-write bytes-like object, not {name}"
        )),
        Err(error) => error,
    }
}

fn get_buffer<'py>(target: &Target<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = target.protocol.py();
    let buffer = target.call(intern!(py, "get_buffer"), [(-1_i32).into_pyobject(py)?.as_any()])?;
    check_room(&buffer)?;
    Ok(buffer)
}
