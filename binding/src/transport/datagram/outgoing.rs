//! Datagrams that go out, from the protocol to the socket.

use ferroloop_engine::{Address, Datagram, Datagrams, Delivery, Destination, Phase, borrow_fd};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::Mail;
use super::contacts::Correspondent;
use super::incoming::would_block;
use crate::cell::Share;
use crate::errors::{self, os_error};
use crate::event_loop::EventLoop;
use crate::transport::address::address_from_python;
use crate::transport::chunk::Chunk;
use crate::transport::writing::Caller;
use crate::transport::{BaseTransport, Descriptor, State, channel};

type Letter = Datagram<Chunk, Py<PyAny>>;

/// What becomes of a datagram.
enum Handling {
    /// Nobody waits before it.
    Send,
    Queue,
    Lose,
}

/// Where a datagram goes, as far as it can be told without asking Python.
enum Route {
    /// To the socket's own peer.
    Peer,
    Address(Address),
    /// To an address to be translated.
    Given,
    /// To the endpoint's peer, which is translated.
    Fixed(Py<PyAny>),
}

impl BaseTransport {
    /// `sendto()` of one datagram.
    #[inline]
    pub(super) fn send_datagram(
        this: &Bound<'_, Self>,
        data: Chunk,
        addr: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        // Until 3.13 asyncio took an empty one for nothing at all (S27.6).
        if data.is_empty() && super::overhead(py) == 0 {
            return Ok(());
        }
        let letter = Datagram { data, to: this.get().destination(py, addr)? };
        match this.get().cell.with(py, |state, _| state.handling()) {
            Handling::Send => Self::send_or_queue(this, letter),
            Handling::Queue => Self::queue_datagram(this, letter),
            Handling::Lose => this.get().lose_write(py),
        }
    }

    #[inline]
    fn send_or_queue(this: &Bound<'_, Self>, letter: Letter) -> PyResult<()> {
        match this.get().attempt(this.py(), &letter) {
            Ok(true) => Ok(()),
            Ok(false) => Self::queue_datagram(this, letter),
            Err(error) => match this.get().event_loop(this.py()) {
                Some(event_loop) => {
                    Self::send_failed(this, &event_loop, error, Caller::Application)
                }
                None => Ok(()),
            },
        }
    }

    /// Keeps it until there is room. A socket about to be closed has no such time left.
    fn queue_datagram(this: &Bound<'_, Self>, letter: Letter) -> PyResult<()> {
        let py = this.py();
        let refused = this.get().cell.with(py, move |state, _| state.queue(letter));
        if refused.is_some() {
            return this.get().lose_write(py);
        }
        let Some(event_loop) = this.get().event_loop(py) else { return Ok(()) };
        Self::update_interest(this, &event_loop)?;
        Self::pause_if_above(this, &event_loop, Caller::Application)
    }

    /// One attempt; false if there is no room now.
    #[inline]
    fn attempt(&self, py: Python<'_>, letter: &Letter) -> PyResult<bool> {
        if let Destination::Host(address) = &letter.to {
            return self.send_by_python(py, &letter.data, address);
        }
        self.check_descriptor(py)?;
        let outcome = self.cell.with(py, |state, _| letter.send(borrow_fd(state.descriptor.fd())?));
        outcome.map_err(|error| os_error(py, &error))
    }

