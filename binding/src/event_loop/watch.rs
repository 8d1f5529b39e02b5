//! What the poller holds for each file descriptor, and the readers and writers users put there.

use std::io;
use std::os::fd::RawFd;

use ferroloop_engine::{Interest, Refused};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple, PyWeakrefMethods, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::{EventLoop, Reactor};
use crate::acceptor::Acceptor;
use crate::errors::os_error;
use crate::handle::{Args, Call, Handle};
use crate::transport::StreamTransport;

/// Whom the events of an fd concern.
pub(crate) enum Watch {
    /// Callbacks of `add_reader` and `add_writer`.
    Callbacks(Callbacks),
    Stream(Py<StreamTransport>),
    /// A transport that waits for nothing: it owns its fd, but must be free to die.
    Idle(Py<PyWeakrefReference>),
    Accept(Py<Acceptor>),
    /// The read end of the signal self-pipe.
    Signals,
}

#[derive(Default)]
pub(crate) struct Callbacks {
    pub(super) reader: Option<Py<Handle>>,
    pub(super) writer: Option<Py<Handle>>,
}

/// Which of an fd's two callbacks.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Reader,
    Writer,
}

impl Side {
    fn interest(self) -> Interest {
        match self {
            Self::Reader => Interest::READ,
            Self::Writer => Interest::WRITE,
        }
    }
}

impl Callbacks {
    fn slot(&mut self, side: Side) -> &mut Option<Py<Handle>> {
        match side {
            Side::Reader => &mut self.reader,
            Side::Writer => &mut self.writer,
        }
    }

    fn interest(&self) -> Interest {
        let read = if self.reader.is_some() { Interest::READ } else { Interest::NONE };
        if self.writer.is_some() { read.with(Interest::WRITE) } else { read }
    }
}

impl Watch {
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Callbacks(callbacks) => {
                visit.call(&callbacks.reader)?;
                visit.call(&callbacks.writer)
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
    handle: Option<Py<Handle>>,
    watch: Option<Watch>,
}

impl Reactor {
    fn set_callback(
        &mut self,
        fd: RawFd,
        side: Side,
        handle: Py<Handle>,
    ) -> Result<Displaced, Refused<Py<Handle>>> {
        let token = self.poller.token(fd);
        if let (Some(token), Some(Watch::Callbacks(callbacks))) = (token, self.poller.get(fd)) {
            let interest = callbacks.interest().with(side.interest());
            // At once and not at the next poll: the fd may have been closed behind our back and its
            // number given out again, which only the kernel knows (S7.8).
            if let Err(error) = self.poller.verify(token, interest) {
                return Err(Refused { error, payload: handle });
            }
            let old = match self.poller.get_mut(fd) {
                Some(Watch::Callbacks(callbacks)) => callbacks.slot(side).replace(handle),
                _ => None,
            };
            return Ok(Displaced { handle: old, watch: None });
        }
        let mut callbacks = Callbacks::default();
        *callbacks.slot(side) = Some(handle);
        match self.poller.insert(fd, side.interest(), Watch::Callbacks(callbacks)) {
            Ok((_, watch)) => Ok(Displaced { handle: None, watch }),
            Err(Refused { error, payload: Watch::Callbacks(mut callbacks) }) => {
                match callbacks.slot(side).take() {
                    Some(payload) => Err(Refused { error, payload }),
                    None => Ok(Displaced { handle: None, watch: None }),
                }
            }
            Err(Refused { .. }) => Ok(Displaced { handle: None, watch: None }),
        }
    }

    fn take_callback(&mut self, fd: RawFd, side: Side) -> Option<Py<Handle>> {
        let token = self.poller.token(fd)?;
        let Some(Watch::Callbacks(callbacks)) = self.poller.get_mut(fd) else {
            return None;
        };
        let handle = callbacks.slot(side).take()?;
        let interest = callbacks.interest();
        if interest.is_none() {
            // The payload holds no reference any more: nothing of Python's is dropped here.
            self.poller.remove(token);
        } else {
            self.poller.set_interest(token, interest);
        }
        Some(handle)
    }
}

impl EventLoop {
    pub(super) fn add_callback<'py>(
        this: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        side: Side,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = this.py();
        this.get().check_closed()?;
        let fd = descriptor(fd)?;
        let call = Call { callback: callback.unbind(), args: Args::More(args.unbind()) };
        let handle = Bound::new(py, Handle::new(this, call, None, false)?)?;
        let payload = handle.clone().unbind();
        let outcome = this.get().cell.with(py, move |state, _| match &mut state.reactor {
            Some(reactor) => reactor.set_callback(fd, side, payload),
            None => Err(Refused { error: io::ErrorKind::NotConnected.into(), payload }),
        });
        match outcome {
            Ok(displaced) => {
                drop(displaced.watch);
                displaced.handle.map_or(Ok(()), |old| Handle::cancel(old.bind(py)))?;
                Ok(handle)
            }
            Err(refused) => Err(os_error(py, &refused.error)),
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
        let handle = this.get().cell.with(py, move |state, _| {
            state.reactor.as_mut().and_then(|reactor| reactor.take_callback(fd, side))
        });
        match handle {
            Some(handle) => Handle::cancel(handle.bind(py)).map(|()| true),
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
    Active(Py<StreamTransport>),
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
