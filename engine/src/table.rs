//! The poller's table: one slot per descriptor number.

use std::io;
use std::os::fd::RawFd;

use rustix::io::Errno;

use crate::readiness::Interest;
use crate::token::Token;

/// What is known of one descriptor number.
#[derive(Debug)]
pub(crate) struct Slot<W> {
    /// Moves on with every registration and removal; see [`Token`].
    pub(crate) generation: u32,
    /// What the host wants watched.
    pub(crate) wanted: Interest,
    /// What the kernel watches.
    pub(crate) armed: Interest,
    /// Whether the slot is on the poller's list of those to compare the two.
    pub(crate) dirty: bool,
    /// For whom it is watched. None: the slot is free.
    pub(crate) payload: Option<W>,
}

impl<W> Slot<W> {
    const fn free() -> Self {
        Self {
            generation: 0,
            wanted: Interest::NONE,
            armed: Interest::NONE,
            dirty: false,
            payload: None,
        }
    }

    /// Puts the slot's number on the list if the kernel has to be told something, and the number is
    /// not there yet.
    #[inline]
    pub(crate) fn mark_dirty(&mut self, fd: RawFd, list: &mut Vec<RawFd>) {
        if self.wanted != self.armed && !self.dirty {
            self.dirty = true;
            list.push(fd);
        }
    }

    /// The kernel has made a report; if that was the only one it owed, the registration rests. A
    /// change that is still on its way to the kernel stays wanted.
    #[inline]
    pub(crate) fn reported(&mut self) {
        if self.armed.contains(Interest::ONCE) {
            if self.wanted == self.armed {
                self.wanted = Interest::ONCE;
            }
            self.armed = Interest::ONCE;
        }
    }

    /// The kernel has forgotten the registration.
    pub(crate) fn disarmed(&mut self) {
        self.armed = Interest::NONE;
        if self.wanted.is_resting() {
            self.wanted = Interest::NONE;
        }
    }

    /// Ends the registration as far as this table goes, making its token void.
    pub(crate) fn vacate(&mut self) -> Option<W> {
        let payload = self.payload.take()?;
        self.generation = self.generation.wrapping_add(1);
        self.wanted = Interest::NONE;
        self.armed = Interest::NONE;
        Some(payload)
    }
}

/// Slots, indexed by descriptor number.
#[derive(Debug)]
pub(crate) struct Table<W> {
    slots: Vec<Slot<W>>,
}

impl<W> Table<W> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new() }
    }

    #[inline]
    pub(crate) fn get(&self, fd: RawFd) -> Option<&Slot<W>> {
        self.slots.get(usize::try_from(fd).ok()?)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, fd: RawFd) -> Option<&mut Slot<W>> {
        self.slots.get_mut(usize::try_from(fd).ok()?)
    }

    /// The slot a token means, if its registration still stands.
    #[inline]
    pub(crate) fn current(&self, token: Token) -> Option<&Slot<W>> {
        self.get(token.fd())
            .filter(|slot| slot.generation == token.generation() && slot.payload.is_some())
    }

    /// The slot a token means, to be changed, if its registration still stands.
    #[inline]
    pub(crate) fn current_mut(&mut self, token: Token) -> Option<&mut Slot<W>> {
        self.get_mut(token.fd())
            .filter(|slot| slot.generation == token.generation() && slot.payload.is_some())
    }

    /// Makes room for the slot of `fd`. Some containers allow numbers up to a thousand million, and
    /// for one so high there may be no memory: `ENOMEM`, and no abort.
    pub(crate) fn make(&mut self, fd: RawFd) -> io::Result<&mut Slot<W>> {
        let index = usize::try_from(fd).map_err(|_| Errno::BADF)?;
        let missing = (index + 1).saturating_sub(self.slots.len());
        self.slots.try_reserve(missing).map_err(|_| Errno::NOMEM)?;
        self.slots.extend(std::iter::repeat_with(Slot::free).take(missing));
        self.slots.get_mut(index).ok_or_else(|| Errno::NOMEM.into())
    }

    /// Every slot with its number.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (RawFd, &mut Slot<W>)> {
        (0..).zip(&mut self.slots)
    }

    /// The payloads with their descriptor numbers, in the order of these.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = (RawFd, &W)> {
        (0..).zip(&self.slots).filter_map(|(fd, slot)| Some((fd, slot.payload.as_ref()?)))
    }
}
