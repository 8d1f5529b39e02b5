//! Datagrams that go out, from the protocol to the socket.

use ferroloop_engine::{DONTWAIT, Datagram, Datagrams, Delivery, Destination, Phase, borrow_fd};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::DatagramTransport;
use super::ancillary::Ancillary;
use super::incoming::would_block;
use super::known::KnownAddress;
use crate::errors::{self, os_error};
use crate::event_loop::EventLoop;
use crate::ffi;
use crate::transport::address::address_from_python;
use crate::transport::chunk::Chunk;
use crate::transport::writing::Caller;
use crate::transport::{Base, BaseTransport, Descriptor, State};

type Message = Datagram<Chunk, ByPython>;

/// What only Python's socket can send.
pub(in crate::transport) enum ByPython {
    /// To a name that has to be looked up, an address of a family unknown here, or what is none.
    To(Py<PyAny>),
    /// With ancillary data, to an address or to the peer that the socket is connected to.
    With(Box<Ancillary>, Option<Py<PyAny>>),
}

/// The messages of a datagram transport that wait for the kernel.
pub(in crate::transport) type Queue = Datagrams<Chunk, ByPython>;

/// Where a datagram goes, as far as the endpoint and the caller tell.
enum Place<'a, 'py> {
    /// The socket knows.
    Peer,
    At(&'a Bound<'py, PyAny>),
    Nowhere,
}

/// What becomes of a datagram.
enum Handling {
    /// Nobody waits before it.
    Send,
    Queue,
    Lose,
}

impl DatagramTransport {
    /// `sendto()` of one datagram.
    #[inline]
    pub(super) fn send(
        this: &Bound<'_, Self>,
        data: Chunk,
        addr: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        // Until 3.13 asyncio took an empty one for nothing at all (S27.6).
        if data.is_empty() && super::overhead(py) == 0 {
            return Ok(());
        }
        Self::dispatch(this, Datagram { data, to: this.get().destination(py, addr)? })
    }

