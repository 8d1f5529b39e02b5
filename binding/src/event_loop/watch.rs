//! What the poller holds for each file descriptor: whom its events concern.

use std::os::fd::RawFd;

use ferroloop_engine::{Interest, Readiness, Ready};
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;
use pyo3::{PyTraverseError, PyVisit};

use crate::acceptor::Acceptor;
use crate::cell::Share;
use crate::handle::Handle;
use crate::job::Job;
use crate::transport::BaseTransport;

/// Whom the events of an fd concern.
pub(crate) enum Watch {
    /// Each side has a subscriber of its own.
    Sides(Sides),
    /// A transport over a socket, which owns its fd.
    Transport(Py<BaseTransport>),
    /// Such a transport that waits for nothing and must be free to die.
    Idle(Py<PyWeakrefReference>),
    Accept(Py<Acceptor>),
    /// The read end of the signal self-pipe.
    Signals,
}

/// Who hears of the two sides of one fd.
#[derive(Default)]
pub(crate) struct Sides {
    reader: Option<Subscriber>,
    writer: Option<Subscriber>,
}

pub(crate) enum Subscriber {
    /// A callback of `add_reader` or `add_writer`.
    Handle(Py<Handle>, Option<File>),
    Pipe(Py<BaseTransport>),
    /// A coroutine that waits for one event: a future.
    Waiter(Py<PyAny>),
}

/// The object that stood for the fd. Once it is closed it has no number any more, and yet programs
/// name it to end the watch.
pub(crate) struct File {
    pub(super) object: Py<PyAny>,
    pub(super) fd: RawFd,
}

/// Which of an fd's two sides.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Reader,
    Writer,
}

impl Subscriber {
    fn job(&self, fd: RawFd, side: Side, share: Share<'_>) -> Job {
        match self {
            Self::Handle(handle, _) => Job::Watch(share.share(handle)),
            Self::Pipe(transport) => Job::Transport(share.share(transport), side.readiness()),
            Self::Waiter(waiter) => Job::Waited(fd, side, share.share(waiter)),
        }
    }

    pub(super) fn is_pipe(&self, transport: &Py<BaseTransport>) -> bool {
        matches!(self, Self::Pipe(subscriber) if subscriber.is(transport))
    }

    /// The number that `file` had, if it is the object that stood for the fd.
    fn number_of(&self, file: &Py<PyAny>) -> Option<RawFd> {
        match self {
            Self::Handle(_, Some(known)) if known.object.is(file) => Some(known.fd),
            _ => None,
        }
    }

    fn object(&self) -> &Py<PyAny> {
        match self {
            Self::Handle(handle, _) => handle.as_any(),
            Self::Pipe(transport) => transport.as_any(),
            Self::Waiter(waiter) => waiter,
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.object())?;
        match self {
            Self::Handle(_, Some(file)) => visit.call(&file.object),
            _ => Ok(()),
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

impl Sides {
    pub(super) fn number_of(&self, file: &Py<PyAny>) -> Option<RawFd> {
        [&self.reader, &self.writer].into_iter().flatten().find_map(|it| it.number_of(file))
    }

    pub(super) fn slot(&mut self, side: Side) -> &mut Option<Subscriber> {
        match side {
            Side::Reader => &mut self.reader,
            Side::Writer => &mut self.writer,
        }
    }

    /// A lone coroutine's wait needs only one report.
    pub(super) fn interest(&self) -> Interest {
        match (&self.reader, &self.writer) {
            (None, None) => Interest::NONE,
            (Some(Subscriber::Waiter(_)), None) => Interest::READ.with(Interest::ONCE),
            (None, Some(Subscriber::Waiter(_))) => Interest::WRITE.with(Interest::ONCE),
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
        for subscriber in reader {
            ready.push(subscriber.job(fd, Side::Reader, share));
        }
        let writer = self.writer.iter().filter(|_| readiness.writable());
        for subscriber in writer {
            ready.push(subscriber.job(fd, Side::Writer, share));
        }
    }
}

impl Watch {
    /// In which part whom the descriptor concerns, as `loop.dump()` tells it.
    pub(super) fn parts(&self) -> [Option<(&'static str, &Py<PyAny>)>; 2] {
        match self {
            Self::Sides(Sides { reader, writer }) => [
                reader.as_ref().map(|subscriber| ("reader", subscriber.object())),
                writer.as_ref().map(|subscriber| ("writer", subscriber.object())),
            ],
            Self::Transport(transport) => [Some(("transport", transport.as_any())), None],
            Self::Idle(weak) => [Some(("idle", weak.as_any())), None],
            Self::Accept(acceptor) => [Some(("listener", acceptor.as_any())), None],
            Self::Signals => [None, None],
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Sides(sides) => {
                sides.reader.iter().try_for_each(|subscriber| subscriber.traverse(visit))?;
                sides.writer.iter().try_for_each(|subscriber| subscriber.traverse(visit))
            }
            Self::Transport(transport) => visit.call(transport),
            Self::Idle(weak) => visit.call(weak),
            Self::Accept(acceptor) => visit.call(acceptor),
            Self::Signals => Ok(()),
        }
    }
}
