//! Transports: `StreamTransport` over a connected socket, `ReadPipeTransport` and
//! `WritePipeTransport` over one end of a pipe, `DatagramTransport` over a socket of messages.
//!
//! They share one implementation, `BaseTransport`: the state machine is the engine's [`Stream`];
//! here are the Python objects around it and the calls of the protocol. `reading`, `writing` and
//! `ending` each hold one stretch of its life, `habit` what its writes are like, `watching` what
//! the poller is told, and `kind` what they differ in. The Python surface is in `base`, `stream`,
//! `pipe` and `datagram`, which also has its own ways in and out.

mod address;
mod base;
pub(crate) mod chunk;
mod datagram;
mod descriptor;
mod ending;
mod extra;
mod habit;
mod kind;
mod pipe;
mod protocol;
mod reading;
mod sendfile;
mod stream;
mod watching;
mod writing;

use ferroloop_engine::{Address, Interest, Phase, Readiness, Stream, Token, WaterMarks};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::cell::LoopCell;
use crate::event_loop::EventLoop;
use crate::ffi::add_finalizer;
use crate::future;
use crate::job::Job;
use crate::lost_writes::LostWrites;
use crate::names;
use chunk::Chunk;
use datagram::DatagramTransport;
use habit::Habit;
use kind::Kind;
use pipe::{ReadPipeTransport, WritePipeTransport};
use protocol::Receives;

pub(crate) use address::address_to_python;
pub(crate) use descriptor::Descriptor;
pub(crate) use protocol::{check_room, is_buffered};
pub(crate) use stream::StreamTransport;

/// The default high-water mark in bytes (S0.29).
const HIGH_WATER: usize = 64 * 1024;

/// What all transports have in common (asyncio.BaseTransport). Never made by itself.
#[pyclass(frozen, subclass, dict, weakref, module = "ferroloop._ferroloop")]
pub(crate) struct BaseTransport {
    cell: LoopCell<State>,
}

/// What all transports that send have in common, besides. Never made by itself.
#[pyclass(frozen, subclass, extends = BaseTransport, module = "ferroloop._ferroloop")]
pub(crate) struct WriteTransport;

/// What a transport of any kind has in common with the others.
trait Base<'py> {
    fn base(&self) -> &Bound<'py, BaseTransport>;
}

macro_rules! based {
    ($($class:ty: $($up:ident).+;)*) => {$(
        impl<'py> Base<'py> for Bound<'py, $class> {
            #[inline]
            fn base(&self) -> &Bound<'py, BaseTransport> {
                self$(.$up())+
            }
        }
    )*};
}

based! {
    WriteTransport: as_super;
    StreamTransport: as_super.as_super;
    DatagramTransport: as_super.as_super;
    ReadPipeTransport: as_super;
    WritePipeTransport: as_super.as_super;
}

struct State {
    kind: Kind,
    stream: Stream<Chunk>,
    marks: WaterMarks,
    descriptor: Descriptor,
    token: Token,
    /// What the poller has been told to watch for; nothing yet before the transport begins.
    interest: Option<Interest>,
    /// Written to by a job of this batch, and flushed when it ends or earlier.
    corked: bool,
    habit: Habit,
    /// Writes since the end of writing, which after some are worth a warning (S16.18, S31.14).
    lost_writes: LostWrites,
    /// A file is being sent, and nothing may be written.
    sends_file: bool,
    /// What its sender waits for: a future that is done when there is room.
    room: Option<Py<PyAny>>,
    /// What the transport lets go of when the connection is lost.
    ties: Option<Ties>,
    /// Both addresses of an accepted connection; other sockets have theirs in `extra`.
    addresses: Option<Addresses>,
    extra: Option<Py<PyDict>>,
    /// What waits in a datagram transport, in place of the stream's outbox.
    datagrams: Option<Box<datagram::Queue>>,
}

/// The addresses of a connection, made into Python objects when somebody asks.
pub(crate) struct Addresses {
    pub(crate) own: Address,
    pub(crate) peer: Address,
}

/// The Python objects of a live connection.
struct Ties {
    event_loop: Py<EventLoop>,
    protocol: Py<PyAny>,
    receives: Receives,
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
    pub(crate) addresses: Option<Addresses>,
    pub(crate) extra: Option<Bound<'py, PyDict>>,
}

impl<'py> Parts<'py> {
    /// Has Python tell the addresses of a socket whose family has none here, such as AF_VSOCK.
    #[cold]
    pub(crate) fn ask_python(&mut self, py: Python<'py>) -> PyResult<()> {
        let descriptor = std::mem::replace(&mut self.descriptor, Descriptor::Closed);
        self.descriptor = descriptor.into_socket(py)?;
        let socket = self.descriptor.object().map(|socket| socket.bind(py));
        self.extra = socket.map(|socket| extra::of_socket(socket, None)).transpose()?;
        Ok(())
    }
}

