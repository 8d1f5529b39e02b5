//! The outbox: bytes the application has written and the kernel has not taken yet.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::mem;
use std::os::fd::BorrowedFd;

use crate::channel::Channel;

/// Buffers gathered by one `sendmsg`: enough to amortise the call, little enough for the stack.
const GATHERED: usize = 64;

/// Bytes of several buffers that are copied together for one `send`: up to here that takes less
/// time than what the kernel does to gather them.
const JOINED: usize = 2048;

/// Bytes after which a flush ends although the kernel would take more: a peer that reads as fast as
/// we write must not keep the loop from everybody else (S4.14). More than kernels hold, so that
/// what is left means that there was no room, or such a peer.
const TURN: usize = 16 << 20;

/// Room for buffers kept while empty: thousands of idle connections pay for it.
const KEPT: usize = 8;

/// Buffers on their way out, in order, kept whole until their last byte is sent.
///
/// Buffers are never dropped in here: [`flush`](Outbox::flush), [`take_sent`](Outbox::take_sent)
/// and [`clear`](Outbox::clear) move them out, because dropping one may be the host's business.
#[derive(Debug)]
pub struct Outbox<B> {
    buffers: VecDeque<B>,
    /// How much of the first buffer is sent.
    sent: usize,
    /// Bytes not sent yet, of all buffers.
    bytes: usize,
}

impl<B: AsRef<[u8]>> Outbox<B> {
    /// An empty outbox, which holds no memory.
    pub const fn new() -> Self {
        Self { buffers: VecDeque::new(), sent: 0, bytes: 0 }
    }

    /// Appends a buffer. An empty one is legal and leaves with the next flush.
    #[inline]
    pub fn push(&mut self, buffer: B) {
        self.bytes += buffer.as_ref().len();
        self.buffers.push_back(buffer);
    }

    /// Bytes not sent yet.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is left to send.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Buffers not sent yet, the first of them perhaps in part.
    #[inline]
    pub fn len_buffers(&self) -> usize {
        self.buffers.len()
    }

    /// The first buffer, and how much of it is sent.
    #[inline]
    pub fn front(&self) -> Option<(&B, usize)> {
        self.buffers.front().map(|first| (first, self.sent))
    }

    /// Notes that the host has sent `count` more bytes of the first buffer by itself, and moves
    /// that out after its last byte.
    #[inline]
    pub fn take_sent(&mut self, count: usize) -> Option<B> {
        self.bytes = self.bytes.saturating_sub(count);
        self.sent += count;
        self.pop_sent()
    }

    fn pop_sent(&mut self) -> Option<B> {
        let len = self.buffers.front()?.as_ref().len();
        if self.sent < len {
            return None;
        }
        self.sent -= len;
        self.buffers.pop_front()
    }

    /// Sends what the kernel takes, without blocking, and moves the buffers that are through into
    /// `done`. Unless the outbox [is empty](Outbox::is_empty) then, go on when the descriptor is
    /// writable.
    ///
    /// A single buffer goes by `send(2)` or `write(2)`, and so do several that are small; others go
    /// together by `sendmsg(2)` or `writev(2)`. A short count means that the kernel is full, so it
    /// is not asked again; otherwise it is, until everything has left, or many megabytes have.
    ///
    /// # Errors
    ///
    /// Those of `send(2)` or `write(2)`, `EPIPE` and `ECONNRESET` above all. The outbox keeps what
    /// is unsent.
    pub fn flush(
        &mut self,
        channel: Channel,
        fd: BorrowedFd<'_>,
        done: &mut Vec<B>,
    ) -> io::Result<()> {
        self.advance(0, done);
        let mut total = 0;
        while self.bytes > 0 && total < TURN {
            let (offered, sent) = self.send_some(channel, fd)?;
            self.advance(sent, done);
            if sent < offered {
                break;
            }
            total += sent;
        }
        if self.bytes == 0 {
            self.clear(done);
        }
        Ok(())
    }

    /// One system call: how much was offered, how much the kernel took. The first buffer has bytes
    /// to send.
    fn send_some(&self, channel: Channel, fd: BorrowedFd<'_>) -> io::Result<(usize, usize)> {
        if self.buffers.len() > 1 {
            return if self.bytes <= JOINED {
                self.send_joined(channel, fd)
            } else {
                self.send_gathered(channel, fd)
            };
        }
        let unsent = self.unsent().next().unwrap_or_default();
        Ok((unsent.len(), channel.send(fd, unsent)?.unwrap_or(0)))
    }

    fn send_joined(&self, channel: Channel, fd: BorrowedFd<'_>) -> io::Result<(usize, usize)> {
        let mut joined = [0; JOINED];
        let mut room = joined.as_mut_slice();
        for unsent in self.unsent() {
            if unsent.len() > room.len() {
                break;
            }
            room.write_all(unsent)?;
        }
        let offered = JOINED - room.len();
        let sent = channel.send(fd, joined.get(..offered).unwrap_or_default())?;
        Ok((offered, sent.unwrap_or(0)))
    }

    fn send_gathered(&self, channel: Channel, fd: BorrowedFd<'_>) -> io::Result<(usize, usize)> {
        let mut slices = [IoSlice::new(&[]); GATHERED];
        let mut offered = 0;
        for (slice, unsent) in slices.iter_mut().zip(self.unsent()) {
            offered += unsent.len();
            *slice = IoSlice::new(unsent);
        }
        if offered <= JOINED {
            return self.send_joined(channel, fd);
        }
        let used = self.buffers.len().min(GATHERED);
        let sent = channel.send_gathered(fd, slices.get(..used).unwrap_or_default())?;
        Ok((offered, sent.unwrap_or(0)))
    }

    /// Of each buffer what is not sent yet.
    fn unsent(&self) -> impl Iterator<Item = &[u8]> {
        let mut sent = self.sent;
        self.buffers
            .iter()
            .map(move |buffer| buffer.as_ref().get(mem::take(&mut sent)..).unwrap_or_default())
    }

    /// Moves what has been sent into `done`, and what has nothing to send.
    fn advance(&mut self, sent: usize, done: &mut Vec<B>) {
        self.bytes = self.bytes.saturating_sub(sent);
        self.sent += sent;
        done.extend(std::iter::from_fn(|| self.pop_sent()));
    }

    /// Gives up what is unsent: moves every buffer into `done`.
    pub fn clear(&mut self, done: &mut Vec<B>) {
        done.extend(self.buffers.drain(..));
        self.buffers.shrink_to(KEPT);
        self.sent = 0;
        self.bytes = 0;
    }

    /// The buffers with unsent bytes, first to go first.
    pub fn iter(&self) -> impl Iterator<Item = &B> {
        self.buffers.iter()
    }
}

impl<B: AsRef<[u8]>> Default for Outbox<B> {
    fn default() -> Self {
        Self::new()
    }
}
