//! Wakes from other threads, which have no GIL and may not wait for it.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;

use crate::lock::lock;
use crate::wake::Wake;

/// What other threads have woken, and a pair of sockets by which the loop learns of it.
///
/// There is a byte in the sockets as long as there are letters: only the first is announced.
pub(crate) struct Mailbox {
    letters: Mutex<Vec<Arc<Wake>>>,
    ours: UnixStream,
    theirs: UnixStream,
}

impl Mailbox {
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOMEM` of socketpair(2).
    pub(crate) fn open() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        Ok(Self { letters: Mutex::new(Vec::new()), ours, theirs })
    }

    /// What the loop has to watch.
    pub(crate) fn fd(&self) -> RawFd {
        self.ours.as_raw_fd()
    }

    /// From any thread, also when the loop is gone: then nobody reads it.
    pub(crate) fn post(&self, letter: Arc<Wake>) {
        let mut letters = lock(&self.letters);
        letters.push(letter);
        if letters.len() == 1 {
            // It cannot fail: we own both ends, and there is room for one byte.
            let _ = (&self.theirs).write_all(&[0]);
        }
    }

    /// The byte first: a letter that comes in between is announced once more, and not forgotten.
    fn empty(&self) -> Vec<Arc<Wake>> {
        let _ = (&self.ours).read(&mut [0; 16]);
        std::mem::take(&mut *lock(&self.letters))
    }
}

/// What the loop calls when there are letters.
#[pyclass(frozen)]
pub(crate) struct Delivery(pub(crate) Arc<Mailbox>);

#[pymethods]
impl Delivery {
    fn __call__(&self, py: Python<'_>) {
        for letter in self.0.empty() {
            letter.resume(py);
        }
    }
}
