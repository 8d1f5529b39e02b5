//! The `Reactor`: an open loop's poller with what is watched, its waker and its signal self-pipe.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use ferroloop_engine::{Interest, Poller, Ready, Refused, Signals, Waker};

use super::watch::{Side, Sides, Subscriber, Watch};
use crate::cell::Share;
use crate::job::Job;

/// The descriptors of an open loop.
pub(super) struct Reactor {
    pub(super) poller: Poller<Watch>,
    /// Which the threads of the resolver wake as well.
    pub(super) waker: Arc<Waker>,
    signals: Option<Signals>,
}

/// What a new callback displaced; to be cancelled or dropped with the cell shut.
pub(super) struct Displaced {
    pub(super) subscriber: Option<Subscriber>,
    pub(super) watch: Option<Watch>,
}

impl Reactor {
    pub(super) fn open() -> io::Result<Self> {
        let mut poller = Poller::new()?;
        let waker = Arc::new(Waker::new()?);
        poller.watch_waker(&waker)?;
        Ok(Self { poller, waker, signals: None })
    }

    /// How many descriptors are watched on behalf of somebody.
    pub(super) fn descriptors(&self) -> usize {
        self.poller.iter().filter(|(_, watch)| !matches!(watch, Watch::Signals)).count()
    }

    /// Ends the poll the loop may be sleeping in. A write to the waker fails only if somebody
    /// closed it behind our back; then what the loop was to be woken for waits for its next event.
    #[inline]
    pub(super) fn wake(&self) {
        let _ = self.waker.wake();
    }

    /// Turns the poll's events into jobs, in the order the kernel reported them.
    ///
    /// After those of transports alone the next turn has no poll. Other events are Python's own
    /// affair: a callback whose descriptor stays ready runs in every iteration (S4.12).
    pub(super) fn gather(&mut self, ready: &mut Ready<Job>, share: Share<'_>) {
        let (mut transports, mut others) = (false, false);
        for (token, readiness, watch) in self.poller.events() {
            let is_transport = matches!(watch, Watch::Transport(_));
            transports |= is_transport;
            others |= !is_transport;
            match watch {
                Watch::Sides(sides) => {
                    sides.gather(token.fd(), readiness, ready, share);
                }
                Watch::Transport(transport) => {
                    ready.push(Job::Transport(share.share(transport), readiness));
                }
                Watch::Accept(acceptor) => ready.push(Job::Accept(share.share(acceptor))),
                Watch::Signals => ready.push(Job::Signals),
                // Not registered; at most an event from before it went idle.
                Watch::Idle(_) => {}
            }
        }
        if transports && !others {
            self.poller.skip_next_poll();
        }
    }

    pub(super) fn set_subscriber(
        &mut self,
        fd: RawFd,
        side: Side,
        subscriber: Subscriber,
    ) -> Result<Displaced, Refused<Option<Subscriber>>> {
        let Some((token, Watch::Sides(sides))) = self.poller.get_mut(fd) else {
            return self.insert_subscriber(fd, side, subscriber);
        };
        let old = sides.slot(side).replace(subscriber);
        let interest = sides.interest();
        // At once and not at the next poll: the fd may have been closed behind our back and its
        // number given out again, which only the kernel knows (S7.8).
        match self.poller.verify(token, interest) {
            Ok(()) => Ok(Displaced { subscriber: old, watch: None }),
            Err(error) => Err(self.withdraw_subscriber(fd, side, old, error)),
        }
    }

    fn insert_subscriber(
        &mut self,
        fd: RawFd,
        side: Side,
        subscriber: Subscriber,
    ) -> Result<Displaced, Refused<Option<Subscriber>>> {
        let mut sides = Sides::default();
        *sides.slot(side) = Some(subscriber);
        let interest = sides.interest();
        match self.poller.insert(fd, interest, Watch::Sides(sides)) {
            Ok((_, watch)) => Ok(Displaced { subscriber: None, watch }),
            Err(Refused { error, payload: Watch::Sides(mut sides) }) => {
                Err(Refused { error, payload: sides.slot(side).take() })
            }
            Err(Refused { error, .. }) => Err(Refused { error, payload: None }),
        }
    }

    /// The kernel does not want the subscriber: the former one is back in its place.
    fn withdraw_subscriber(
        &mut self,
        fd: RawFd,
        side: Side,
        old: Option<Subscriber>,
        error: io::Error,
    ) -> Refused<Option<Subscriber>> {
        let Some((token, Watch::Sides(sides))) = self.poller.get_mut(fd) else {
            return Refused { error, payload: old };
        };
        let payload = std::mem::replace(sides.slot(side), old);
        if sides.interest().is_none() {
            // It was resting, and holds no reference.
            self.poller.remove(token);
        }
        Refused { error, payload }
    }

    /// Takes the subscriber out if `wanted` says so of it.
    pub(super) fn take_subscriber(
        &mut self,
        fd: RawFd,
        side: Side,
        wanted: impl FnOnce(&Subscriber) -> bool,
    ) -> Option<Subscriber> {
        let Some((token, Watch::Sides(sides))) = self.poller.get_mut(fd) else {
            return None;
        };
        let subscriber = sides.slot(side).take_if(|subscriber| wanted(subscriber))?;
        let interest = sides.interest();
        if !interest.is_none() {
            self.poller.set_interest(token, interest);
        } else if !self.poller.is_resting(fd) {
            // The payload holds no reference any more: nothing of Python's is dropped here.
            self.poller.remove(token);
        }
        Some(subscriber)
    }

    /// The write end of the signal self-pipe, made on first use; and who was watched under the
    /// number of its read end, closed behind our back, to be dropped with the cell shut.
    pub(super) fn signal_fd(&mut self) -> io::Result<(RawFd, Option<Watch>)> {
        if let Some(pipe) = &self.signals {
            return Ok((pipe.write_fd().as_raw_fd(), None));
        }
        let pipe = Signals::new()?;
        let read_end = pipe.read_fd().as_raw_fd();
        let inserted = self.poller.insert(read_end, Interest::READ, Watch::Signals);
        let (_, displaced) = inserted.map_err(|refused| refused.error)?;
        Ok((self.signals.insert(pipe).write_fd().as_raw_fd(), displaced))
    }

    /// The numbers of the signals that wait in the self-pipe.
    pub(super) fn drain_signals(&self) -> io::Result<Vec<u8>> {
        let mut numbers = Vec::new();
        if let Some(pipe) = &self.signals {
            pipe.drain(&mut numbers)?;
        }
        Ok(numbers)
    }
}
