//! A stream of bytes over a socket or one end of a pipe: what it may still do, bytes in and out.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use crate::channel::Channel;
use crate::outbox::Outbox;
use crate::readiness::Interest;
use crate::sys;

/// The life of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reads and writes.
    Open,
    /// Reads no more, takes no more; what is queued still goes out.
    Closing,
    /// Over. Nothing comes in or goes out.
    Lost,
}

/// From this size on, receiving into an oversized `bytes` and shrinking it is cheaper than copying
/// out of the scratch buffer.
const PLENTY: usize = 16 * 1024;

/// What reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes, at the beginning of what was lent.
    Data(usize),
    /// The peer has shut down its side: nothing will follow.
    Eof,
    /// Nothing there yet.
    NotReady,
}

/// How far the end of our own side has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Not asked for.
    None,
    /// Asked for; the outbox goes first.
    Queued,
    /// The kernel has been told.
    Sent,
}

/// The state of one connection. The descriptor stays with the host, which lends it to each call.
#[derive(Debug)]
pub struct Stream<B> {
    channel: Channel,
    phase: Phase,
    reading: bool,
    eof_received: bool,
    /// The last read brought plenty, and still did not fill what it was lent.
    in_place: bool,
    ending: Ending,
    outbox: Outbox<B>,
}

impl<B: AsRef<[u8]>> Stream<B> {
    /// A connection that is open and not yet reading.
    pub const fn new(channel: Channel) -> Self {
        Self {
            channel,
            phase: Phase::Open,
            reading: false,
            eof_received: false,
            in_place: false,
            ending: Ending::None,
            outbox: Outbox::new(),
        }
    }

    /// Where in its life the stream is.
    #[inline]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether bytes are asked for: not paused, and nothing has ended it.
    #[inline]
    pub fn is_reading(&self) -> bool {
        self.reading && self.phase == Phase::Open && !self.eof_received
    }

    /// Whether the peer has shut down its side.
    #[inline]
    pub const fn eof_received(&self) -> bool {
        self.eof_received
    }

    /// Forgets the end of the peer's side, on which the host could not act: the next read meets it
    /// again.
    pub const fn forget_eof(&mut self) {
        self.eof_received = false;
    }

    /// Another reader takes over. If reading is paused, the new reader has not heard of the end of
    /// the peer's side: the first read after resuming meets it again.
    pub fn change_reader(&mut self) {
        self.eof_received &= self.reading;
    }

    /// Whether our side was asked to end, be it under way or done: no more writes.
    #[inline]
    pub fn eof_written(&self) -> bool {
        self.ending != Ending::None
    }

    /// The bytes that still have to go out.
    #[inline]
    pub const fn outbox(&self) -> &Outbox<B> {
        &self.outbox
    }

    /// What to watch the descriptor for. Ask after a [`flush`](Stream::flush): until then, unsent
    /// bytes do not mean that the kernel would not take them.
    #[inline]
    pub fn interest(&self) -> Interest {
        let mut interest = Interest::NONE;
        if self.is_reading() || self.minds_readers() {
            interest = interest.with(Interest::READ);
        }
        if !self.outbox.is_empty() {
            interest = interest.with(Interest::WRITE);
        }
        interest
    }

    /// Whether the reader of a pipe is watched: while bytes drain it may still go (S31.5).
    fn minds_readers(&self) -> bool {
        self.channel == Channel::WriteEnd && self.reading && self.phase != Phase::Lost
    }

    /// Starts asking for bytes, or asks again. Whether that changed anything (S16.24).
    pub fn resume_reading(&mut self) -> bool {
        let changes = !self.reading && self.phase == Phase::Open;
        self.reading |= changes;
        changes
    }

    /// Stops asking for bytes. Whether that changed anything (S16.24).
    pub fn pause_reading(&mut self) -> bool {
        let changes = self.reading && self.phase == Phase::Open;
        self.reading &= !changes;
        changes
    }

