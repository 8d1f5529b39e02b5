//! What the poller holds for each file descriptor, and the readers and writers users put there.

use std::io;
use std::os::fd::RawFd;

use ferroloop_engine::{Interest, Readiness, Ready, Refused};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple, PyWeakrefMethods, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::{EventLoop, Reactor};
use crate::acceptor::Acceptor;
use crate::cell::Share;
use crate::errors::os_error;
use crate::handle::{Args, Call, Handle};
use crate::job::Job;
use crate::transport::BaseTransport;

/// Whom the events of an fd concern.
pub(crate) enum Watch {
    /// Callbacks of `add_reader` and `add_writer`.
    Callbacks(Callbacks),
    Stream(Py<BaseTransport>),
    /// A transport that waits for nothing: it owns its fd, but must be free to die.
    Idle(Py<PyWeakrefReference>),
    Accept(Py<Acceptor>),
    /// The read end of the signal self-pipe.
    Signals,
}

/// Who hears of the two sides of one fd.
#[derive(Default)]
pub(crate) struct Callbacks {
    reader: Option<Listener>,
    writer: Option<Listener>,
}

pub(crate) enum Listener {
    /// A callback of `add_reader` or `add_writer`.
    Handle(Py<Handle>),
    Pipe(Py<BaseTransport>),
}

/// Which of an fd's two callbacks.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Reader,
    Writer,
}

impl Listener {
    fn job(&self, side: Side, share: Share<'_>) -> Job {
        match self {
            Self::Handle(handle) => Job::Watch(share.share(handle)),
            Self::Pipe(transport) => Job::Stream(share.share(transport), side.readiness()),
        }
    }

    fn is_pipe(&self, transport: &Py<BaseTransport>) -> bool {
        matches!(self, Self::Pipe(listener) if listener.is(transport))
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Handle(handle) => visit.call(handle),
            Self::Pipe(transport) => visit.call(transport),
        }
    }
}

impl Side {
    pub(crate) fn interest(self) -> Interest {
        match self {
            Self::Reader => Interest::READ,
            Self::Writer => Interest::WRITE,
        }
    }

    fn readiness(self) -> Readiness {
        match self {
            Self::Reader => Readiness::new(true, false, false),
            Self::Writer => Readiness::new(false, true, false),
        }
    }
}

impl Callbacks {
    fn slot(&mut self, side: Side) -> &mut Option<Listener> {
        match side {
            Side::Reader => &mut self.reader,
            Side::Writer => &mut self.writer,
        }
    }

    fn interest(&self) -> Interest {
        let read = if self.reader.is_some() { Interest::READ } else { Interest::NONE };
        if self.writer.is_some() { read.with(Interest::WRITE) } else { read }
    }

    /// The jobs that an event calls for, the reader's first.
    pub(super) fn gather(&self, readiness: Readiness, ready: &mut Ready<Job>, share: Share<'_>) {
        let reader = self.reader.iter().filter(|_| readiness.readable());
        for listener in reader {
            ready.push(listener.job(Side::Reader, share));
        }
        let writer = self.writer.iter().filter(|_| readiness.writable());
        for listener in writer {
            ready.push(listener.job(Side::Writer, share));
        }
    }
}

impl Watch {
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Callbacks(callbacks) => {
                callbacks.reader.iter().try_for_each(|listener| listener.traverse(visit))?;
                callbacks.writer.iter().try_for_each(|listener| listener.traverse(visit))
            }
            Self::Stream(transport) => visit.call(transport),
            Self::Idle(weak) => visit.call(weak),
            Self::Accept(acceptor) => visit.call(acceptor),
            Self::Signals => Ok(()),
        }
    }
}

/// What a new callback displaced; to be cancelled or dropped with the cell shut.
struct Displaced {
    listener: Option<Listener>,
    watch: Option<Watch>,
}

impl Reactor {
    fn set_listener(
        &mut self,
        fd: RawFd,
        side: Side,
        listener: Listener,
    ) -> Result<Displaced, Refused<Listener>> {
        let token = self.poller.token(fd);
        if let (Some(token), Some(Watch::Callbacks(callbacks))) = (token, self.poller.get(fd)) {
            let interest = callbacks.interest().with(side.interest());
            // At once and not at the next poll: the fd may have been closed behind our back and its
            // number given out again, which only the kernel knows (S7.8).
            if let Err(error) = self.poller.verify(token, interest) {
                return Err(Refused { error, payload: listener });
            }
            let old = match self.poller.get_mut(fd) {
                Some(Watch::Callbacks(callbacks)) => callbacks.slot(side).replace(listener),
                _ => None,
            };
            return Ok(Displaced { listener: old, watch: None });
        }
        let mut callbacks = Callbacks::default();
        *callbacks.slot(side) = Some(listener);
        match self.poller.insert(fd, side.interest(), Watch::Callbacks(callbacks)) {
            Ok((_, watch)) => Ok(Displaced { listener: None, watch }),
            Err(Refused { error, payload: Watch::Callbacks(mut callbacks) }) => {
                match callbacks.slot(side).take() {
                    Some(payload) => Err(Refused { error, payload }),
                    None => Ok(Displaced { listener: None, watch: None }),
                }
            }
            Err(Refused { .. }) => Ok(Displaced { listener: None, watch: None }),
        }
    }

