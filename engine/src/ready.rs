//! The ready queue: first in, first out, run in batches.

use std::collections::VecDeque;

/// Jobs waiting for their turn, in the order they were queued (S4.9).
///
/// A loop runs what is queued now and not what that running adds (S4.6, S4.7). So the whole queue
/// is taken out as one batch and an empty one put in its place: one operation per turn instead of
/// one per job. Two deques take turns, so nothing is allocated once both have grown to size.
///
/// Nothing is dropped in here: jobs leave by [`Ready::take_batch`] or [`Ready::drain`] only.
#[derive(Debug)]
pub struct Ready<T> {
    queue: VecDeque<T>,
    spare: VecDeque<T>,
}

impl<T> Ready<T> {
    /// Room kept in the spare deque. One burst of a million jobs must not hold its memory for the
    /// rest of the process; a turn of this many jobs costs far more than one allocation.
    const KEPT: usize = 16_384;

    /// An empty queue.
    pub const fn new() -> Self {
        Self { queue: VecDeque::new(), spare: VecDeque::new() }
    }

    /// Appends a job.
    #[inline]
    pub fn push(&mut self, job: T) {
        self.queue.push_back(job);
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many jobs wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Takes all jobs queued so far, to be run from the front.
    ///
    /// Give the deque back with [`Ready::finish_batch`], also if it was not run to the end.
    #[inline]
    pub fn take_batch(&mut self) -> VecDeque<T> {
        std::mem::replace(&mut self.queue, std::mem::take(&mut self.spare))
    }

    /// Takes a batch's deque back. Jobs still in it go before those queued meanwhile, in order, as
    /// when an exit request cut the batch short (S2.20).
    pub fn finish_batch(&mut self, mut rest: VecDeque<T>) {
        if !rest.is_empty() {
            rest.append(&mut self.queue);
            std::mem::swap(&mut self.queue, &mut rest);
        }
        rest.shrink_to(Self::KEPT);
        self.spare = rest;
    }

    /// The waiting jobs, first to run first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter()
    }

    /// Takes out every waiting job, for a loop that closes.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<'_, T> {
        self.queue.drain(..)
    }
}

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Self::new()
    }
}
