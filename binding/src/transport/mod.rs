//! `StreamTransport`: a connected stream socket, TCP or Unix.
//!
//! The state machine is the engine's [`Stream`]; here are the Python objects around it and the
//! calls of the protocol. `reading`, `writing` and `ending` each hold one stretch of its life,
//! `api` is the Python surface.

mod address;
mod api;
mod chunk;
mod descriptor;
mod ending;
mod extra;
mod protocol;
mod reading;
mod writing;

use ferroloop_engine::{Address, Channel, Interest, Phase, Readiness, Stream, Token, WaterMarks};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::cell::{LoopCell, Share};
use crate::errors;
use crate::event_loop::{EventLoop, Watch};
use crate::ffi::{self, add_finalizer};
use crate::handle::{Args, Call};
use crate::job::Job;
use crate::names;
use chunk::Chunk;

pub(crate) use address::address_to_python;
pub(crate) use descriptor::Descriptor;
pub(crate) use writing::Caller;

/// A connected stream socket (asyncio.Transport).
#[pyclass(frozen, dict, weakref, module = "ferroloop._ferroloop")]
pub(crate) struct StreamTransport {
    cell: LoopCell<State>,
}

struct State {
    stream: Stream<Chunk>,
    marks: WaterMarks,
    descriptor: Descriptor,
    token: Token,
    /// What the poller has been told to watch for; nothing yet before the transport begins.
    interest: Option<Interest>,
    /// Written to by the running job, and flushed when it ends.
    corked: bool,
    /// Writes since the end of writing; from the fifth on each is worth a warning (S16.18).
    lost_writes: u32,
    /// What the transport lets go of when the connection is lost.
    ties: Option<Ties>,
    /// Both addresses of an accepted connection; other sockets have theirs in `extra`.
    names: Option<Names>,
    extra: Option<Py<PyDict>>,
}

/// The addresses of a connection, made into Python objects when somebody asks.
pub(crate) struct Names {
    pub(crate) own: Address,
    pub(crate) peer: Address,
}

/// The Python objects of a live connection.
struct Ties {
    event_loop: Py<EventLoop>,
    protocol: Py<PyAny>,
    /// The protocol is a BufferedProtocol.
    buffered: bool,
    /// All calls of the protocol that the loop makes run here.
    context: Py<PyAny>,
    server: Option<Py<PyAny>>,
}

/// What a new transport is made of.
pub(crate) struct Parts<'py> {
    pub(crate) descriptor: Descriptor,
    pub(crate) protocol: Bound<'py, PyAny>,
    pub(crate) context: Bound<'py, PyAny>,
    pub(crate) server: Option<Bound<'py, PyAny>>,
    pub(crate) names: Option<Names>,
    pub(crate) extra: Option<Bound<'py, PyDict>>,
}

impl StreamTransport {
    fn new(event_loop: &Bound<'_, EventLoop>, parts: Parts<'_>) -> PyResult<Self> {
        let buffered = protocol::is_buffered(&parts.protocol)?;
        let ties = Ties {
            event_loop: event_loop.clone().unbind(),
            protocol: parts.protocol.unbind(),
            buffered,
            context: parts.context.unbind(),
            server: parts.server.map(Bound::unbind),
        };
        let mut stream = Stream::new(Channel::Socket);
        // Reading counts as on from the beginning, so that `connection_made` can pause it; the
        // poller hears of it in `begin`.
        stream.resume_reading();
        Ok(Self {
            cell: LoopCell::new(State {
                stream,
                marks: WaterMarks::new(),
                token: Token::new(parts.descriptor.fd(), 0),
                descriptor: parts.descriptor,
                interest: None,
                corked: false,
                lost_writes: 0,
                ties: Some(ties),
                names: parts.names,
                extra: parts.extra.map(Bound::unbind),
            }),
        })
    }

    /// Enters the transport into the poller's table and its server's list, and queues its start:
    /// `connection_made`, then reading and the waiter (S16.1).
    fn start(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        waiter: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        let fd = this.get().cell.with(py, |state, _| state.descriptor.fd());
        let watch = Watch::Stream(this.clone().unbind());
        let token = EventLoop::enroll(event_loop, fd, watch, Interest::NONE)?;
        this.get().cell.with(py, |state, _| state.token = token);
        let server = this.get().cell.with(py, |state, share| state.server(share));
        if let Some(server) = server {
            server.call_method1(py, intern!(py, "_attach"), (this,))?;
        }
        event_loop.get().push(py, Job::Made(this.clone().unbind()));
        event_loop.get().push(py, Job::Begin(this.clone().unbind(), waiter));
        Ok(())
    }

