//! TLS over any stream transport: what happens per record.
//!
//! [`TlsLayer`] is the protocol of the transport below and drives an `ssl.SSLObject` over two
//! `MemoryBIO`s, so that all settings of an `ssl.SSLContext` apply. What happens once per
//! connection (handshake, shutdown, timeouts) is Python: `ferroloop._tls` derives its protocol from
//! the layer, which calls it at each step of those.
//!
//! Records have two engines. `portable` calls the methods of these objects. `direct` calls OpenSSL
//! for the very `SSL` and BIOs inside them, by way of `libssl`; it takes over after the handshake
//! where that is possible, and whenever OpenSSL has anything to say but "done" or "wait", the
//! portable one asks again and so has CPython raise its own error.

mod api;
mod direct;
mod incoming;
mod libssl;
mod outgoing;
mod portable;

use ferroloop_engine::{Outbox, WaterMarks};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use pyo3::{PyTraverseError, PyTypeInfo, PyVisit, intern};

use crate::cell::{LoopCell, Share};
use crate::event_loop::EventLoop;
use crate::ffi;
use crate::lost_writes::LostWrites;
use crate::transport::chunk::Chunk;
use libssl::Ssl;
use portable::Portable;

/// Water marks of TLS (S0.30): read high and write high; each low is a quarter.
const READ_HIGH: usize = 256 * 1024;
const WRITE_HIGH: usize = 512 * 1024;

/// Application data that OpenSSL has not taken yet.
type Backlog = Outbox<Chunk>;

/// Where in its life a TLS connection is.
#[pyclass(eq, eq_int, frozen, from_py_object, module = "ferroloop._ferroloop")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::upper_case_acronyms, reason = "Python's spelling of enum members")]
#[allow(non_camel_case_types, reason = "Python's spelling of enum members")]
pub(crate) enum TlsPhase {
    /// Nothing sent yet.
    IDLE,
    HANDSHAKE,
    /// Application data flows.
    OPEN,
    /// Closing: what was received before is still delivered, what was written still goes out.
    FLUSHING,
    /// Our close_notify is out; waiting for the peer's.
    SHUTDOWN,
    CLOSED,
}

/// The record layer of one TLS connection.
#[pyclass(frozen, subclass, weakref, module = "ferroloop._ferroloop")]
pub(crate) struct TlsLayer {
    cell: LoopCell<State>,
}

struct State {
    phase: TlsPhase,
    event_loop: Py<EventLoop>,
    /// None before `_wrap`, and once the connection is lost: an application that keeps the
    /// transport keeps no key.
    session: Option<Session>,
    /// The transport below, while it is connected.
    below: Option<Py<PyAny>>,
    /// The application's, until the connection is lost.
    protocol: Option<Py<PyAny>>,
    /// The protocol brings its own buffers.
    buffered: bool,
    backlog: Backlog,
    write_marks: WaterMarks,
    read_marks: WaterMarks,
    /// The application wants no data.
    reading_paused: bool,
    room: Room,
    /// The last read filled the protocol's buffer: there may be more for another one.
    unread: bool,
    lost_writes: LostWrites,
}

/// Whether the transport below takes more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    Full,
    /// It was full before TLS came in between, and has paused the application by itself.
    FullBefore,
}

/// What the application is given of what is received.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Nothing,
    Data,
    /// In its own buffers.
    Buffers,
}

/// OpenSSL's side of the connection.
///
/// A step keeps the one that it began with, also while it calls Python: there is never another, and
/// when it is let go, the protocol and the transport below are gone already. Those, and all else
/// that Python may change, are looked at where they are used.
struct Session {
    portable: Portable,
    /// With one the engine is the direct one.
    ssl: Option<Ssl>,
}

