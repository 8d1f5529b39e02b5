//! The portable engine: an `ssl.SSLObject` over two `MemoryBIO`s, by their Python methods.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PySlice};
use pyo3::{PyTraverseError, PyVisit};

use crate::cell::Share;
use crate::{ffi, names};

/// The most application data that one record carries (RFC 8446, 5.1). Where more is read at once,
/// CPython allocates memory that cannot be filled, and gives it back.
pub(super) const RECORD: usize = 16 * 1024;

/// The SSLObject, and the BIOs on its network side.
pub(super) struct Portable {
    pub(super) object: Py<PyAny>,
    pub(super) incoming: Py<PyAny>,
    pub(super) outgoing: Py<PyAny>,
}

impl Portable {
    pub(super) fn share(&self, share: Share<'_>) -> Self {
        Self {
            object: share.share(&self.object),
            incoming: share.share(&self.incoming),
            outgoing: share.share(&self.outgoing),
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)?;
        visit.call(&self.incoming)?;
        visit.call(&self.outgoing)
    }

    /// Puts bytes from the network into the incoming BIO.
    pub(super) fn feed(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        self.incoming.bind(py).call_method1(intern!(py, "write"), (data,)).map(drop)
    }

    /// Decrypts all there is; true if the peer has ended its side.
    pub(super) fn decrypt<'py>(
        &self,
        py: Python<'py>,
        chunks: &mut Vec<Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        let object = self.object.bind(py);
        loop {
            let chunk = match object.call_method1(intern!(py, "read"), (RECORD,)) {
                Ok(chunk) => chunk,
                Err(error) => return again(py, error).map(|()| false),
            };
            if chunk.len()? == 0 {
                return Ok(true);
            }
            chunks.push(chunk);
            if self.nothing_left(py)? {
                return Ok(false);
            }
        }
    }

    /// How much of the buffer from `filled` on was filled in the end, and whether the peer has
    /// ended its side.
    pub(super) fn fill(
        &self,
        buffer: &Bound<'_, PyAny>,
        mut filled: usize,
        room: usize,
    ) -> (usize, PyResult<bool>) {
        let py = buffer.py();
        while filled < room {
            match self.fill_once(buffer, filled, room) {
                Ok(0) => return (filled, Ok(true)),
                Ok(count) => filled += count,
                Err(error) => return (filled, again(py, error).map(|()| false)),
            }
            match self.nothing_left(py) {
                Ok(false) => {}
                other => return (filled, other.map(|_| false)),
            }
        }
        (filled, Ok(false))
    }

    fn fill_once(&self, buffer: &Bound<'_, PyAny>, filled: usize, room: usize) -> PyResult<usize> {
        let py = buffer.py();
        let view = byte_view(buffer, room)?;
        let rest = view.get_item(py.get_type::<PySlice>().call1((filled, room))?)?;
        let count = self.object.bind(py).call_method1(intern!(py, "read"), (room - filled, &rest));
        // The protocol may resize its buffer later, which it cannot while there are views of it.
        rest.call_method0(intern!(py, "release"))?;
        view.call_method0(intern!(py, "release"))?;
        count?.extract()
    }

    /// Whether another read could only say "want read", which would cost an exception.
    fn nothing_left(&self, py: Python<'_>) -> PyResult<bool> {
        if self.received(py)? > 0 {
            return Ok(false);
        }
        let pending = self.object.bind(py).call_method0(intern!(py, "pending"))?;
        Ok(pending.extract::<usize>()? == 0)
    }

    /// Encrypts the beginning of what is left of a chunk; None if OpenSSL waits for the network.
    pub(super) fn encrypt(
        &self,
        py: Python<'_>,
        chunk: PyBackedBytes,
        from: usize,
    ) -> PyResult<Option<usize>> {
        let data = if from == 0 {
            chunk.into_pyobject(py)?.into_any()
        } else {
            ffi::bytes_of(py, chunk.get(from..).unwrap_or_default())?.into_any()
        };
        match self.object.bind(py).call_method1(intern!(py, "write"), (data,)) {
            Ok(count) => count.extract().map(Some),
            Err(error) => again(py, error).map(|()| None),
        }
    }

    /// Takes the finished records.
    pub(super) fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let records = self.outgoing.bind(py).call_method0(intern!(py, "read"))?;
        Ok(records.cast_into()?)
    }

    /// Bytes received and not decrypted.
    pub(super) fn received(&self, py: Python<'_>) -> PyResult<usize> {
        pending(self.incoming.bind(py))
    }

    /// Bytes of records that wait to be sent.
    pub(super) fn unsent(&self, py: Python<'_>) -> PyResult<usize> {
        pending(self.outgoing.bind(py))
    }
}

fn pending(bio: &Bound<'_, PyAny>) -> PyResult<usize> {
    bio.getattr(intern!(bio.py(), "pending"))?.extract()
}

/// A view of a buffer of `room` bytes by the byte: its items may be wider.
fn byte_view<'py>(buffer: &Bound<'py, PyAny>, room: usize) -> PyResult<Bound<'py, PyAny>> {
    let py = buffer.py();
    let view = names::memoryview(py)?.call1((buffer,))?;
    if view.len()? == room { Ok(view) } else { view.call_method1(intern!(py, "cast"), ("B",)) }
}

/// `Ok` if OpenSSL only waits for the network.
fn again(py: Python<'_>, error: PyErr) -> PyResult<()> {
    if error.matches(py, names::ssl_want_read(py)?)?
        || error.matches(py, names::ssl_want_write(py)?)?
        || error.matches(py, names::ssl_syscall(py)?)?
    {
        return Ok(());
    }
    Err(error)
}
