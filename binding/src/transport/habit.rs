//! What a connection's writes are like: by that, how long the next one waits for more.
//!
//! What a callback will write shows only afterwards, so it is taken for what the one before was.

use super::HIGH_WATER;
use crate::event_loop::Batch;

/// What is known of a connection's writes so far.
#[derive(Default)]
pub(super) struct Habit {
    /// The number of the batch of the last write.
    batch: u32,
    /// In that batch there were several.
    several: bool,
    /// Bytes that the kernel took since it last refused some; counted up to `MUCH`.
    taken: usize,
}

impl Habit {
    /// More than the default high-water mark is not held back, so that corking hides from no writer
    /// that it should pause.
    pub(super) const LIMIT: usize = HIGH_WATER;
    /// If the peer keeps up, more may be held back, since the writer would not have to pause: less
    /// than 768 KiB. So much sent at once costs a third less than in three parts, and a fifth less
    /// than 1 MiB at once, whatever the size of the writes and of the peer's reads.
    const LARGE: usize = 768 * 1024 - 1;
    /// More than a send buffer holds (`tcp_wmem`, tcp(7)): the peer must have read some of it.
    const MUCH: usize = 4 * 1024 * 1024;

    /// A write happens: whether it should wait for what may leave together with it.
    ///
    /// A callback that runs alone and writes once, a client's request or the answer to one, should
    /// send at once, and go on while the peer works. One that writes twice should not wake the peer
    /// for each.
    #[inline]
    pub(super) fn note_write(&mut self, batch: Batch) -> bool {
        let again = batch.number == self.batch;
        let before = std::mem::replace(&mut self.several, again);
        self.batch = batch.number;
        !batch.ends || again || before
    }

    /// How many bytes may wait.
    #[inline]
    pub(super) fn limit(&self) -> usize {
        if self.several && self.taken >= Self::MUCH { Self::LARGE } else { Self::LIMIT }
    }

    /// The kernel took `taken` bytes and refused `left`.
    #[inline]
    pub(super) fn sent(&mut self, taken: usize, left: usize) {
        self.taken = if left > 0 { 0 } else { (self.taken + taken).min(Self::MUCH) };
    }
}
