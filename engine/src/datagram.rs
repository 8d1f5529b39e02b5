//! Datagrams: messages that come with their sender's address and leave whole or not at all.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use crate::address::Address;
use crate::sys;

/// Datagrams per flush: a long queue must not keep the loop from everybody else (S4.14).
const SENDS: usize = 64;

/// Has `recvmsg(2)`, `sendmsg(2)` and their like not wait, whatever the socket's own mode is: that
/// belongs to everybody who shares it, and any of them may change it.
pub const DONTWAIT: i32 = libc::MSG_DONTWAIT;

/// Room kept while empty, as little as an idle outbox keeps.
const KEPT: usize = 8;

/// Where a datagram goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Destination<H> {
    /// To the peer that the socket is connected to.
    Peer,
    /// To an address.
    Address(Address),
    /// As only the host can send it: to a name that has to be looked up or a family this crate does
    /// not know, or with ancillary data.
    Host(H),
}

/// One message and where it goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Datagram<B, H> {
    /// The message. An empty one is a message, too.
    pub data: B,
    /// Its destination.
    pub to: Destination<H>,
}

impl<B: AsRef<[u8]>, H> Datagram<B, H> {
    /// Sends it (`send(2)`, `sendto(2)`); false if the kernel has no room for it now. One for the
    /// host is not sent here, and reported as if there were no room.
    ///
    /// # Errors
    ///
    /// Those of `sendto(2)`: `EMSGSIZE`, `ENETUNREACH`, `EDESTADDRREQ`..., and `ECONNREFUSED` for
    /// an earlier datagram that nobody wanted. The socket goes on working.
    #[inline]
    pub fn send(&self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        let data = self.data.as_ref();
        let sent = match &self.to {
            Destination::Peer => sys::send(socket, data)?,
            Destination::Address(address) => address.send(socket, data)?,
            Destination::Host(_) => None,
        };
        Ok(sent.is_some())
    }
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Everything is with the kernel.
    Done,
    /// Something is left: go on when the descriptor is writable.
    Blocked,
    /// It is the host's turn: [`pop`](Datagrams::pop) the first, which is for the host to send.
    Host,
}

/// Datagrams on their way out, in order.
///
/// None is dropped in here: [`flush`](Datagrams::flush) and [`clear`](Datagrams::clear) move them
/// out, because dropping one may be the host's business.
#[derive(Debug)]
pub struct Datagrams<B, H> {
    queue: VecDeque<Datagram<B, H>>,
    /// What each datagram counts besides its bytes.
    overhead: usize,
    bytes: usize,
}

impl<B: AsRef<[u8]>, H> Datagrams<B, H> {
    /// An empty queue, which holds no memory. Each datagram will count `overhead` bytes besides its
    /// own, so that empty ones press on the writer, too (S27.7).
    pub const fn new(overhead: usize) -> Self {
        Self { queue: VecDeque::new(), overhead, bytes: 0 }
    }

    /// What waits, in bytes.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no datagram waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Appends a datagram.
    pub fn push(&mut self, datagram: Datagram<B, H>) {
        self.bytes += self.weight(&datagram);
        self.queue.push_back(datagram);
    }

    /// Puts the datagram taken by [`pop`](Datagrams::pop) back to where it was.
    pub fn push_front(&mut self, datagram: Datagram<B, H>) {
        self.bytes += self.weight(&datagram);
        self.queue.push_front(datagram);
    }

    /// Takes the first datagram out.
    pub fn pop(&mut self) -> Option<Datagram<B, H>> {
        let datagram = self.queue.pop_front()?;
        self.bytes -= self.weight(&datagram);
        Some(datagram)
    }

    fn weight(&self, datagram: &Datagram<B, H>) -> usize {
        datagram.data.as_ref().len() + self.overhead
    }

    /// Sends what the kernel takes, without blocking, and moves what is through into `done`.
    ///
    /// # Errors
    ///
    /// Those of [`Datagram::send`]: the datagram that failed is in `done` as well, the rest is kept
    /// for the next flush (S27.9).
    pub fn flush(
        &mut self,
        socket: BorrowedFd<'_>,
        done: &mut Vec<Datagram<B, H>>,
    ) -> io::Result<Delivery> {
        for _ in 0..SENDS {
            match self.queue.front() {
                None => break,
                Some(Datagram { to: Destination::Host(_), .. }) => return Ok(Delivery::Host),
                Some(first) => match first.send(socket) {
                    Ok(false) => return Ok(Delivery::Blocked),
                    outcome => {
                        done.extend(self.pop());
                        outcome?;
                    }
                },
            }
        }
        if !self.queue.is_empty() {
            return Ok(Delivery::Blocked);
        }
        self.queue.shrink_to(KEPT);
        Ok(Delivery::Done)
    }

    /// Gives up what waits: moves every datagram into `done`.
    pub fn clear(&mut self, done: &mut Vec<Datagram<B, H>>) {
        done.extend(self.queue.drain(..));
        self.bytes = 0;
    }

    /// What waits, first to go first.
    pub fn iter(&self) -> impl Iterator<Item = &Datagram<B, H>> {
        self.queue.iter()
    }
}

/// Receives one datagram: its length and where it came from. What does not fit into `buffer` is
/// lost. `None` if there is none.
///
/// # Errors
///
/// Those of `recvfrom(2)`: `ECONNREFUSED` above all, for a datagram that was sent and nobody
/// wanted. The socket goes on working.
#[inline]
pub fn receive_datagram(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, Address)>> {
    let received = sys::recv_from(socket, buffer)?;
    Ok(received.map(|(length, sender)| (length, Address::from_option(sender))))
}
