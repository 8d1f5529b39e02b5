//! What the poller holds for each file descriptor, and the readers and writers users put there.

use std::io;
use std::os::fd::RawFd;

use ferroloop_engine::{Interest, Readiness, Ready, Refused};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple, PyWeakrefMethods, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit};

use super::fileno::{descriptor, not_a_descriptor, number_of};
use super::{EventLoop, Reactor};
use crate::acceptor::Acceptor;
use crate::cell::Share;
use crate::errors;
use crate::ffi;
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
    Handle(Py<Handle>, Option<File>),
    Pipe(Py<BaseTransport>),
    /// A coroutine that waits for one event: a future.
    Waiter(Py<PyAny>),
}

/// The object that stood for the fd. Once it is closed it has no number any more, and yet programs
/// name it to end the watch.
pub(crate) struct File {
    object: Py<PyAny>,
    fd: RawFd,
}

/// Which of an fd's two callbacks.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Reader,
    Writer,
}

impl Listener {
    fn job(&self, fd: RawFd, side: Side, share: Share<'_>) -> Job {
        match self {
            Self::Handle(handle, _) => Job::Watch(share.share(handle)),
            Self::Pipe(transport) => Job::Stream(share.share(transport), side.readiness()),
            Self::Waiter(waiter) => Job::Ready(fd, side, share.share(waiter)),
        }
    }

    fn is_pipe(&self, transport: &Py<BaseTransport>) -> bool {
        matches!(self, Self::Pipe(listener) if listener.is(transport))
    }

