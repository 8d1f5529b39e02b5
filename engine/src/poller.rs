//! The poller: which descriptors are watched, for what, and for whom.

mod steps;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Pid, getpid};

use crate::pace::Pace;
use crate::readiness::Interest;
use crate::sys::{self, Kernel};
use crate::table::Table;
use crate::token::Token;
use crate::wait::Wait;
use crate::waker::{WakeFd, Waker};

/// The waker's token: no descriptor has this number, so no slot answers to it.
const WAKER: Token = Token::new(-1, u32::MAX);

/// Descriptors under watch, each with a payload `W` of the host.
///
/// The table is a vector indexed by descriptor number: numbers are small and dense, and from the
/// kernel's event to the host's object it is one indexed load.
///
/// A poll has three steps, so that the one that blocks needs neither the poller nor any lock:
///
/// 1. [`begin`](Poller::begin) tells the kernel what changed and hands out a [`Wait`];
/// 2. [`Wait::run`] sleeps;
/// 3. [`end`](Poller::end) takes the `Wait` back, and [`events`](Poller::events) reads it.
///
/// Payloads are never dropped in here, but handed back: by [`insert`](Poller::insert) when replaced
/// or refused, and by [`remove`](Poller::remove).
///
/// # Implementation notes
///
/// Watching is level-triggered: what stays ready is reported by every poll (S4.12). Interest is
/// lazy: [`set_interest`](Poller::set_interest) only notes what is wanted, and the difference to
/// what the kernel has is made up once per poll. A reader paused and resumed within a turn costs no
/// system call.
#[derive(Debug)]
pub struct Poller<W> {
    kernel: Kernel,
    /// Whose registrations the kernel has.
    process: Pid,
    table: Table<W>,
    /// Descriptors whose interest may differ from what the kernel has.
    dirty: Vec<RawFd>,
    /// Watches the kernel refused when interest was applied, to be reported with the next events.
    refused: Vec<Token>,
    /// The `Wait` at rest between polls; it holds the last events.
    wait: Option<Wait>,
    /// Kept to be watched again if the kernel side has to be replaced.
    wake_fd: Option<Arc<WakeFd>>,
    /// Polls in a row that reported a ghost.
    haunted: u8,
    /// How often a busy loop looks.
    pace: Pace,
}

/// The kernel's own descriptor, readable while there is something to report: for a host that waits
/// by other means (see [`lend`](Poller::lend)). It is another one after a poll that had to replace
/// the kernel side (see [`end`](Poller::end)).
impl<W> AsFd for Poller<W> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kernel.as_fd()
    }
}

/// A watch the kernel refused, with the payload that was meant for it.
#[derive(Debug)]
pub struct Refused<W> {
    /// Why: `EBADF` for a number that is not open, `EPERM` for what cannot be polled.
    pub error: io::Error,
    /// What [`Poller::insert`] was given.
    pub payload: W,
}

impl<W> Poller<W> {
    /// The mechanism's name, for people: `epoll` or `kqueue`.
    pub const NAME: &'static str = Kernel::NAME;