impl BaseTransport {
    fn new(event_loop: &Bound<'_, EventLoop>, kind: Kind, parts: Parts<'_>) -> PyResult<Self> {
        // An object that is no protocol is reported to the transport's creator, not to the run.
        parts.protocol.getattr(intern!(event_loop.py(), "connection_made"))?;
        let receives = Receives::of(&parts.protocol, kind)?;
        let ties = Ties {
            event_loop: event_loop.clone().unbind(),
            protocol: parts.protocol.unbind(),
            receives,
            context: parts.context.unbind(),
            server: parts.server.map(Bound::unbind),
        };
        let mut stream = Stream::new(kind.channel());
        // Reading counts as on from the beginning, so that `connection_made` can pause it; the
        // poller hears of it in `begin`.
        stream.resume_reading();
        Ok(Self {
            cell: LoopCell::new(State {
                kind,
                stream,
                marks: WaterMarks::new(HIGH_WATER),
                token: Token::new(parts.descriptor.fd(), 0),
                descriptor: parts.descriptor,
                interest: None,
                corked: false,
                habit: Habit::default(),
                lost_writes: kind.lost_writes(),
                sends_file: false,
                room: None,
                ties: Some(ties),
                addresses: parts.addresses,
                extra: parts.extra.map(Bound::unbind),
                datagrams: None,
            }),
        })
    }

    /// Queues the start: `connection_made`, then reading and the waiter (S16.1, S30.3, S31.3).
    fn start(this: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>, waiter: Option<Py<PyAny>>) {
        let (py, event_loop) = (this.py(), event_loop.get());
        event_loop.push(py, Job::Made(this.clone().unbind()));
        event_loop.push_and_wake(py, Job::Begin(this.clone().unbind(), waiter));
    }

    /// Tells the protocol about its transport.
    pub(crate) fn made(this: &Bound<'_, Self>, event_loop: &Bound<'_, EventLoop>) -> PyResult<()> {
        Self::notify(this, event_loop, intern!(this.py(), "connection_made"), Some(this.as_any()))
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
            Some(waiter) => future::wake(waiter.bind(py), event_loop),
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

    /// The loop, while the connection lives.
    #[inline]
    fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, EventLoop>> {
        self.cell.shared(py, |state| state.ties.as_ref().map(|ties| &ties.event_loop))
    }

    /// Does something with the loop, while the connection lives.
    #[inline]
    fn while_alive<'py>(
        this: &Bound<'py, Self>,
        act: impl FnOnce(&Bound<'py, EventLoop>) -> PyResult<()>,
    ) -> PyResult<()> {
        this.get().event_loop(this.py()).map_or(Ok(()), |event_loop| act(&event_loop))
    }

    #[inline]
    fn kind(&self, py: Python<'_>) -> Kind {
        self.cell.with(py, |state, _| state.kind)
    }

    /// It may still send or receive: a closed transport first sends what waits.
    pub(crate) fn needs_descriptor(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |state, _| state.stream.phase() != Phase::Lost)
    }

    /// `close()` or worse has begun.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |state, _| state.stream.phase() != Phase::Open)
    }
}

impl State {
    /// Bytes that wait for the kernel to take them.
    #[inline]
    fn waiting(&self) -> usize {
        match &self.datagrams {
            Some(queue) => queue.len_bytes(),
            None => self.stream.outbox().len_bytes(),
        }
    }

    /// Nothing is left to send, not even an empty datagram.
    #[inline]
    fn is_drained(&self) -> bool {
        match &self.datagrams {
            Some(queue) => queue.is_empty(),
            None => self.stream.outbox().is_empty(),
        }
    }

    /// What the poller should watch for.
    #[inline]
    fn wanted(&self) -> Interest {
        let interest = self.stream.interest();
        let queued = self.datagrams.as_ref().is_some_and(|queue| !queue.is_empty());
        if queued || self.wants_room() {
            return interest.with(Interest::WRITE);
        }
        interest
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.extra)?;
        visit.call(&self.room)?;
        self.datagrams.iter().try_for_each(|queue| datagram::traverse(queue, visit))?;
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

/// Registers the classes with their finalizers.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // At interpreter shutdown, when the last finalizers run, nothing can be imported any more.
    names::warn(module.py())?;
    module.add_class::<StreamTransport>()?;
    module.add_class::<DatagramTransport>()?;
    module.add_class::<ReadPipeTransport>()?;
    module.add_class::<WritePipeTransport>()?;
    add_finalizer::<StreamTransport>(module.py());
    add_finalizer::<DatagramTransport>(module.py());
    add_finalizer::<ReadPipeTransport>(module.py());
    add_finalizer::<WritePipeTransport>(module.py());
    Ok(())
}