    /// Takes the listener out if `wanted` says so of it.
    fn take_listener(
        &mut self,
        fd: RawFd,
        side: Side,
        wanted: impl FnOnce(&Listener) -> bool,
    ) -> Option<Listener> {
        let token = self.poller.token(fd)?;
        let Some(Watch::Callbacks(callbacks)) = self.poller.get_mut(fd) else {
            return None;
        };
        let listener = callbacks.slot(side).take_if(|listener| wanted(listener))?;
        let interest = callbacks.interest();
        if interest.is_none() {
            // The payload holds no reference any more: nothing of Python's is dropped here.
            self.poller.remove(token);
        } else {
            self.poller.set_interest(token, interest);
        }
        Some(listener)
    }
}

impl EventLoop {
    /// A handle that is queued again and again: of a reader, a writer or a signal.
    pub(super) fn lasting_handle<'py>(
        this: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Handle> {
        let call = Call { callback: callback.unbind(), args: Args::More(args.unbind()) };
        Handle::new(this, call, None, false)
    }

    pub(super) fn add_callback<'py>(
        this: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        side: Side,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Handle>> {
        this.get().check_closed()?;
        let fd = descriptor(fd)?;
        let call = Call { callback: callback.unbind(), args: Args::More(args.unbind()) };
        let handle = Bound::new(this.py(), Handle::new(this, call, None, false)?)?;
        Self::set_listener(this, fd, side, Listener::Handle(handle.clone().unbind()))?;
        Ok(handle)
    }

    /// Has `transport` hear of one side of its fd.
    pub(crate) fn listen(
        this: &Bound<'_, Self>,
        fd: RawFd,
        side: Side,
        transport: &Bound<'_, BaseTransport>,
    ) -> PyResult<()> {
        Self::set_listener(this, fd, side, Listener::Pipe(transport.clone().unbind()))
    }

    /// Ends what `listen` began, if nobody else has taken the place since; the caller drops it.
    pub(crate) fn unlisten(
        &self,
        fd: RawFd,
        side: Side,
        transport: &Bound<'_, BaseTransport>,
    ) -> Option<Listener> {
        let this = transport.as_unbound();
        self.cell.with(transport.py(), |state, _| {
            state.reactor.as_mut()?.take_listener(fd, side, |listener| listener.is_pipe(this))
        })
    }

    fn set_listener(
        this: &Bound<'_, Self>,
        fd: RawFd,
        side: Side,
        listener: Listener,
    ) -> PyResult<()> {
        let py = this.py();
        let outcome = this.get().cell.with(py, move |state, _| match &mut state.reactor {
            Some(reactor) => reactor.set_listener(fd, side, listener),
            None => Err(Refused { error: io::ErrorKind::NotConnected.into(), payload: listener }),
        });
        let Displaced { listener, watch } =
            outcome.map_err(|refused| os_error(py, &refused.error))?;
        drop(watch);
        match listener {
            Some(Listener::Handle(old)) => Handle::cancel(old.bind(py)),
            Some(Listener::Pipe(_)) | None => Ok(()),
        }
    }

    /// False if there was no such callback, or the loop is closed.
    pub(super) fn remove_callback(
        this: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        side: Side,
    ) -> PyResult<bool> {
        let py = this.py();
        if this.get().closed() {
            return Ok(false);
        }
        let fd = descriptor(fd)?;
        let listener = this.get().cell.with(py, move |state, _| {
            state.reactor.as_mut().and_then(|reactor| reactor.take_listener(fd, side, |_| true))
        });
        match listener {
            Some(Listener::Handle(handle)) => Handle::cancel(handle.bind(py)).map(|()| true),
            Some(Listener::Pipe(_)) => Ok(true),
            None => Ok(false),
        }
    }

    /// RuntimeError if an open transport of this loop owns the fd (S7.5).
    pub(crate) fn ensure_no_transport(
        this: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = this.py();
        let number = descriptor(fd)?;
        let owner = this.get().cell.with(py, move |state, share| {
            match state.reactor.as_ref()?.poller.get(number)? {
                Watch::Stream(transport) => Some(Owner::Active(share.share(transport))),
                Watch::Idle(weak) => Some(Owner::Idle(share.share(weak))),
                _ => None,
            }
        });
        let transport = match owner {
            Some(Owner::Active(transport)) => Some(transport.into_bound(py)),
            Some(Owner::Idle(weak)) => weak.bind(py).upgrade_as()?,
            None => None,
        };
        match transport {
            Some(transport) if !transport.get().is_closing(py) => {
                Err(PyRuntimeError::new_err(format!(
                    "File descriptor {} is used by transport {}",
                    fd.repr()?,
                    transport.repr()?
                )))
            }
            _ => Ok(()),
        }
    }
}

/// The transport that owns an fd, as the poller's table has it.
enum Owner {
    Active(Py<BaseTransport>),
    Idle(Py<PyWeakrefReference>),
}

/// The number behind an int or an object with `fileno()` (S7.1).
fn descriptor(object: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let py = object.py();
    let number = if object.is_instance_of::<PyInt>() {
        object.extract()
    } else {
        object.call_method0(intern!(py, "fileno")).and_then(|number| number.extract())
    };
    match number {
        Ok(fd) if fd >= 0 => Ok(fd),
        Ok(fd) => Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}"))),
        Err(_) => Err(PyValueError::new_err(format!("Invalid file object: {}", object.repr()?))),
    }
}
