//! `Acceptor`: a listening socket, from accepting to the transport, with no Python in between but
//! the protocol factory.

use std::os::fd::{OwnedFd, RawFd};

use ferroloop_engine::{Accept, Address, Interest, Token, accept, borrow_fd, set_nodelay};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::cell::LoopCell;
use crate::clients::Clients;
use crate::errors::{self, Report, os_error};
use crate::event_loop::{EventLoop, Watch};
use crate::handle::{Args, Call};
use crate::transport::{Addresses, Descriptor, Parts, StreamTransport, address_to_python};
use crate::{ffi, names};

/// Seconds to wait before accepting again when descriptors or memory ran out (S0.25).
const RETRY_DELAY: f64 = 1.0;

/// Accepts on one listening socket and makes a StreamTransport of each connection.
#[pyclass(frozen, immutable_type, weakref, module = "ferroloop._ferroloop")]
pub(crate) struct Acceptor {
    event_loop: Py<EventLoop>,
    socket: Py<PyAny>,
    fd: RawFd,
    /// The listener's name, which its Unix connections have too; `None` if the system does not say.
    name: Option<Address>,
    protocol_factory: Py<PyAny>,
    server: Py<Clients>,
    context: Py<PyAny>,
    backlog: usize,
    cell: LoopCell<Watching>,
}

/// Whether the poller looks at the socket.
enum Watching {
    On(Token),
    /// Until the timer ends the pause.
    Paused(Token, Py<PyAny>),
    Closed,
}

impl Acceptor {
    /// The listening socket is ready. Whatever fails is a failed callback, and the server goes on
    /// (S20.5).
    pub(crate) fn on_ready(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
    ) -> PyResult<()> {
        Self::take_connections(this, event_loop)
            .or_else(|error| Self::accept_failed(this, event_loop, error))
    }

    /// Takes connections, up to the backlog (S20.1, S20.8).
    fn take_connections(this: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        for _ in 0..=this.get().backlog {
            if !this.get().accepts(this.py())? {
                return Ok(());
            }
            let listener = borrow_fd(this.get().fd).map_err(|error| os_error(this.py(), &error))?;
            match accept(listener) {
                Accept::Connection(fd, peer) => {
                    this.get().server.get().count_accepted(this.py());
                    Self::serve(this, event_loop, fd, peer)?;
                }
                Accept::Aborted => {}
                Accept::WouldBlock => return Ok(()),
                Accept::OutOfResources(error) => return Self::pause(this, event_loop, &error),
                Accept::Failed(error) => return Err(os_error(this.py(), &error)),
            }
        }
        Ok(())
    }

    /// Still open, and the socket was not closed behind our back.
    fn accepts(&self, py: Python<'_>) -> PyResult<bool> {
        let on = self.cell.with(py, |watching, _| matches!(watching, Watching::On(_)));
        if !on {
            return Ok(false);
        }
        let current: RawFd = self.socket.call_method0(py, intern!(py, "fileno"))?.extract(py)?;
        Ok(current == self.fd)
    }

    /// One connection: its protocol and its transport, in a context of its own.
    fn serve(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        fd: OwnedFd,
        peer: Address,
    ) -> PyResult<()> {
        let py = this.py();
        let mut descriptor = Descriptor::Owned(fd);
        if event_loop.get().debug() {
            descriptor = descriptor.into_socket(py)?;
            if let Err(error) = this.get().log_connection(py, &descriptor, &peer) {
                return descriptor.close(py).and(Err(error));
            }
        }
        // Whatever fails here, the connection is closed with it (S20.7).
        match Self::make_protocol(this) {
            Ok((protocol, context)) => {
                let shown = protocol.clone();
                Self::make_transport(this, event_loop, descriptor, peer, protocol, context)
                    .or_else(|error| Self::serving_failed(event_loop, Some(shown), error))
            }
            Err(error) => {
                let error = descriptor.close(py).err().unwrap_or(error);
                Self::serving_failed(event_loop, None, error)
            }
        }
    }

