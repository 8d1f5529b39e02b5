//! Accepting connections.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::address::Address;
use crate::sys;

/// What became of one attempt to accept.
#[derive(Debug)]
pub enum Accept {
    /// A connection, non-blocking and closed on exec, and the peer's address.
    Connection(OwnedFd, Address),
    /// Nobody is waiting: stop until the listener is ready again.
    WouldBlock,
    /// A peer gave up before it was its turn (`ECONNABORTED`): go on with the next (S20.2).
    Aborted,
    /// No descriptor or memory is left (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`). The peer stays in
    /// the queue and the listener stays ready, so stop watching it for a while (S20.3).
    OutOfResources(io::Error),
    /// Anything else, with the listener to blame (S20.5).
    Failed(io::Error),
}

/// Accepts one connection from a non-blocking listening socket (`accept4(2)`).
///
/// How many to take in a row is the host's policy (S20.1: up to the backlog).
pub fn accept(listener: BorrowedFd<'_>) -> Accept {
    match sys::accept(listener) {
        Ok(None) => Accept::WouldBlock,
        Ok(Some((connection, peer))) => Accept::Connection(connection, Address::from_option(peer)),
        Err(error) => verdict(error),
    }
}

fn verdict(error: io::Error) -> Accept {
    match Errno::from_io_error(&error) {
        Some(Errno::CONNABORTED) => Accept::Aborted,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            Accept::OutOfResources(error)
        }
        _ => Accept::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Accept, verdict};
    use rustix::io::Errno;

    /// S20.2, S20.3, S20.5: the errors no test can provoke.
    #[test]
    fn every_error_has_its_verdict() {
        assert!(matches!(verdict(Errno::CONNABORTED.into()), Accept::Aborted));
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            let Accept::OutOfResources(error) = verdict(errno.into()) else { panic!("{errno}") };
            assert_eq!(Errno::from_io_error(&error), Some(errno));
        }
        assert!(matches!(verdict(Errno::PERM.into()), Accept::Failed(_)));
    }
}