    /// `sendmsg()` of one datagram.
    pub(super) fn send_message(
        this: &Bound<'_, Self>,
        data: Chunk,
        ancillary: Ancillary,
        addr: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        let addr = match this.get().place(py, addr)? {
            Place::Peer | Place::Nowhere => None,
            Place::At(addr) => Some(addr.clone().unbind()),
        };
        let to = Destination::Host(ByPython::With(Box::new(ancillary), addr));
        Self::dispatch(this, Datagram { data, to })
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "of two callers `sendto` is the hot one")]
    fn dispatch(this: &Bound<'_, Self>, message: Message) -> PyResult<()> {
        let (base, py) = (this.base(), this.py());
        let has_peer = this.get().peer.is_some();
        match base.get().cell.with(py, |state, _| state.handling(has_peer)) {
            Handling::Send => Self::send_or_queue(this, message),
            Handling::Queue => Self::queue(base, message),
            Handling::Lose => base.get().lose_write(py),
        }
    }

    #[inline]
    fn send_or_queue(this: &Bound<'_, Self>, message: Message) -> PyResult<()> {
        match Self::attempt(this, &message) {
            Ok(true) => Ok(()),
            Ok(false) => Self::queue(this.base(), message),
            Err(error) => send_failed_now(this.base(), error),
        }
    }

    /// Keeps it until there is room. A socket about to be closed has no such time left.
    fn queue(base: &Bound<'_, BaseTransport>, mut message: Message) -> PyResult<()> {
        let py = base.py();
        if let Destination::Host(ByPython::With(ancillary, _)) = &mut message.to
            && let Err(error) = ancillary.keep_descriptors(py)
        {
            return send_failed_now(base, error);
        }
        let refused = base.get().cell.with(py, move |state, _| state.queue(message));
        if refused.is_some() {
            return base.get().lose_write(py);
        }
        BaseTransport::while_alive(base, |event_loop| {
            BaseTransport::update_interest(base, event_loop)?;
            BaseTransport::pause_if_above(base, event_loop, Caller::Application)
        })
    }

    /// One attempt; false if there is no room now.
    #[inline]
    fn attempt(this: &Bound<'_, Self>, message: &Message) -> PyResult<bool> {
        let (base, py) = (this.base().get(), this.py());
        if let Destination::Host(to) = &message.to {
            return Self::send_by_python(this, &message.data, to);
        }
        base.check_descriptor(py)?;
        let sent = base.cell.with(py, |state, _| message.send(borrow_fd(state.descriptor.fd())?));
        sent.map_err(|error| os_error(py, &error))
    }

    /// Python looks names up, knows the other families and all ancillary data, and has the words
    /// for what is no address.
    #[cold]
    fn send_by_python(this: &Bound<'_, Self>, data: &Chunk, to: &ByPython) -> PyResult<bool> {
        let py = this.py();
        let Some(socket) = Self::socket_object(this) else { return Ok(false) };
        let sent = match to {
            ByPython::To(address) => {
                socket.call_method1(intern!(py, "sendto"), (data, DONTWAIT, address))
            }
            ByPython::With(ancillary, address) => {
                let args = ((data,), ancillary.to_python(py)?, DONTWAIT, address);
                socket.call_method1(intern!(py, "sendmsg"), args)
            }
        };
        match sent {
            Ok(_) => Ok(true),
            Err(error) if would_block(py, &error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// There is room again. With the last datagram of a closing transport the connection is lost.
    ///
    /// After an error the rest is tried at the next event, which has been asked for (S27.9).
    pub(in crate::transport) fn on_writable(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        let base = this.base();
        if let Err(error) = Self::flush(this) {
            return send_failed(base, event_loop, error, Caller::Loop);
        }
        BaseTransport::update_interest(base, event_loop)?;
        let judged = BaseTransport::judge_pressure(base, event_loop, Caller::Loop);
        judged.and(BaseTransport::end_if_drained(base, event_loop))
    }

    fn flush(this: &Bound<'_, Self>) -> PyResult<()> {
        let (base, py) = (this.base().get(), this.py());
        base.check_descriptor(py)?;
        let mut sent = Vec::new();
        let outcome = base.cell.with(py, |state, _| state.flush_datagrams(&mut sent));
        drop(sent);
        match outcome.map_err(|error| os_error(py, &error))? {
            Delivery::Done | Delivery::Blocked => Ok(()),
            Delivery::Host => Self::send_first_by_python(this),
        }
    }

    /// What follows in the queue waits for the next event.
    fn send_first_by_python(this: &Bound<'_, Self>) -> PyResult<()> {
        let (base, py) = (this.base().get(), this.py());
        let first = base.cell.with(py, |state, _| state.datagrams.as_mut()?.pop());
        let Some(message) = first else { return Ok(()) };
        if !Self::attempt(this, &message)? {
            // The transport may have been aborted meanwhile; then it is dropped, the cell shut.
            drop(base.cell.with(py, move |state, _| state.put_back(message)));
        }
        Ok(())
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "its only caller is hot")]
    fn destination<'py>(
        &self,
        py: Python<'py>,
        addr: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Destination<ByPython>> {
        Ok(match self.place(py, addr)? {
            Place::Peer => Destination::Peer,
            Place::At(addr) => self.to(addr),
            Place::Nowhere => Destination::Host(ByPython::To(py.None())),
        })
    }

    /// Errors: ValueError for an address other than the endpoint's peer (S27.5).
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "of two callers `sendto` is the hot one")]
    fn place<'a, 'py>(
        &'a self,
        py: Python<'py>,
        addr: Option<&'a Bound<'py, PyAny>>,
    ) -> PyResult<Place<'a, 'py>> {
        match (&self.peer, addr) {
            (Some(peer), addr) => {
                check_peer(peer.bind(py), addr)?;
                Ok(if self.connected { Place::Peer } else { Place::At(peer.bind(py)) })
            }
            (None, Some(_)) if self.has_named_peer => Ok(Place::Peer),
            (None, None) if self.connected => Ok(Place::Peer),
            (None, Some(addr)) => Ok(Place::At(addr)),
            (None, None) => Ok(Place::Nowhere),
        }
    }

    /// The system's form of an address, remembered for the next datagram.
    #[inline]
    fn to(&self, addr: &Bound<'_, PyAny>) -> Destination<ByPython> {
        let object = addr.as_unbound();
        match self.known.with(addr.py(), |known, _| known.behind(object)) {
            Some(address) => Destination::Address(address),
            None => self.translate(addr),
        }
    }

    fn translate(&self, addr: &Bound<'_, PyAny>) -> Destination<ByPython> {
        let Some(address) = address_from_python(self.family, addr) else {
            return Destination::Host(ByPython::To(addr.clone().unbind()));
        };
        let new = KnownAddress { address: address.clone(), object: addr.clone().unbind() };
        drop(self.known.with(addr.py(), move |known, _| known.write_to(new)));
        Destination::Address(address)
    }
}

