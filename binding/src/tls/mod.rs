//! TLS over any stream transport: what happens per record.
//!
//! [`TlsLayer`] is the protocol of the transport below and drives an `ssl.SSLObject` over two
//! `MemoryBIO`s, so everything that can be asked of a `ssl.SSLContext` holds. What happens once per
//! connection (handshake, shutdown, timeouts) is Python: `ferroloop._tls` derives its protocol from
//! the layer and is called back at each step of those.

mod api;
mod incoming;
mod outgoing;

use std::collections::VecDeque;

use ferroloop_engine::WaterMarks;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyString;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::cell::LoopCell;
use crate::event_loop::EventLoop;

/// Water marks of TLS (S0.30): read high and write high; each low is a quarter.
const READ_HIGH: i64 = 256 * 1024;
const WRITE_HIGH: i64 = 512 * 1024;

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
    /// Application data that OpenSSL has not taken yet, all of it unsent but for `sent` bytes.
    backlog: VecDeque<PyBackedBytes>,
    sent: usize,
    backlog_bytes: usize,
    write_marks: WaterMarks,
    read_marks: WaterMarks,
    /// The application wants no data.
    reading_paused: bool,
    room: Room,
    lost_writes: u32,
}

/// Whether the transport below wants more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    Full,
    /// Full since before TLS came between it and the application, which it has told so.
    FullBefore,
}

/// The SSLObject, and the BIOs on its network side.
struct OpenSsl {
    object: Py<PyAny>,
    incoming: Py<PyAny>,
    outgoing: Py<PyAny>,
}

/// The objects one step works with.
struct Parts<'py> {
    object: Bound<'py, PyAny>,
    incoming: Bound<'py, PyAny>,
    outgoing: Bound<'py, PyAny>,
    below: Option<Bound<'py, PyAny>>,
    protocol: Option<Bound<'py, PyAny>>,
}

impl TlsLayer {
    /// None unless the connection lives.
    fn parts<'py>(&self, py: Python<'py>) -> Option<Parts<'py>> {
        let (openssl, below, protocol) = self.cell.with(py, |state, share| {
            let maybe =
                |object: &Option<Py<PyAny>>| object.as_ref().map(|object| share.share(object));
            let openssl = state.openssl.as_ref().map(|openssl| OpenSsl {
                object: share.share(&openssl.object),
                incoming: share.share(&openssl.incoming),
                outgoing: share.share(&openssl.outgoing),
            });
            (openssl, maybe(&state.below), maybe(&state.protocol))
        });
        let openssl = openssl?;
        Some(Parts {
            object: openssl.object.into_bound(py),
            incoming: openssl.incoming.into_bound(py),
            outgoing: openssl.outgoing.into_bound(py),
            below: below.map(|below| below.into_bound(py)),
            protocol: protocol.map(|protocol| protocol.into_bound(py)),
        })
    }

    fn phase(&self, py: Python<'_>) -> TlsPhase {
        self.cell.with(py, |state, _| state.phase)
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let protocol =
            self.cell.with(py, |state, share| state.protocol.as_ref().map(|p| share.share(p)));
        protocol.map(|protocol| protocol.into_bound(py))
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
                let arguments = (error.into_value(py), "Fatal error on SSL protocol");
                this.call_method1(intern!(py, "_fatal_error"), arguments).map(drop)
            }
            other => other,
        }
    }
}

impl State {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        if let Some(openssl) = &self.openssl {
            visit.call(&openssl.object)?;
            visit.call(&openssl.incoming)?;
            visit.call(&openssl.outgoing)?;
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
