//! Datagrams that come in, from the socket to the protocol.

use ferroloop_engine::{Address, borrow_fd, receive_datagram};
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::contacts::Correspondent;
use crate::errors::os_error;
use crate::event_loop::{EventLoop, SCRATCH_SIZE};
use crate::ffi;
use crate::handle::Args;
use crate::transport::address::{Family, address_to_python};
use crate::transport::{BaseTransport, State};

/// Datagrams taken at one event: enough to save most polls under load, few enough that nobody else
/// waits for long (S4.14).
const DATAGRAMS_PER_EVENT: usize = 16;

/// A message and its sender's address.
type Arrival<'py> = (Bound<'py, PyBytes>, Bound<'py, PyAny>);

/// What the socket had: the message is in the scratch buffer.
enum Received {
    Nothing,
    /// From an address that is known.
    Known(usize, Py<PyAny>),
    From(usize, Address),
}

impl BaseTransport {
    /// Takes what is there, up to a bound: a `datagram_received` for each, or `error_received`.
    pub(in crate::transport) fn read_datagrams<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
    ) -> PyResult<()> {
        let py = this.py();
        for _ in 0..DATAGRAMS_PER_EVENT {
            // The protocol may have paused or closed, here or behind our back.
            if !this.get().is_reading(py) {
                return Ok(());
            }
            if let Err(error) = this.get().check_descriptor(py) {
                // There is no socket any more that could live on.
                return Self::read_failed(this, event_loop, error);
            }
            match this.get().receive_datagram(event_loop) {
                Ok(None) => return Ok(()),
                Ok(Some(arrival)) => Self::datagram_received(this, event_loop, &arrival)?,
                Err(error) => Self::receive_failed(this, event_loop, error)?,
            }
        }
        Ok(())
    }

    /// To fail is to be a failed callback, and the transport lives on.
    #[inline]
    fn datagram_received<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        (data, sender): &Arrival<'py>,
    ) -> PyResult<()> {
        let method = intern!(this.py(), "datagram_received");
        let Some(target) = this.get().target(this.py()) else { return Ok(()) };
        let Err(error) = target.call(method, (data, sender)) else { return Ok(()) };
        let args = Args::Two(data.clone().into_any().unbind(), sender.clone().unbind());
        Self::call_failed(this, event_loop, target, method, args, error)
    }

    /// An error of the system goes to the protocol; any other is ours and fatal (S27.3).
    #[cold]
    fn receive_failed<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = this.py();
        if !error.is_instance_of::<PyOSError>(py) {
            return Self::read_failed(this, event_loop, error);
        }
        let method = intern!(py, "error_received");
        Self::notify(this, event_loop, method, Some(error.value(py).as_any()))
    }

    /// One datagram of up to 256 KiB; None if there is none.
    #[inline]
    fn receive_datagram<'py>(
        &self,
        event_loop: &Bound<'py, EventLoop>,
    ) -> PyResult<Option<Arrival<'py>>> {
        let py = event_loop.py();
        if self.mail_family(py) == Family::Foreign {
            return self.receive_by_python(py);
        }
        event_loop.get().with_scratch(py, |scratch| {
            let received = self
                .cell
                .with(py, |state, share| state.receive_datagram(scratch, |it| share.share(it)));
            let (length, sender) = match received.map_err(|error| os_error(py, &error))? {
                Received::Nothing => return Ok(None),
                Received::Known(length, sender) => (length, sender.into_bound(py)),
                Received::From(length, sender) => (length, self.sender(py, sender)?),
            };
            let message = ffi::bytes_of(py, scratch.get(..length).unwrap_or_default())?;
            Ok(Some((message, sender)))
        })
    }

    /// The address in Python's form, remembered for the datagrams to come.
    fn sender<'py>(&self, py: Python<'py>, address: Address) -> PyResult<Bound<'py, PyAny>> {
        let sender = address_to_python(py, &address)?;
        let heard_from = Correspondent { address, object: sender.clone().unbind() };
        let forgotten = self.cell.with(py, move |state, _| {
            state.mail.as_mut().map(|mail| mail.heard_from.enter(heard_from))
        });
        drop(forgotten);
        Ok(sender)
    }

    /// A family of addresses that only Python knows to read.
    fn receive_by_python<'py>(&self, py: Python<'py>) -> PyResult<Option<Arrival<'py>>> {
        let Some(socket) = self.socket_object(py) else { return Ok(None) };
        match socket.call_method1(intern!(py, "recvfrom"), (SCRATCH_SIZE,)) {
            Ok(arrival) => Ok(Some(arrival.extract()?)),
            Err(error) if would_block(py, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn mail_family(&self, py: Python<'_>) -> Family {
        self.cell
            .with(py, |state, _| state.mail.as_ref().map_or(Family::Foreign, |mail| mail.family))
    }

    /// The Python socket, which every datagram transport is made of.
    pub(super) fn socket_object<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cell.shared(py, |state| state.descriptor.object())
    }
}

/// What Python's socket raises where the system says EAGAIN or EINTR.
pub(super) fn would_block(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyBlockingIOError>(py) || error.is_instance_of::<PyInterruptedError>(py)
}

impl State {
    #[inline]
    fn receive_datagram(
        &mut self,
        scratch: &mut [u8],
        share: impl FnOnce(&Py<PyAny>) -> Py<PyAny>,
    ) -> std::io::Result<Received> {
        let socket = borrow_fd(self.descriptor.fd())?;
        let Some((length, sender)) = receive_datagram(socket, scratch)? else {
            return Ok(Received::Nothing);
        };
        let known = self.mail.as_mut().and_then(|mail| mail.heard_from.find(&sender));
        Ok(match known {
            Some(known) => Received::Known(length, share(known)),
            None => Received::From(length, sender),
        })
    }
}