    /// No connection came of it: debug mode reports that.
    #[cold]
    fn serving_failed<'py>(
        event_loop: &Bound<'py, EventLoop>,
        protocol: Option<Bound<'py, PyAny>>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = event_loop.py();
        if errors::is_exit_request(py, &error) {
            return Err(error);
        }
        if !event_loop.get().debug() {
            return Ok(());
        }
        let message = "Error on transport creation for incoming connection";
        let mut report = Report::new(py, message, error)?;
        if let Some(protocol) = protocol.filter(|protocol| !protocol.is_none()) {
            report = report.with("protocol", protocol)?;
        }
        report.send(event_loop)
    }

    /// A connection's protocol, and the context that is its own.
    fn make_protocol<'py>(
        this: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let py = this.py();
        let context = ffi::copy_of_context(this.get().context.bind(py))?;
        let factory = this.get().protocol_factory.bind(py);
        let protocol = ffi::in_context(&context, || ffi::call(factory, []))?;
        Ok((protocol, context))
    }

    fn make_transport<'py>(
        this: &Bound<'py, Self>,
        event_loop: &Bound<'py, EventLoop>,
        descriptor: Descriptor,
        peer: Address,
        protocol: Bound<'py, PyAny>,
        context: Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let py = this.py();
        let mut parts = Parts {
            descriptor,
            protocol,
            context,
            server: Some(this.get().server.bind(py).clone().into_any()),
            addresses: None,
            extra: None,
        };
        if matches!(peer, Address::Other) {
            parts.ask_python(py)?;
        } else {
            let addresses = this.get().addresses(parts.descriptor.fd(), peer);
            parts.addresses = Some(addresses.map_err(|error| os_error(py, &error))?);
        }
        StreamTransport::accepted(event_loop, parts)
    }

    /// Both addresses of a new connection, which sends small writes at once if it is TCP.
    fn addresses(&self, fd: RawFd, peer: Address) -> std::io::Result<Addresses> {
        let own = match (&peer, &self.name) {
            // The connection has its listener's name (`unix(7)`), whatever the peer's is.
            (Address::Path(_) | Address::Abstract(_) | Address::Unnamed, Some(name)) => {
                name.clone()
            }
            (Address::V4(_) | Address::V6(_), _) => {
                // A peer that is gone already refuses; its transport will find out by reading.
                let _ = set_nodelay(borrow_fd(fd)?);
                Address::of_socket(borrow_fd(fd)?)?
            }
            _ => Address::of_socket(borrow_fd(fd)?)?,
        };
        Ok(Addresses { own, peer })
    }

    #[cold]
    fn log_connection(
        &self,
        py: Python<'_>,
        connection: &Descriptor,
        peer: &Address,
    ) -> PyResult<()> {
        let peer = address_to_python(py, peer)?;
        let line = ("%r got a new connection from %r: %r", &self.server, peer, connection.object());
        names::logger(py)?.call_method1(intern!(py, "debug"), line).map(drop)
    }

    /// Out of descriptors or memory: one report, and one second's pause (S20.3, S20.4).
    #[cold]
    fn pause(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        error: &std::io::Error,
    ) -> PyResult<()> {
        let py = this.py();
        this.get().server.get().count_accept_error(py);
        let resume = this.getattr(intern!(py, "_resume"))?;
        let timer =
            event_loop.call_method1(intern!(py, "call_later"), (RETRY_DELAY, resume))?.unbind();
        let paused = this.get().cell.with(py, move |watching, _| match *watching {
            Watching::On(token) => {
                *watching = Watching::Paused(token, timer);
                Ok(token)
            }
            Watching::Paused(..) | Watching::Closed => Err(timer),
        });
        match paused {
            Ok(token) => event_loop.get().set_interest(py, token, Interest::NONE),
            // A `call_later` of somebody's own has closed the server.
            Err(timer) => timer.call_method0(py, intern!(py, "cancel")).map(drop)?,
        }
        let view = names::transport_socket_class(py)?.call1((&this.get().socket,))?;
        Report::new(py, "socket.accept() out of system resource", os_error(py, error))?
            .with("socket", view)?
            .send(event_loop)
    }

    #[cold]
    fn accept_failed(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = this.py();
        let call =
            Call { callback: this.getattr(intern!(py, "_accept"))?.unbind(), args: Args::None };
        let context = this.get().context.bind(py).clone();
        errors::job_failed(event_loop, call, context, error)
    }
}