impl Session {
    fn share(&self, share: Share<'_>) -> Self {
        Self {
            portable: self.portable.share(share),
            ssl: self.ssl.as_ref().map(|ssl| ssl.share(share)),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.portable.traverse(visit)?;
        self.ssl.as_ref().map_or(Ok(()), |ssl| ssl.traverse(visit))
    }

    /// Does with the SSLObject what OpenSSL has found an error in: CPython raises it. Should it not
    /// come to that, as with a buffer that nobody can write to any more, the error must not be left
    /// to other connections.
    fn portably<T>(&self, py: Python<'_>, work: impl FnOnce(&Portable) -> T) -> T {
        let outcome = work(&self.portable);
        if let Some(ssl) = &self.ssl {
            ssl.clear_errors(py);
        }
        outcome
    }

    /// Bytes received and not decrypted.
    fn received(&self, py: Python<'_>) -> PyResult<usize> {
        match &self.ssl {
            Some(ssl) => Ok(ssl.received(py)),
            None => self.portable.received(py),
        }
    }

    /// Bytes of records that wait to be sent.
    fn unsent(&self, py: Python<'_>) -> PyResult<usize> {
        match &self.ssl {
            Some(ssl) => Ok(ssl.unsent(py)),
            None => self.portable.unsent(py),
        }
    }
}

impl TlsLayer {
    /// None unless the connection lives.
    fn session(&self, py: Python<'_>) -> Option<Session> {
        self.cell
            .with(py, |state, share| state.session.as_ref().map(|session| session.share(share)))
    }

    /// Takes a step, if the connection lives.
    fn with_session<'py>(
        this: &Bound<'py, Self>,
        step: impl FnOnce(&Bound<'py, Self>, &Session) -> PyResult<()>,
    ) -> PyResult<()> {
        this.get().session(this.py()).map_or(Ok(()), |session| step(this, &session))
    }

    fn phase(&self, py: Python<'_>) -> TlsPhase {
        self.cell.with(py, |state, _| state.phase)
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cell.shared(py, |state| state.protocol.as_ref())
    }

    fn event_loop<'py>(&self, py: Python<'py>) -> Bound<'py, EventLoop> {
        self.cell.with(py, |state, share| share.share(&state.event_loop)).into_bound(py)
    }

    /// Calls a step of the Python half.
    fn step<'py>(this: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<()> {
        ffi::call_method(this, name, []).map(drop)
    }

    /// Ends the connection over an error of the record layer or of the application's protocol. What
    /// is no `Exception` is left to the transport below, which lets exit requests leave the run.
    fn fail_on_error(this: &Bound<'_, Self>, outcome: PyResult<()>) -> PyResult<()> {
        let py = this.py();
        match outcome {
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let error = error.into_value(py).into_bound(py);
                let message = intern!(py, "Fatal error on SSL protocol");
                let name = intern!(py, "_fatal_error");
                let arguments = [error.as_any(), message.as_any()];
                ffi::handling(&error, || ffi::call_method(this, name, arguments).map(drop))
            }
            other => other,
        }
    }
}

impl State {
    /// A read begins, unless nothing is wanted.
    fn begin_read(&mut self) -> Wants {
        let reads = matches!(self.phase, TlsPhase::OPEN | TlsPhase::FLUSHING);
        if !reads || self.reading_paused {
            return Wants::Nothing;
        }
        self.unread = false;
        if self.buffered { Wants::Buffers } else { Wants::Data }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        self.session.as_ref().map_or(Ok(()), |session| session.traverse(visit))?;
        visit.call(&self.below)?;
        visit.call(&self.protocol)
    }
}

/// Registers the classes.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TlsPhase>()?;
    module.add_class::<TlsLayer>()
}

/// Several `bytes` as one object; None if there are none.
fn joined<'py, T: PyTypeInfo>(
    py: Python<'py>,
    mut chunks: Vec<Bound<'py, T>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if chunks.len() < 2 {
        return Ok(chunks.pop().map(Bound::into_any));
    }
    let chunks = PyList::new(py, chunks)?;
    ffi::bytes_of(py, b"")?.call_method1(intern!(py, "join"), (chunks,)).map(Some)
}
