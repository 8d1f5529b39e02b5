//! What a loop has done and what it holds, for people who want to know.

use std::os::fd::RawFd;

use ferroloop_engine::{Histogram, clock};
use pyo3::prelude::*;

use super::reactor::Reactor;
use super::{EventLoop, LoopState};
use crate::cell::Share;
use crate::handle::Handle;

/// `ferroloop._observe.stats` tells what each number means.
#[derive(IntoPyObject)]
pub(super) struct Stats {
    iterations: u64,
    callbacks: u64,
    waits: u64,
    idle: f64,
    ready: usize,
    timers: usize,
    descriptors: usize,
    lookups: usize,
    lateness: Distribution,
    busy: Distribution,
}

/// A histogram as Prometheus has them.
#[derive(IntoPyObject)]
struct Distribution {
    count: u64,
    sum: f64,
    max: f64,
    buckets: Vec<(f64, u64)>,
}

/// What `ferroloop._observe.dump` describes.
#[derive(IntoPyObject)]
pub(super) struct Inventory {
    /// Whose turn it is.
    ready: Vec<Py<PyAny>>,
    timers: Vec<Py<Handle>>,
    /// Descriptor, in which part, and whom it concerns.
    watched: Vec<(RawFd, &'static str, Py<PyAny>)>,
}

impl Distribution {
    fn of(histogram: &Histogram) -> Self {
        let buckets: Vec<_> = histogram.buckets().collect();
        Self {
            count: buckets.last().map_or(0, |&(_, count)| count),
            sum: histogram.total(),
            max: histogram.most(),
            buckets,
        }
    }
}

impl EventLoop {
    pub(super) fn count(&self, py: Python<'_>) -> Stats {
        self.cell.with(py, |state, _| state.count())
    }

    pub(super) fn take_inventory(&self, py: Python<'_>) -> Inventory {
        self.cell.with(py, |state, share| state.take_inventory(share))
    }
}

impl LoopState {
    fn count(&self) -> Stats {
        let Self { ready, timers, idle, lookups, .. } = self;
        Stats {
            iterations: ready.batches(),
            callbacks: ready.taken(),
            waits: idle.waits(),
            idle: idle.time(clock::now()),
            ready: ready.len(),
            timers: timers.pending(),
            descriptors: self.reactor.as_ref().map_or(0, Reactor::descriptors),
            lookups: lookups.len(),
            lateness: Distribution::of(timers.lateness()),
            busy: Distribution::of(idle.busy()),
        }
    }

    fn take_inventory(&self, share: Share<'_>) -> Inventory {
        let watches = self.reactor.iter().flat_map(|reactor| reactor.poller.iter());
        let parts = watches.flat_map(|(fd, watch)| {
            let parts = watch.parts().into_iter().flatten();
            parts.map(move |(part, object)| (fd, part, object))
        });
        Inventory {
            ready: self
                .ready
                .iter()
                .filter_map(|job| job.subject())
                .map(|it| share.share(it))
                .collect(),
            timers: self.timers.iter().map(|timer| share.share(&timer.0)).collect(),
            watched: parts.map(|(fd, part, object)| (fd, part, share.share(object))).collect(),
        }
    }
}