    /// Opens a poller that watches nothing.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOMEM` of `epoll_create1(2)` or `kqueue(2)`.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            kernel: Kernel::open()?,
            process: getpid(),
            table: Table::new(),
            dirty: Vec::new(),
            refused: Vec::new(),
            wait: None,
            wake_fd: None,
            haunted: 0,
            pace: Pace::default(),
        })
    }

    /// Lets `waker` end this poller's waits.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENOSPC` of `epoll_ctl(2)`.
    pub fn watch_waker(&mut self, waker: &Waker) -> io::Result<()> {
        let wake_fd = waker.fd();
        self.kernel.add_waker(wake_fd.read_end(), WAKER)?;
        self.wake_fd = Some(wake_fd);
        Ok(())
    }

    /// Watches `fd` for `interest` on behalf of `payload`, at once.
    ///
    /// A payload that was there before is replaced and handed back, and its token is void.
    ///
    /// # Errors
    ///
    /// `EBADF` if `fd` is not open, `EPERM` if it cannot be polled (a regular file under epoll),
    /// `ENOMEM`, `ENOSPC` of `epoll_ctl(2)`. The payload comes back in [`Refused`], and one that
    /// was there before stays.
    pub fn insert(
        &mut self,
        fd: RawFd,
        interest: Interest,
        payload: W,
    ) -> Result<(Token, Option<W>), Refused<W>> {
        let generation = self.table.get(fd).map_or(0, |slot| slot.generation);
        let token = Token::new(fd, generation.wrapping_add(1));
        // The kernel comes first: a number it does not know must not grow the table.
        if let Err(error) = self.change_now(token, interest) {
            return Err(Refused { error, payload });
        }
        let slot = match self.table.make(fd) {
            Ok(slot) => slot,
            Err(error) => {
                self.kernel.delete(fd);
                return Err(Refused { error, payload });
            }
        };
        slot.generation = token.generation();
        slot.wanted = interest;
        slot.armed = interest;
        Ok((token, slot.payload.replace(payload)))
    }

    /// Has the kernel watch `token`'s descriptor for `interest`, whatever it watched before.
    ///
    /// The kernel is asked even if the table sees no difference: the descriptor may have been
    /// closed and its number reused since, which takes the watch away without a word (S7.8). If it
    /// refuses, what was wanted before is tried again, and reported, by the next poll.
    fn change_now(&mut self, token: Token, interest: Interest) -> io::Result<()> {
        self.pace.disturb();
        let armed = self.table.get(token.fd()).map_or(Interest::NONE, |slot| slot.armed);
        let mut changed = self.kernel.change(token, armed, interest);
        // A watch for nothing is not the kernel's business; whether the number is open still is.
        if interest.is_none() {
            changed = changed.and_then(|()| sys::check_open(token.fd()));
        }
        let Some(slot) = self.table.get_mut(token.fd()) else {
            return changed;
        };
        if changed.is_ok() {
            slot.wanted = interest;
            slot.armed = interest;
        } else {
            slot.armed = Interest::NONE;
            slot.mark_dirty(token.fd(), &mut self.dirty);
        }
        changed
    }

    /// Notes what `token` wants to hear of from now on; the kernel is told by the next
    /// [`begin`](Poller::begin). A token whose registration has ended is ignored.
    #[inline]
    pub fn set_interest(&mut self, token: Token, interest: Interest) {
        self.pace.disturb();
        if let Some(slot) = self.table.current_mut(token) {
            slot.wanted = interest;
            slot.mark_dirty(token.fd(), &mut self.dirty);
        }
    }

    /// Has the kernel watch for what `token` wants to hear of from now on: at once, and even if
    /// nothing seems to change. For a descriptor that may have been closed, and its number reused,
    /// behind the loop's back (S7.8).
    ///
    /// # Errors
    ///
    /// Those of [`insert`](Poller::insert); `ENOENT` if the registration has ended. The payload
    /// stays, and so does the former interest.
    pub fn verify(&mut self, token: Token, interest: Interest) -> io::Result<()> {
        self.table.current(token).ok_or(Errno::NOENT)?;
        self.change_now(token, interest)
    }

    /// Ends a registration and gives its payload back. The kernel is told at once, because the
    /// descriptor is usually closed next. A token whose registration has ended gives nothing.
    ///
    /// In a forked child the kernel is not told: the epoll instance is shared, the registrations
    /// are the parent's, and one deleted here would be gone there (S6.9).
    pub fn remove(&mut self, token: Token) -> Option<W> {
        let slot = self.table.current_mut(token)?;
        let armed = slot.armed;
        let payload = slot.vacate();
        if !armed.is_none() && self.process == getpid() {
            self.kernel.delete(token.fd());
        }
        payload
    }

    /// Whether the registration for a descriptor number has made its one report
    /// ([`Interest::ONCE`]) and is watched for nothing since.
    #[inline]
    pub fn is_resting(&self, fd: RawFd) -> bool {
        self.table.get(fd).is_some_and(|slot| slot.wanted.is_resting())
    }

    /// The payload registered for a descriptor number.
    #[inline]
    pub fn get(&self, fd: RawFd) -> Option<&W> {
        self.table.get(fd)?.payload.as_ref()
    }

    /// The registration of a descriptor number: its token, and its payload to be changed.
    #[inline]
    pub fn get_mut(&mut self, fd: RawFd) -> Option<(Token, &mut W)> {
        let slot = self.table.get_mut(fd)?;
        Some((Token::new(fd, slot.generation), slot.payload.as_mut()?))
    }

    /// The payload of a token, if its registration still stands; to be changed.
    #[inline]
    pub fn payload_mut(&mut self, token: Token) -> Option<&mut W> {
        self.table.current_mut(token)?.payload.as_mut()
    }

    /// Every payload with its descriptor number.
    pub fn iter(&self) -> impl Iterator<Item = (RawFd, &W)> {
        self.table.payloads()
    }
}
