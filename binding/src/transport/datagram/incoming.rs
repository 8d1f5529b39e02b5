//! Datagrams that come in, from the socket to the protocol.

use std::sync::atomic::Ordering;

use ferroloop_engine::{Address, DONTWAIT, borrow_fd, receive_datagram};
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::DatagramTransport;
use super::known::KnownAddress;
use super::messages::message_received;
use crate::errors::os_error;
use crate::event_loop::{EventLoop, SCRATCH_SIZE};
use crate::ffi;
use crate::handle::Args;
use crate::transport::address::address_to_python;
use crate::transport::{Base, BaseTransport};

/// Datagrams taken at one event: enough to save most polls under load, few enough that nobody else
/// waits for long (S4.14).
const DATAGRAMS_PER_EVENT: usize = 16;

/// A message and its sender's address.
type Arrival<'py> = (Bound<'py, PyBytes>, Bound<'py, PyAny>);

impl DatagramTransport {
    /// Takes what is there, up to a bound: a `datagram_received` or `message_received` for each, or
    /// `error_received`.
    pub(in crate::transport) fn on_readable<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
    ) -> PyResult<()> {
        let (base, py) = (this.base(), this.py());
        for _ in 0..Self::datagrams_per_event(this) {
            // The protocol may have paused or closed, here or behind our back.
            if !base.get().is_reading(py) {
                return Ok(());
            }
            if let Err(error) = base.get().check_descriptor(py) {
                // There is no socket any more that could live on.
                return BaseTransport::read_failed(base, event_loop, error);
            }
            let came = if this.get().by_python.load(Ordering::Relaxed) {
                Self::take_by_python(this, event_loop)?
            } else {
                deliver(base, event_loop, Self::receive(this, event_loop), datagram_received)?
            };
            if !came {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A socket with a timeout waits for each datagram, in Python, so it is asked for the one that
    /// is there.
    #[inline]
    fn datagrams_per_event(this: &Bound<'_, Self>) -> usize {
        if this.get().by_python.load(Ordering::Relaxed) && Self::has_timeout(this) {
            1
        } else {
            DATAGRAMS_PER_EVENT
        }
    }

    #[cold]
    fn has_timeout(this: &Bound<'_, Self>) -> bool {
        let timeout = Self::socket_object(this)
            .and_then(|socket| socket.call_method0(intern!(this.py(), "gettimeout")).ok());
        timeout.is_some_and(|timeout| timeout.is_truthy().unwrap_or(false))
    }

    /// What Python's socket receives; false if there is nothing.
    #[cold]
    fn take_by_python<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
    ) -> PyResult<bool> {
        let base = this.base();
        match this.get().ancillary_room.with(this.py(), |room, _| *room) {
            Some(room) => {
                deliver(base, event_loop, Self::receive_message(this, room), message_received)
            }
            None => deliver(base, event_loop, Self::receive_by_python(this), datagram_received),
        }
    }

    /// One datagram of up to 256 KiB; None if there is none.
    #[inline]
    fn receive<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
    ) -> PyResult<Option<Arrival<'py>>> {
        let py = this.py();
        event_loop.get().with_scratch(py, |scratch| {
            let received =
                this.base().get().cell.with(py, |state, _| {
                    receive_datagram(borrow_fd(state.descriptor.fd())?, scratch)
                });
            let Some((length, sender)) = received.map_err(|error| os_error(py, &error))? else {
                return Ok(None);
            };
            let sender = this.get().sender(py, sender)?;
            let message = ffi::bytes_of(py, scratch.get(..length).unwrap_or_default())?;
            Ok(Some((message, sender)))
        })
    }

    /// The address in Python's form, remembered for the datagrams to come.
    #[inline]
    fn sender<'py>(&self, py: Python<'py>, address: Address) -> PyResult<Bound<'py, PyAny>> {
        let known = self
            .known
            .with(py, |known, share| known.hear_from(&address).map(|object| share.share(object)));
        if let Some(object) = known {
            return Ok(object.into_bound(py));
        }
        let object = address_to_python(py, &address)?;
        let new = KnownAddress { address, object: object.clone().unbind() };
        drop(self.known.with(py, move |known, _| known.enter(new)));
        Ok(object)
    }

    /// A family of addresses that only Python knows to read.
    fn receive_by_python<'py>(this: &Bound<'py, Self>) -> PyResult<Option<Arrival<'py>>> {
        let py = this.py();
        let Some(socket) = Self::socket_object(this) else { return Ok(None) };
        match socket.call_method1(intern!(py, "recvfrom"), (SCRATCH_SIZE, DONTWAIT)) {
            Ok(arrival) => Ok(Some(arrival.extract()?)),
            Err(error) if would_block(py, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The Python socket, which every datagram transport is made of.
    pub(super) fn socket_object<'py>(this: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        this.base().get().cell.shared(this.py(), |state| state.descriptor.object())
    }
}

/// Tells the protocol what came, or why nothing did; false if there is nothing.
#[inline(always)]
#[expect(clippy::inline_always, reason = "of its callers the one for plain datagrams is hot")]
fn deliver<'py, T>(
    this: &Bound<'py, BaseTransport>,
    event_loop: &Bound<'py, EventLoop>,
    received: PyResult<Option<T>>,
    tell: impl FnOnce(&Bound<'py, BaseTransport>, &Bound<'py, EventLoop>, &T) -> PyResult<()>,
) -> PyResult<bool> {
    match received {
        Ok(None) => return Ok(false),
        Ok(Some(arrival)) => tell(this, event_loop, &arrival)?,
        Err(error) => receive_failed(this, event_loop, error)?,
    }
    Ok(true)
}

/// What it raises is reported as a failed callback, and the transport lives on.
#[inline(always)]
#[expect(clippy::inline_always, reason = "of its callers the one for plain datagrams is hot")]
fn datagram_received<'py>(
    this: &Bound<'py, BaseTransport>,
    event_loop: &Bound<'py, EventLoop>,
    (data, sender): &Arrival<'py>,
) -> PyResult<()> {
    let method = intern!(this.py(), "datagram_received");
    let Some(target) = this.get().target(this.py()) else { return Ok(()) };
    let Err(error) = target.call(method, [data, sender]) else { return Ok(()) };
    let args = Args::Two(data.clone().into_any().unbind(), sender.clone().unbind());
    BaseTransport::call_failed(this, event_loop, target, method, args, error)
}

/// An error of the system goes to the protocol; any other is ours and fatal (S27.3).
#[cold]
fn receive_failed<'py>(
    this: &Bound<'py, BaseTransport>,
    event_loop: &Bound<'py, EventLoop>,
    error: PyErr,
) -> PyResult<()> {
    let py = this.py();
    if !error.is_instance_of::<PyOSError>(py) {
        return BaseTransport::read_failed(this, event_loop, error);
    }
    let method = intern!(py, "error_received");
    BaseTransport::notify(this, event_loop, method, Some(error.value(py).as_any()))
}

/// What Python's socket raises where the system says EAGAIN or EINTR.
pub(super) fn would_block(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyBlockingIOError>(py) || error.is_instance_of::<PyInterruptedError>(py)
}