    /// Whether the next read is likely to bring so much that it should go straight to the memory in
    /// which the bytes will stay ([`recv_uninit`](Stream::recv_uninit)), and not to a scratch
    /// buffer that they are copied out of.
    ///
    /// The last read tells. One that filled all it was lent calls for a larger scratch buffer
    /// instead.
    #[inline]
    pub const fn reads_in_place(&self) -> bool {
        self.in_place
    }

    /// Receives into `scratch` what is there, at most its length.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)` or `read(2)`: `ECONNRESET`, `ETIMEDOUT`, and `EIO` of a terminal whose
    /// other side has gone.
    pub fn recv(&mut self, fd: BorrowedFd<'_>, scratch: &mut [u8]) -> io::Result<Read> {
        self.recv_uninit(fd, sys::room(scratch))
    }

    /// Receives what is there into uninitialised memory, in which the host will keep the bytes. As
    /// many as [`Read::Data`] says are initialised afterwards.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Stream::recv).
    pub fn recv_uninit(
        &mut self,
        fd: BorrowedFd<'_>,
        room: &mut [MaybeUninit<u8>],
    ) -> io::Result<Read> {
        let size = room.len();
        Ok(match self.channel.recv(fd, room)? {
            None => Read::NotReady,
            Some(0) => {
                self.eof_received = true;
                Read::Eof
            }
            Some(received) => {
                self.in_place = (PLENTY..size).contains(&received);
                Read::Data(received)
            }
        })
    }

    /// Queues bytes to be sent by the next [`flush`](Stream::flush). A stream that takes no more
    /// gives them back: it has ended its side, or is lost.
    #[inline]
    pub fn write(&mut self, buffer: B) -> Option<B> {
        if self.takes_writes() {
            self.outbox.push(buffer);
            None
        } else {
            Some(buffer)
        }
    }

    fn takes_writes(&self) -> bool {
        match self.phase {
            Phase::Open => !self.eof_written(),
            // A closing socket takes writes until its host declares it lost. The host does that
            // after it has told the writer of the drained outbox: what the writer has kept back
            // until then still goes out. asyncio's closing pipes take nothing.
            Phase::Closing => self.channel == Channel::Socket && !self.eof_written(),
            Phase::Lost => false,
        }
    }

    /// Sends what the kernel takes, moving buffers that are through into `done`, and ends our side
    /// if that was asked for and nothing is left.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`, `write(2)` and `shutdown(2)`.
    pub fn flush(&mut self, fd: BorrowedFd<'_>, done: &mut Vec<B>) -> io::Result<()> {
        self.outbox.flush(self.channel, fd, done)?;
        self.end_if_drained(fd)
    }

    /// Ends our side once the outbox is empty; the peer then reads end of file. A second call, or
    /// one while closing, does nothing (S16.23). For sockets: a pipe ends by being closed.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`: `ENOTCONN` if the peer has gone.
    pub fn write_eof(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        if self.phase == Phase::Open && self.ending == Ending::None {
            self.ending = Ending::Queued;
        }
        self.end_if_drained(fd)
    }

    /// Ends our side if that was asked for and nothing is left. A closing socket does it by being
    /// closed.
    fn end_if_drained(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        if self.ending != Ending::Queued || self.phase != Phase::Open || !self.outbox.is_empty() {
            return Ok(());
        }
        self.ending = Ending::Sent;
        sys::shutdown_write(fd)
    }

    /// Open to Closing: no more reading, what is queued still goes out (S16.19). Whether this call
    /// did it.
    pub fn close(&mut self) -> bool {
        let closes = self.phase == Phase::Open;
        if closes {
            self.phase = Phase::Closing;
        }
        closes
    }

    /// To Lost, from wherever it was: what is queued moves into `done`, unsent. Whether this call
    /// did it, which is true exactly once (S16.21).
    pub fn lose(&mut self, done: &mut Vec<B>) -> bool {
        let loses = self.phase != Phase::Lost;
        self.phase = Phase::Lost;
        self.outbox.clear(done);
        loses
    }
}
