//! epoll, edge-triggered for both directions: registered once and never changed, so that the load
//! costs the fewest system calls. Who is told must read or write until a short count.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

const BATCH: usize = 512;
const PATIENCE: Duration = Duration::from_secs(5);
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    /// A closed fd leaves by itself.
    pub(crate) fn add(&self, source: impl AsFd, key: usize) -> io::Result<()> {
        let wanted = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(key as u64);
        Ok(epoll::add(&self.epoll, source, data, wanted)?)
    }

    /// The keys that are ready.
    pub(crate) fn wait(&mut self) -> io::Result<impl Iterator<Item = usize>> {
        self.poll(None)?;
        Ok(self.ready())
    }

    /// The keys that are ready, of which there must be some before the peer counts as stuck.
    pub(crate) fn wait_for_answers(&mut self) -> io::Result<impl Iterator<Item = usize>> {
        self.poll(Some(PATIENCE.try_into().map_err(io::Error::other)?))?;
        if self.events.is_empty() {
            return Err(io::Error::other("no answer for 5 s"));
        }
        Ok(self.ready())
    }

    /// The same without sleeping: what the answers take is the server's time alone, and a core's.
    pub(crate) fn poll_for_answers(&mut self) -> io::Result<impl Iterator<Item = usize>> {
        let start = Instant::now();
        while self.events.is_empty() {
            self.poll(Some(AT_ONCE))?;
            if start.elapsed() > PATIENCE {
                return Err(io::Error::other("no answer for 5 s"));
            }
        }
        Ok(self.ready())
    }

    fn poll(&mut self, timeout: Option<Timespec>) -> io::Result<()> {
        let free = spare_capacity(&mut self.events);
        epoll::wait(&self.epoll, free, timeout.as_ref())?;
        Ok(())
    }

    fn ready(&mut self) -> impl Iterator<Item = usize> {
        let key = |event: epoll::Event| usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
        self.events.drain(..).map(key)
    }
}
