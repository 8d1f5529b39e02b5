//! TLS over any stream transport: what happens per record.
//!
//! [`TlsLayer`] is the protocol of the transport below and drives an `ssl.SSLObject` over two
//! `MemoryBIO`s, so everything that can be asked of a `ssl.SSLContext` holds. What happens once per
//! connection (handshake, shutdown, timeouts) is Python: `ferroloop._tls` derives its protocol from
//! the layer and is called back at each step of those.
//!
//! Records have two engines. `portable` calls the methods of these objects. `direct` calls OpenSSL
//! for the very `SSL` and BIOs inside them, by way of `libssl`; it takes over after the handshake
//! where that can be had, and whenever OpenSSL has anything to say but "done" or "wait", the portable
//! one asks again and so has CPython raise its own error.

mod api;
mod backlog;
mod direct;
mod incoming;
mod libssl;
mod outgoing;
mod portable;

use ferroloop_engine::WaterMarks;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use pyo3::{PyTraverseError, PyTypeInfo, PyVisit, intern};

use crate::cell::{LoopCell, Share};
use crate::event_loop::EventLoop;
use crate::ffi;
use crate::lost_writes::LostWrites;
use backlog::Backlog;
use libssl::Ssl;
use portable::Portable;

/// Water marks of TLS (S0.30): read high and write high; each low is a quarter.
const READ_HIGH: usize = 256 * 1024;
const WRITE_HIGH: usize = 512 * 1024;

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
    /// None before `_wrap`, and once the connection is lost: an application that keeps the transport keeps no key.
    openssl: Option<OpenSsl>,
    /// The transport below, while it is connected.
    below: Option<Py<PyAny>>,
    /// The application's protocol, and whether it brings its own buffers.
    protocol: Option<Py<PyAny>>,
    buffered: bool,
    backlog: Backlog,
    write_marks: WaterMarks,
    read_marks: WaterMarks,
    /// The application wants no data.
    reading_paused: bool,
    room: Room,
    lost_writes: LostWrites,
}

/// Whether the transport below wants more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    Full,
    /// Full since before TLS came between it and the application, which it has told so.
    FullBefore,
}

/// The SSLObject, the BIOs on its network side, and the way into them that the direct engine takes.
struct OpenSsl {
    object: Py<PyAny>,
    incoming: Py<PyAny>,
    outgoing: Py<PyAny>,
    ssl: Option<Ssl>,
}

impl OpenSsl {
    fn share(&self, share: Share<'_>) -> Self {
        Self {
            object: share.share(&self.object),
            incoming: share.share(&self.incoming),
            outgoing: share.share(&self.outgoing),
            ssl: self.ssl.as_ref().map(|ssl| ssl.share(share)),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)?;
        visit.call(&self.incoming)?;
        visit.call(&self.outgoing)?;
        self.ssl.as_ref().map_or(Ok(()), |ssl| ssl.traverse(visit))
    }
}

/// What one step works with.
struct Parts<'py> {
    portable: Portable<'py>,
    /// With one the engine is the direct one.
    ssl: Option<Ssl>,
    below: Option<Bound<'py, PyAny>>,
    protocol: Option<Bound<'py, PyAny>>,
}

impl<'py> Parts<'py> {
    fn py(&self) -> Python<'py> {
        self.portable.object.py()
    }

    /// Bytes received and not decrypted.
    fn received(&self) -> PyResult<usize> {
        match &self.ssl {
            Some(ssl) => Ok(ssl.received(self.py())),
            None => self.portable.received(),
        }
    }

    /// Bytes of records that wait to be sent.
    fn unsent(&self) -> PyResult<usize> {
        match &self.ssl {
            Some(ssl) => Ok(ssl.unsent(self.py())),
            None => self.portable.unsent(),
        }
    }
}

impl TlsLayer {
    /// None unless the connection lives.
    fn parts<'py>(&self, py: Python<'py>) -> Option<Parts<'py>> {
        let (openssl, below, protocol) = self.cell.with(py, |state, share| {
            let maybe =
                |object: &Option<Py<PyAny>>| object.as_ref().map(|object| share.share(object));
            let openssl = state.openssl.as_ref().map(|openssl| openssl.share(share));
            (openssl, maybe(&state.below), maybe(&state.protocol))
        });
        let openssl = openssl?;
        Some(Parts {
            portable: Portable {
                object: openssl.object.into_bound(py),
                incoming: openssl.incoming.into_bound(py),
                outgoing: openssl.outgoing.into_bound(py),
            },
            ssl: openssl.ssl,
            below: below.map(|below| below.into_bound(py)),
            protocol: protocol.map(|protocol| protocol.into_bound(py)),
        })
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
        this.call_method0(name).map(drop)
    }

    /// Ends the connection over an error of the record layer or of the application's protocol. What
    /// is no `Exception` is the transport's below: it lets exit requests leave the run.
    fn fail_on_error(this: &Bound<'_, Self>, outcome: PyResult<()>) -> PyResult<()> {
        let py = this.py();
        match outcome {
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let error = error.into_value(py).into_bound(py);
                let arguments = (&error, "Fatal error on SSL protocol");
                let name = intern!(py, "_fatal_error");
                ffi::handling(&error, || this.call_method1(name, arguments).map(drop))
            }
            other => other,
        }
    }
}

impl State {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        if let Some(openssl) = &self.openssl {
            openssl.traverse(visit)?;
        }
        visit.call(&self.below)?;
        visit.call(&self.protocol)
    }
}

/// Registers the classes.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TlsPhase>()?;
    module.add_class::<TlsLayer>()
}

/// Several `bytes` as one object; None of none.
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
