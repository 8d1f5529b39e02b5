//! `DatagramTransport`: a socket that sends and receives whole messages, UDP, Unix or raw.
//!
//! It lives and ends like a stream. What it sends waits in a queue of its own, with addresses; and
//! an error of the socket concerns one message: `error_received` is told, and the transport lives
//! on.

mod ancillary;
mod incoming;
mod known;
mod messages;
mod outgoing;

use std::sync::atomic::AtomicBool;

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, intern};

use self::ancillary::Ancillary;
use self::known::KnownAddresses;
pub(super) use self::outgoing::{Queue, traverse};
use super::address::Family;
use super::chunk;
use super::kind::Kind;
use super::{Base, BaseTransport, Descriptor, Parts, WriteTransport, extra};
use crate::cell::LoopCell;
use crate::errors::os_error;
use crate::event_loop::EventLoop;
use crate::{ffi, names};

/// A socket that sends and receives whole messages (asyncio.DatagramTransport).
#[pyclass(frozen, extends = WriteTransport, module = "ferroloop._ferroloop")]
pub(crate) struct DatagramTransport {
    /// The only address that datagrams may go to, if there is one.
    peer: Option<Py<PyAny>>,
    /// The socket knows where datagrams go.
    connected: bool,
    /// That has a name: then it gets them whatever address is given.
    has_named_peer: bool,
    family: Family,
    /// Python's socket receives: what only it can read.
    by_python: AtomicBool,
    /// Bytes for what goes along with a message, once these are asked for.
    ancillary_room: LoopCell<Option<i32>>,
    known: LoopCell<KnownAddresses>,
}

/// Bytes that each queued datagram counts besides its own, so that empty ones count (S27.7).
fn overhead(py: Python<'_>) -> usize {
    if py.version_info() >= (3, 13) { 8 } else { 0 }
}

impl DatagramTransport {
    fn new(
        descriptor: &Descriptor,
        extra: &Bound<'_, PyDict>,
        peer: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = extra.py();
        let family = Family::of(descriptor.fd()).map_err(|error| os_error(py, &error))?;
        let name = extra.get_item(intern!(py, "peername"))?.filter(|name| !name.is_none());
        let peer = match peer {
            Some(peer) if peer.is_truthy()? => Some(peer.unbind()),
            _ => None,
        };
        Ok(Self {
            peer,
            connected: name.is_some(),
            has_named_peer: name.map_or(Ok(false), |name| name.is_truthy())?,
            family,
            by_python: AtomicBool::new(family == Family::Foreign),
            ancillary_room: LoopCell::new(None),
            known: LoopCell::new(KnownAddresses::default()),
        })
    }
}

#[pymethods]
impl DatagramTransport {
    /// The arguments are those of `__init__`, which sees the new object and starts it.
    #[new]
    #[pyo3(signature = (r#loop, sock, protocol, address = None, waiter = None, extra = None))]
    fn __new__<'py>(
        r#loop: &Bound<'py, EventLoop>,
        sock: &Bound<'py, PyAny>,
        protocol: Bound<'py, PyAny>,
        address: Option<Bound<'py, PyAny>>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let _ = waiter;
        let py = sock.py();
        EventLoop::ensure_no_transport(r#loop, sock)?;
        let descriptor = Descriptor::of(sock)?;
        let extra = extra::of_socket(sock, extra)?;
        let view = intern!(py, "socket");
        if !extra.contains(view)? {
            extra.set_item(view, names::transport_socket_class(py)?.call1((sock,))?)?;
        }
        let this = Self::new(&descriptor, &extra, address)?;
        let parts = Parts {
            descriptor,
            protocol,
            context: ffi::copy_context(py)?,
            server: None,
            addresses: None,
            extra: Some(extra),
        };
        let base = BaseTransport::new(r#loop, Kind::Datagram, parts)?;
        let queue = Box::new(Queue::new(overhead(py)));
        base.cell.with(py, move |state, _| state.datagrams = Some(queue));
        Ok(PyClassInitializer::from(base).add_subclass(WriteTransport).add_subclass(this))
    }

    #[pyo3(signature = (r#loop, sock, protocol, address = None, waiter = None, extra = None))]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        r#loop: &Bound<'py, EventLoop>,
        sock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        address: Option<&Bound<'py, PyAny>>,
        waiter: Option<Py<PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let _ = (sock, protocol, address, extra);
        let this = slf.base();
        BaseTransport::enter(this, r#loop, waiter).inspect_err(|_| BaseTransport::disown(this))
    }

    /// Sends one datagram of bytes, a bytearray or a memoryview, at once or when there is room.
    ///
    /// addr: where to; None is the peer that the endpoint was made with. What the system says
    /// against it goes to the protocol's `error_received`.
    ///
    /// Raises TypeError for other data, ValueError for an address other than the peer's.
    #[inline]
    #[pyo3(signature = (data, addr = None))]
    fn sendto(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        addr: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Self::send(slf, chunk::for_datagram(data)?, addr)
    }

    /// Sends one datagram with ancillary data, in order with those of `sendto`.
    ///
    /// ancdata: (level, type, data) for each item, as `socket.sendmsg` takes them. A datagram that
    /// has to wait keeps copies, and of descriptors (SCM_RIGHTS) duplicates.
    ///
    /// Raises what `sendto` raises, TypeError for what is no ancillary data, OverflowError for a
    /// level or type that is no C int.
    #[pyo3(
        signature = (data, ancdata = None, addr = None),
        text_signature = "($self, data, ancdata=(), addr=None)"
    )]
    fn sendmsg(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        ancdata: Option<&Bound<'_, PyAny>>,
        addr: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let data = chunk::for_datagram(data)?;
        let ancillary = ancdata.map(Ancillary::from_python).transpose()?;
        Self::send_message(slf, data, ancillary.unwrap_or_default(), addr)
    }

    /// From now on has `protocol.message_received(data, ancdata, flags, addr)` called, not
    /// `datagram_received`, with what `socket.recvmsg` returns.
    ///
    /// ancbufsize: bytes for ancillary data, the sum of `socket.CMSG_SPACE` of the items expected.
    /// Descriptors (SCM_RIGHTS, SCM_PIDFD) are the protocol's to close.
    ///
    /// Raises what `socket.recvmsg` raises of a size, and TypeError if the protocol has no such
    /// method.
    fn receive_messages(slf: &Bound<'_, Self>, ancbufsize: &Bound<'_, PyAny>) -> PyResult<()> {
        // Extracted here: of an argument PyO3 would complain in other words.
        Self::begin_messages(slf, ancbufsize.extract()?)
    }

    /// Raises NotImplementedError, like the three after it: asyncio's endpoints pass for stream
    /// transports.
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = data;
        Err(PyNotImplementedError::new_err(()))
    }

    /// Raises NotImplementedError.
    fn writelines(&self, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = list_of_data;
        Err(PyNotImplementedError::new_err(()))
    }

    /// Raises NotImplementedError.
    fn write_eof(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// Raises NotImplementedError.
    fn can_write_eof(&self) -> PyResult<bool> {
        Err(PyNotImplementedError::new_err(()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.peer)?;
        self.known.traverse(&visit, KnownAddresses::traverse)
    }

    /// As for `StreamTransport`.
    #[getter(__class__)]
    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        names::datagram_transport_class(py)
    }
}