/// Errors: ValueError for an address other than the endpoint's peer; what comparing them raises.
#[inline]
fn check_peer(peer: &Bound<'_, PyAny>, addr: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    if let Some(addr) = addr
        && !addr.is(peer)
        && !addr.eq(peer)?
    {
        let text = format!("Invalid address: must be None or {}", peer.str()?);
        return Err(PyValueError::new_err(text));
    }
    Ok(())
}

/// An error of the system goes to the protocol; any other is fatal (S27.3).
#[cold]
fn send_failed(
    this: &Bound<'_, BaseTransport>,
    event_loop: &Bound<'_, EventLoop>,
    error: PyErr,
    caller: Caller,
) -> PyResult<()> {
    let py = this.py();
    if errors::is_exit_request(py, &error) {
        return Err(error);
    }
    if !error.is_instance_of::<PyOSError>(py) {
        let message = this.get().kind(py).write_error();
        return BaseTransport::fatal(this, event_loop, error, message);
    }
    let method = intern!(py, "error_received");
    match caller {
        // What it raises is the caller's, as in asyncio.
        Caller::Application => match this.get().target(py) {
            Some(target) => ffi::call_method(&target.protocol, method, [error.value(py)]).map(drop),
            None => Ok(()),
        },
        Caller::Loop => {
            BaseTransport::notify(this, event_loop, method, Some(error.value(py).as_any()))
        }
    }
}

/// The same in the call that sends.
#[cold]
fn send_failed_now(this: &Bound<'_, BaseTransport>, error: PyErr) -> PyResult<()> {
    BaseTransport::while_alive(this, |event_loop| {
        send_failed(this, event_loop, error, Caller::Application)
    })
}

impl State {
    #[inline]
    fn handling(&self, has_peer: bool) -> Handling {
        match self.stream.phase() {
            Phase::Lost if has_peer => Handling::Lose,
            _ if matches!(self.descriptor, Descriptor::Closed) => Handling::Lose,
            // Until its socket is closed an endpoint without a peer still sends, as asyncio's does.
            _ if self.is_drained() => Handling::Send,
            _ => Handling::Queue,
        }
    }

    /// Queues a datagram, or gives it back.
    fn queue(&mut self, message: Message) -> Option<Message> {
        let Some(queue) = self.open_queue() else { return Some(message) };
        queue.push(message);
        None
    }

    /// Puts the first datagram of the queue back, or gives it back.
    fn put_back(&mut self, message: Message) -> Option<Message> {
        let Some(queue) = self.open_queue() else { return Some(message) };
        queue.push_front(message);
        None
    }

    /// What a lost transport has no use for any more.
    fn open_queue(&mut self) -> Option<&mut Queue> {
        if self.stream.phase() == Phase::Lost { None } else { self.datagrams.as_deref_mut() }
    }

    fn flush_datagrams(&mut self, sent: &mut Vec<Message>) -> std::io::Result<Delivery> {
        match &mut self.datagrams {
            Some(queue) => queue.flush(borrow_fd(self.descriptor.fd())?, sent),
            None => Ok(Delivery::Done),
        }
    }
}

/// Shows the addresses in the queue to the garbage collector.
pub(in crate::transport) fn traverse(
    queue: &Queue,
    visit: &PyVisit<'_>,
) -> Result<(), PyTraverseError> {
    for message in queue.iter() {
        match &message.to {
            Destination::Host(ByPython::To(address)) => visit.call(address)?,
            Destination::Host(ByPython::With(_, address)) => visit.call(address)?,
            Destination::Peer | Destination::Address(_) => {}
        }
    }
    Ok(())
}
