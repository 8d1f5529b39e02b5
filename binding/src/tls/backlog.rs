//! Application data that OpenSSL has not taken yet.

use std::collections::VecDeque;

use pyo3::pybacked::PyBackedBytes;

use crate::cell::Share;

#[derive(Default)]
pub(super) struct Backlog {
    chunks: VecDeque<PyBackedBytes>,
    /// How much of the first chunk OpenSSL has.
    sent: usize,
    length: usize,
}

impl Backlog {
    pub(super) fn push(&mut self, chunk: PyBackedBytes) {
        self.length += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// In bytes.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The most records it can become: a chunk begins a new one.
    pub(super) fn most_records(&self, record: usize) -> usize {
        self.length / record + self.chunks.len()
    }

    /// What is left of the first chunk.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.chunks.front().and_then(|chunk| chunk.get(self.sent..))
    }

    /// The first chunk, and how much of it is gone.
    pub(super) fn share_first(&self, share: Share<'_>) -> Option<(PyBackedBytes, usize)> {
        self.chunks.front().map(|chunk| (share.share_bytes(chunk), self.sent))
    }

    /// OpenSSL has `count` more bytes of the first chunk. Dropping a finished one runs no Python; see
    /// `Chunk`.
    pub(super) fn advance(&mut self, count: usize) {
        self.length = self.length.saturating_sub(count);
        self.sent += count;
        if self.chunks.front().is_some_and(|chunk| self.sent >= chunk.len()) {
            self.chunks.pop_front();
            self.sent = 0;
        }
    }
}