    /// Python looks names up, knows the other families, and has the words for what is no address.
    #[cold]
    fn send_by_python(&self, py: Python<'_>, data: &Chunk, address: &Py<PyAny>) -> PyResult<bool> {
        let Some(socket) = self.socket_object(py) else { return Ok(false) };
        match socket.call_method1(intern!(py, "sendto"), (data, address)) {
            Ok(_) => Ok(true),
            Err(error) if would_block(py, &error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An error of the system goes to the protocol; any other is fatal (S27.3).
    #[cold]
    fn send_failed(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        error: PyErr,
        caller: Caller,
    ) -> PyResult<()> {
        let py = this.py();
        if errors::is_exit_request(py, &error) {
            return Err(error);
        }
        if !error.is_instance_of::<PyOSError>(py) {
            let message = channel::write_error(this.get().channel(py));
            return Self::fatal(this, event_loop, error, message);
        }
        let method = intern!(py, "error_received");
        match caller {
            // What it raises is the caller's, as in asyncio.
            Caller::Application => match this.get().target(py) {
                Some(target) => target.protocol.call_method1(method, (error.value(py),)).map(drop),
                None => Ok(()),
            },
            Caller::Loop => Self::notify(this, event_loop, method, Some(error.value(py).as_any())),
        }
    }

    /// There is room again. With the last datagram of a closing transport the connection is lost.
    ///
    /// After an error the rest is tried at the next event, which has been asked for (S27.9).
    pub(in crate::transport) fn send_queued(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        if let Err(error) = this.get().flush_datagrams(this.py()) {
            return Self::send_failed(this, event_loop, error, Caller::Loop);
        }
        Self::update_interest(this, event_loop)?;
        let judged = Self::judge_pressure(this, event_loop, Caller::Loop);
        judged.and(Self::end_if_drained(this, event_loop))
    }

    fn flush_datagrams(&self, py: Python<'_>) -> PyResult<()> {
        self.check_descriptor(py)?;
        let mut sent = Vec::new();
        let outcome = self.cell.with(py, |state, _| state.flush_datagrams(&mut sent));
        drop(sent);
        match outcome.map_err(|error| os_error(py, &error))? {
            Delivery::Done | Delivery::Blocked => Ok(()),
            Delivery::Host => self.send_first_by_python(py),
        }
    }

    /// What follows in the queue waits for the next event.
    fn send_first_by_python(&self, py: Python<'_>) -> PyResult<()> {
        let first = self.cell.with(py, |state, _| state.mail.as_mut()?.queue.pop());
        let Some(letter) = first else { return Ok(()) };
        if !self.attempt(py, &letter)? {
            self.cell.with(py, move |state, _| {
                state.mail.as_mut().map(|mail| mail.queue.push_front(letter))
            });
        }
        Ok(())
    }

    /// Errors: ValueError for an address other than the endpoint's peer (S27.5).
    #[inline]
    fn destination(
        &self,
        py: Python<'_>,
        addr: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Destination<Py<PyAny>>> {
        let given = addr.map(Bound::as_unbound);
        let route = self.cell.with(py, |state, share| {
            state.mail.as_ref().map_or(Route::Peer, |mail| mail.route(given, share))
        });
        match (route, addr) {
            (Route::Address(address), _) => Ok(Destination::Address(address)),
            (Route::Fixed(peer), _) => self.fixed_destination(peer.bind(py), addr),
            (Route::Given, Some(addr)) => Ok(self.translate(addr)),
            (Route::Given, None) => Ok(Destination::Host(py.None())),
            (Route::Peer, _) => Ok(Destination::Peer),
        }
    }

    /// The endpoint's peer, after a look at what was given instead.
    fn fixed_destination(
        &self,
        peer: &Bound<'_, PyAny>,
        addr: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Destination<Py<PyAny>>> {
        let py = peer.py();
        if let Some(addr) = addr
            && !addr.eq(peer)?
        {
            let text = format!("Invalid address: must be None or {}", peer.str()?);
            return Err(PyValueError::new_err(text));
        }
        let connected =
            self.cell.with(py, |state, _| state.mail.as_ref().is_some_and(|mail| mail.connected));
        Ok(if connected { Destination::Peer } else { self.translate(peer) })
    }

    /// The system's form of an address, remembered for the next datagram.
    fn translate(&self, addr: &Bound<'_, PyAny>) -> Destination<Py<PyAny>> {
        let py = addr.py();
        let Some(address) = address_from_python(self.mail_family(py), addr) else {
            return Destination::Host(addr.clone().unbind());
        };
        let wrote_to = Correspondent { address: address.clone(), object: addr.clone().unbind() };
        let forgotten = self.cell.with(py, move |state, _| {
            state.mail.as_mut().and_then(|mail| mail.wrote_to.replace(wrote_to))
        });
        drop(forgotten);
        Destination::Address(address)
    }
}

impl Mail {
    #[inline]
    fn route(&self, given: Option<&Py<PyAny>>, share: Share<'_>) -> Route {
        match (&self.peer, given) {
            (Some(peer), given) if given.is_none_or(|given| given.is(peer)) => {
                if self.connected {
                    return Route::Peer;
                }
                self.known(peer).map_or_else(|| Route::Fixed(share.share(peer)), Route::Address)
            }
            (Some(peer), _) => Route::Fixed(share.share(peer)),
            (None, None) if self.connected => Route::Peer,
            (None, Some(_)) if self.has_named_peer => Route::Peer,
            (None, Some(given)) => self.known(given).map_or(Route::Given, Route::Address),
            (None, None) => Route::Given,
        }
    }

    /// The address behind this very object, which nothing can change.
    #[inline]
    fn known(&self, object: &Py<PyAny>) -> Option<Address> {
        let mut known = self.heard_from.last().into_iter().chain(&self.wrote_to);
        known.find(|known| known.object.is(object)).map(|known| known.address.clone())
    }
}

impl State {
    #[inline]
    fn handling(&self) -> Handling {
        let Some(mail) = &self.mail else { return Handling::Lose };
        match self.stream.phase() {
            Phase::Lost if mail.peer.is_some() => Handling::Lose,
            _ if matches!(self.descriptor, Descriptor::Closed) => Handling::Lose,
            // Until its socket is closed an endpoint without a peer still sends, as asyncio's does.
            _ if mail.queue.is_empty() => Handling::Send,
            _ => Handling::Queue,
        }
    }

    /// Queues a datagram, or gives it back.
    fn queue(&mut self, letter: Letter) -> Option<Letter> {
        match &mut self.mail {
            Some(mail) if self.stream.phase() != Phase::Lost => {
                mail.queue.push(letter);
                None
            }
            _ => Some(letter),
        }
    }

    fn flush_datagrams(&mut self, sent: &mut Vec<Letter>) -> std::io::Result<Delivery> {
        match &mut self.mail {
            Some(mail) => mail.queue.flush(borrow_fd(self.descriptor.fd())?, sent),
            None => Ok(Delivery::Done),
        }
    }
}

/// Shows the addresses in the queue to the garbage collector.
pub(super) fn traverse(
    queue: &Datagrams<Chunk, Py<PyAny>>,
    visit: &PyVisit<'_>,
) -> Result<(), PyTraverseError> {
    for letter in queue.iter() {
        if let Destination::Host(address) = &letter.to {
            visit.call(address)?;
        }
    }
    Ok(())
}