    /// A transport for a connection the loop accepted.
    pub(crate) fn accepted(event_loop: &Bound<'_, EventLoop>, parts: Parts<'_>) -> PyResult<()> {
        let this = Bound::new(event_loop.py(), Self::new(event_loop, parts)?)?;
        Self::start(&this, event_loop, None).or_else(|error| Self::release(&this).and(Err(error)))
    }

    /// Tells the protocol about its transport.
    pub(crate) fn made(this: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        Self::notify(this, event_loop, intern!(this.py(), "connection_made"), this.as_any())
    }

    /// Starts to read, unless `connection_made` paused or closed, and wakes the creator.
    pub(crate) fn begin(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        waiter: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        Self::update_interest(this, event_loop)?;
        match waiter {
            Some(waiter) => wake(waiter.bind(py), event_loop),
            None => Ok(()),
        }
    }

    /// The poller found the socket ready.
    #[inline]
    pub(crate) fn on_ready(
        this: &Bound<'_, Self>,
        event_loop: &Bound<'_, EventLoop>,
        readiness: Readiness,
    ) -> PyResult<()> {
        if readiness.readable() {
            Self::on_readable(this, event_loop)?;
        }
        if readiness.writable() {
            Self::on_writable(this, event_loop)?;
        }
        Ok(())
    }

    /// Tells the poller what the stream now waits for, if that has changed.
    #[inline]
    fn update_interest(this: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        let change = this.get().cell.with(this.py(), |state, _| {
            let wanted = state.stream.interest();
            let told = state.interest.replace(wanted);
            (told != Some(wanted)).then_some((
                state.token,
                told.is_none_or(Interest::is_none),
                wanted,
            ))
        });
        let Some((token, was_idle, wanted)) = change else { return Ok(()) };
        if wanted.is_none() {
            // Nothing will call the transport, so the loop must not be what keeps it alive (S57.3).
            let weak = PyWeakrefReference::new(this)?.unbind();
            drop(event_loop.get().replace_watch(this.py(), token, Watch::Idle(weak)));
        } else if was_idle {
            let strong = Watch::Stream(this.clone().unbind());
            drop(event_loop.get().replace_watch(this.py(), token, strong));
        }
        event_loop.get().set_interest(this.py(), token, wanted);
        Ok(())
    }

    /// The loop, while the connection lives.
    #[inline]
    fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, EventLoop>> {
        let event_loop = self
            .cell
            .with(py, |state, share| state.ties.as_ref().map(|ties| share.share(&ties.event_loop)));
        event_loop.map(|event_loop| event_loop.into_bound(py))
    }

    /// `close()` or worse has begun.
    pub(crate) fn is_closing(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |state, _| state.stream.phase() != Phase::Open)
    }
}

impl State {
    fn server(&self, share: Share<'_>) -> Option<Py<PyAny>> {
        self.ties.as_ref()?.server.as_ref().map(|server| share.share(server))
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.extra)?;
        self.descriptor.traverse(visit)?;
        let Some(ties) = &self.ties else {
            return Ok(());
        };
        visit.call(&ties.event_loop)?;
        visit.call(&ties.protocol)?;
        visit.call(&ties.context)?;
        visit.call(&ties.server)
    }
}

/// Tells the creator that the transport is there, unless it was cancelled meanwhile.
fn wake(waiter: &Bound<'_, PyAny>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
    let py = waiter.py();
    let set_result = || -> PyResult<()> {
        if !waiter.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(())
    };
    set_result().or_else(|error| {
        let callback = waiter.getattr(intern!(py, "set_result"))?.unbind();
        let call = Call { callback, args: Args::One(py.None()) };
        errors::job_failed(event_loop, call, ffi::copy_context(py)?, error)
    })
}

/// Registers the class with its finalizer.
pub(crate) fn add_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // At interpreter shutdown, when the last finalizers run, nothing can be imported any more.
    names::warn(module.py())?;
    module.add_class::<StreamTransport>()?;
    add_finalizer::<StreamTransport>(module.py());
    Ok(())
}