    /// The number of a file that has lost it.
    fn number_of(&self, file: &Py<PyAny>) -> Option<RawFd> {
        match self {
            Self::Handle(_, Some(known)) if known.object.is(file) => Some(known.fd),
            _ => None,
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Handle(handle, file) => {
                visit.call(handle)?;
                file.iter().try_for_each(|file| visit.call(&file.object))
            }
            Self::Pipe(transport) => visit.call(transport),
            Self::Waiter(waiter) => visit.call(waiter),
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
    fn number_of(&self, file: &Py<PyAny>) -> Option<RawFd> {
        [&self.reader, &self.writer].into_iter().flatten().find_map(|it| it.number_of(file))
    }

    fn slot(&mut self, side: Side) -> &mut Option<Listener> {
        match side {
            Side::Reader => &mut self.reader,
            Side::Writer => &mut self.writer,
        }
    }

    /// A wait is all there is: one report will do.
    fn interest(&self) -> Interest {
        match (&self.reader, &self.writer) {
            (None, None) => Interest::NONE,
            (Some(Listener::Waiter(_)), None) => Interest::READ.with(Interest::ONCE),
            (None, Some(Listener::Waiter(_))) => Interest::WRITE.with(Interest::ONCE),
            (Some(_), None) => Interest::READ,
            (None, Some(_)) => Interest::WRITE,
            (Some(_), Some(_)) => Interest::BOTH,
        }
    }

    /// The jobs that an event calls for, the reader's first.
    pub(super) fn gather(
        &self,
        fd: RawFd,
        readiness: Readiness,
        ready: &mut Ready<Job>,
        share: Share<'_>,
    ) {
        let reader = self.reader.iter().filter(|_| readiness.readable());
        for listener in reader {
            ready.push(listener.job(fd, Side::Reader, share));
        }
        let writer = self.writer.iter().filter(|_| readiness.writable());
        for listener in writer {
            ready.push(listener.job(fd, Side::Writer, share));
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
    ) -> Result<Displaced, Refused<Option<Listener>>> {
        let token = self.poller.token(fd);
        let Some((token, Watch::Callbacks(callbacks))) = token.zip(self.poller.get_mut(fd)) else {
            return self.insert_listener(fd, side, listener);
        };
        let old = callbacks.slot(side).replace(listener);
        let interest = callbacks.interest();
        // At once and not at the next poll: the fd may have been closed behind our back and its
        // number given out again, which only the kernel knows (S7.8).
        match self.poller.verify(token, interest) {
            Ok(()) => Ok(Displaced { listener: old, watch: None }),
            Err(error) => Err(self.withdraw_listener(fd, side, old, error)),
        }
    }

    fn insert_listener(
        &mut self,
        fd: RawFd,
        side: Side,
        listener: Listener,
    ) -> Result<Displaced, Refused<Option<Listener>>> {
        let mut callbacks = Callbacks::default();
        *callbacks.slot(side) = Some(listener);
        let interest = callbacks.interest();
        match self.poller.insert(fd, interest, Watch::Callbacks(callbacks)) {
            Ok((_, watch)) => Ok(Displaced { listener: None, watch }),
            Err(Refused { error, payload: Watch::Callbacks(mut callbacks) }) => {
                Err(Refused { error, payload: callbacks.slot(side).take() })
            }
            Err(Refused { error, .. }) => Err(Refused { error, payload: None }),
        }
    }

    /// The kernel does not want the listener: the former one is back in its place.
    fn withdraw_listener(
        &mut self,
        fd: RawFd,
        side: Side,
        old: Option<Listener>,
        error: io::Error,
    ) -> Refused<Option<Listener>> {
        let Some(Watch::Callbacks(callbacks)) = self.poller.get_mut(fd) else {
            return Refused { error, payload: old };
        };
        let payload = std::mem::replace(callbacks.slot(side), old);
        if callbacks.interest().is_none()
            && let Some(token) = self.poller.token(fd)
        {
            // It was resting, and holds no reference.
            self.poller.remove(token);
        }
        Refused { error, payload }
    }

    /// Takes the listener out if `wanted` says so of it.
    pub(super) fn take_listener(
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
        if !interest.is_none() {
            self.poller.set_interest(token, interest);
        } else if !self.poller.is_resting(fd) {
            // The payload holds no reference any more: nothing of Python's is dropped here.
            self.poller.remove(token);
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
    ) -> PyResult<Bound<'py, Handle>> {
        let call = Call { callback: callback.unbind(), args: Args::More(args.unbind()) };
        let handle = Handle::new(this, call, ffi::copy_context(this.py())?, false)?;
        ffi::make_lasting(this.py(), handle)
    }

    pub(super) fn add_callback<'py>(
        this: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        side: Side,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Handle>> {
        this.get().check_closed()?;
        let number = descriptor(fd)?;
        let file = (!fd.is_instance_of::<PyInt>())
            .then(|| File { object: fd.clone().unbind(), fd: number });
        let handle = Self::lasting_handle(this, callback, args)?;
        let listener = Listener::Handle(handle.clone().unbind(), file);
        Self::set_listener(this, number, side, listener)?;
        Ok(handle)
    }

    /// Has `transport` hear of one side of its fd, as long as the loop is open.
    pub(crate) fn listen(
        this: &Bound<'_, Self>,
        fd: RawFd,
        side: Side,
        transport: &Bound<'_, BaseTransport>,
    ) -> PyResult<()> {
        if this.get().closed() {
            return Ok(());
        }
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

    pub(super) fn set_listener(
        this: &Bound<'_, Self>,
        fd: RawFd,
        side: Side,
        listener: Listener,
    ) -> PyResult<()> {
        let py = this.py();
        let outcome = this.get().cell.with(py, move |state, _| match &mut state.reactor {
            Some(reactor) => reactor
                .set_listener(fd, side, listener)
                .map_err(|refused| (Some(refused.error), refused.payload)),
            None => Err((None, Some(listener))),
        });
        let Displaced { listener, watch } =
            outcome.map_err(|(error, _)| errors::not_watched(py, error))?;
        drop(watch);
        match listener {
            Some(Listener::Handle(old, _)) => Handle::cancel(old.bind(py)),
            Some(Listener::Pipe(_) | Listener::Waiter(_)) | None => Ok(()),
        }
    }

    /// As `remove_callback`. RuntimeError if an open transport of this loop owns the fd (S7.5).
    pub(super) fn remove_unowned(
        this: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        side: Side,
    ) -> PyResult<bool> {
        Self::refuse_owned(this, number_of(fd)?, fd)?;
        Self::remove_callback(this, fd, side)
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
        let fd = this.get().watched_number(fd)?;
        let listener = this.get().cell.with(py, move |state, _| {
            state.reactor.as_mut().and_then(|reactor| reactor.take_listener(fd, side, |_| true))
        });
        match listener {
            Some(Listener::Handle(handle, _)) => Handle::cancel(handle.bind(py)).map(|()| true),
            Some(Listener::Pipe(_) | Listener::Waiter(_)) => Ok(true),
            None => Ok(false),
        }
    }

    /// The number behind `fd`; that of a closed file is the one it was watched under.
    fn watched_number(&self, fd: &Bound<'_, PyAny>) -> PyResult<RawFd> {
        let number = number_of(fd)?;
        if number >= 0 {
            return Ok(number);
        }
        let file = fd.as_unbound();
        let known = self.cell.with(fd.py(), |state, _| {
            state.reactor.as_ref()?.poller.iter().find_map(|watch| match watch {
                Watch::Callbacks(callbacks) => callbacks.number_of(file),
                _ => None,
            })
        });
        known.ok_or_else(|| not_a_descriptor(number))
    }

    /// RuntimeError if an open transport of this loop owns the fd (S7.5).
    pub(crate) fn ensure_no_transport(
        this: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Self::refuse_owned(this, descriptor(fd)?, fd)
    }

    fn refuse_owned(this: &Bound<'_, Self>, number: RawFd, fd: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
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
