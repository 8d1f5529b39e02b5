//! `add_reader` and its family: callbacks that users tie to file descriptors, and the transports
//! that hear of one side of theirs.

use std::os::fd::RawFd;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple, PyWeakrefMethods, PyWeakrefReference};

use super::EventLoop;
use super::fileno::{descriptor, not_a_descriptor, number_of};
use super::reactor::Displaced;
use super::watch::{File, Side, Subscriber, Watch};
use crate::errors::Refusal;
use crate::ffi;
use crate::handle::{Args, Call, Handle};
use crate::transport::BaseTransport;

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
        let subscriber = Subscriber::Handle(handle.clone().unbind(), file);
        Self::set_subscriber(this, number, side, subscriber)?;
        Ok(handle)
    }

    /// Has `transport` hear of one side of its fd, as long as the loop is open.
    pub(crate) fn subscribe(
        this: &Bound<'_, Self>,
        fd: RawFd,
        side: Side,
        transport: &Bound<'_, BaseTransport>,
    ) -> PyResult<()> {
        if this.get().closed() {
            return Ok(());
        }
        Self::set_subscriber(this, fd, side, Subscriber::Pipe(transport.clone().unbind()))
    }

    /// Ends what `subscribe` began, if nobody else has taken the place since; the caller drops it.
    pub(crate) fn unsubscribe(
        &self,
        fd: RawFd,
        side: Side,
        transport: &Bound<'_, BaseTransport>,
    ) -> Option<Subscriber> {
        let this = transport.as_unbound();
        self.cell.with(transport.py(), |state, _| {
            state.reactor.as_mut()?.take_subscriber(fd, side, |subscriber| subscriber.is_pipe(this))
        })
    }

    pub(super) fn set_subscriber(
        this: &Bound<'_, Self>,
        fd: RawFd,
        side: Side,
        subscriber: Subscriber,
    ) -> PyResult<()> {
        let py = this.py();
        let outcome = this.get().cell.with(py, move |state, _| match &mut state.reactor {
            Some(reactor) => reactor
                .set_subscriber(fd, side, subscriber)
                .map_err(|refused| (Refusal::System(refused.error), refused.payload)),
            None => Err((Refusal::Closed, Some(subscriber))),
        });
        let Displaced { subscriber, watch } =
            outcome.map_err(|(refusal, _)| refusal.into_error(py))?;
        drop(watch);
        match subscriber {
            Some(Subscriber::Handle(old, _)) => Handle::cancel(old.bind(py)),
            Some(Subscriber::Pipe(_) | Subscriber::Waiter(_)) | None => Ok(()),
        }
    }

    /// Ends the watch for one side of `fd`, which no open transport of this loop may own:
    /// RuntimeError (S7.5). False if nobody watched it.
    pub(super) fn remove_unowned(
        this: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        side: Side,
    ) -> PyResult<bool> {
        if let Some(number) = number_of(fd)? {
            Self::refuse_owned(this, number, fd)?;
        }
        Self::remove_callback(this, fd, side)
    }

    /// Ends the watch for one side of `fd`. False if nobody watched it, or the loop is closed.
    pub(super) fn remove_callback(
        this: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        side: Side,
    ) -> PyResult<bool> {
        let py = this.py();
        if this.get().closed() {
            return Ok(false);
        }
        let Some(fd) = this.get().watched_number(fd)? else { return Ok(false) };
        let subscriber = this.get().cell.with(py, move |state, _| {
            state.reactor.as_mut().and_then(|reactor| reactor.take_subscriber(fd, side, |_| true))
        });
        match subscriber {
            Some(Subscriber::Handle(handle, _)) => Handle::cancel(handle.bind(py)).map(|()| true),
            Some(Subscriber::Pipe(_) | Subscriber::Waiter(_)) => Ok(true),
            None => Ok(false),
        }
    }

    /// The number behind `fd`; that of a closed file is the one it was watched under. None is one
    /// that no descriptor has.
    fn watched_number(&self, fd: &Bound<'_, PyAny>) -> PyResult<Option<RawFd>> {
        let number = match number_of(fd)? {
            Some(number) if number < 0 => number,
            other => return Ok(other),
        };
        let file = fd.as_unbound();
        let known = self.cell.with(fd.py(), |state, _| {
            state.reactor.as_ref()?.poller.iter().find_map(|(_, watch)| match watch {
                Watch::Sides(sides) => sides.number_of(file),
                _ => None,
            })
        });
        known.map(Some).ok_or_else(|| not_a_descriptor(number))
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
                Watch::Transport(transport) => Some(Owner::Active(share.share(transport))),
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
            Some(transport) if transport.get().needs_descriptor(py) => {
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