#[pymethods]
impl Acceptor {
    #[new]
    #[pyo3(signature = (r#loop, sock, protocol_factory, server, backlog, context = None))]
    fn __new__(
        r#loop: Bound<'_, EventLoop>,
        sock: &Bound<'_, PyAny>,
        protocol_factory: Py<PyAny>,
        server: Py<Clients>,
        backlog: usize,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = sock.py();
        let context = match context {
            Some(context) => context,
            None => ffi::copy_context(py)?,
        };
        let fd = sock.call_method0(intern!(py, "fileno"))?.extract()?;
        Ok(Self {
            event_loop: r#loop.unbind(),
            socket: sock.clone().unbind(),
            fd,
            name: borrow_fd(fd).and_then(Address::of_socket).ok(),
            protocol_factory,
            server,
            context: context.unbind(),
            backlog,
            cell: LoopCell::new(Watching::Closed),
        })
    }

    #[pyo3(signature = (*_args, **_kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        _args: &Bound<'_, pyo3::types::PyTuple>,
        _kwargs: Option<&Bound<'_, pyo3::types::PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let event_loop = slf.get().event_loop.bind(py);
        let watch = Watch::Accept(slf.clone().unbind());
        let token = EventLoop::enroll(event_loop, slf.get().fd, watch, Interest::READ)?;
        let before =
            slf.get().cell.with(py, |watching, _| std::mem::replace(watching, Watching::On(token)));
        drop(before);
        Ok(())
    }

    /// Stops accepting; the socket is closed by its owner. Idempotent.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let ended = self.cell.with(py, |watching, _| std::mem::replace(watching, Watching::Closed));
        let (token, timer) = match ended {
            Watching::On(token) => (token, None),
            Watching::Paused(token, timer) => (token, Some(timer)),
            Watching::Closed => return Ok(()),
        };
        drop(self.event_loop.get().dismiss(py, token));
        if let Some(timer) = timer {
            timer.call_method0(py, intern!(py, "cancel"))?;
        }
        Ok(())
    }

    /// What the loop does when the socket is ready, under the name that reports give it.
    fn _accept(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::on_ready(slf, slf.get().event_loop.bind(slf.py()))
    }

    /// The pause is over.
    fn _resume(&self, py: Python<'_>) {
        let ended = self.cell.with(py, |watching, _| match *watching {
            Watching::Paused(token, _) => {
                Some((token, std::mem::replace(watching, Watching::On(token))))
            }
            Watching::On(_) | Watching::Closed => None,
        });
        if let Some((token, _timer)) = ended {
            self.event_loop.get().set_interest(py, token, Interest::READ);
        }
    }

    #[getter(_paused)]
    fn is_paused(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |watching, _| matches!(watching, Watching::Paused(..)))
    }

    #[getter(_server)]
    fn server<'py>(&self, py: Python<'py>) -> &Bound<'py, Clients> {
        self.server.bind(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Acceptor {}>", self.socket.bind(py).repr()?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.socket)?;
        visit.call(&self.protocol_factory)?;
        visit.call(&self.server)?;
        visit.call(&self.context)?;
        self.cell.traverse(&visit, |watching, visit| match watching {
            Watching::Paused(_, timer) => visit.call(timer),
            Watching::On(_) | Watching::Closed => Ok(()),
        })
    }

    fn __clear__(&self) {
        self.cell.clear(|watching| std::mem::replace(watching, Watching::Closed));
    }
}
