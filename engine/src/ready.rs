//! The ready queue: first in, first out, run in batches.

use std::collections::VecDeque;

/// Jobs waiting for their turn, in the order they were queued (S4.9).
///
/// A loop runs what is queued now and not what that running adds (S4.6, S4.7): it asks once for the
/// size of the [`batch`](Ready::batch) and then [pops](Ready::pop) as many jobs. What a batch that
/// was cut short leaves is still in front (S2.20).
///
/// Nothing is dropped in here: jobs leave by [`Ready::pop`] only.
#[derive(Debug)]
pub struct Ready<T> {
    queue: VecDeque<T>,
    batches: u64,
    taken: u64,
}

impl<T> Ready<T> {
    /// Room that is kept. One burst of a million jobs must not hold its memory for the rest of the
    /// process; a turn of this many jobs costs far more than one allocation.
    const KEPT: usize = 16_384;

    /// An empty queue.
    pub const fn new() -> Self {
        Self { queue: VecDeque::new(), batches: 0, taken: 0 }
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

    /// Begins a batch: how many jobs it has. Gives back the room of a burst that is over.
    #[inline]
    pub fn batch(&mut self) -> usize {
        if self.queue.capacity() > Self::KEPT && self.queue.len() < Self::KEPT {
            self.queue.shrink_to(Self::KEPT);
        }
        self.batches += 1;
        self.queue.len()
    }

    /// Takes the job whose turn it is.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let job = self.queue.pop_front()?;
        self.taken += 1;
        Some(job)
    }

    /// How many batches there have been.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// How many jobs have been taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The waiting jobs, first to run first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter()
    }
}

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Self::new()
    }
}
