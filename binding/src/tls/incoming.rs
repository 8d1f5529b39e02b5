//! From records to the application: decrypting, and when to stop reading.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::{Parts, TlsLayer, TlsPhase};
use crate::names;

/// The most application data that one record carries (RFC 8446, 5.1). Reading in larger portions
/// would only make OpenSSL's caller allocate, and give back, memory that cannot be filled.
const RECORD: usize = 16 * 1024;

impl TlsLayer {
    /// Takes bytes from the network and does with them what the phase asks for.
    pub(super) fn feed<'py>(this: &Bound<'py, Self>, data: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = this.py();
        let Some(parts) = this.get().parts(py) else { return Ok(()) };
        parts.incoming.call_method1(intern!(py, "write"), (data,))?;
        Self::advance(this)
    }

    /// Does what the phase asks for with what has been received.
    pub(super) fn advance(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        match this.get().phase(py) {
            TlsPhase::HANDSHAKE => Self::step(this, intern!(py, "_handshake_step")),
            TlsPhase::OPEN => Self::read(this),
            TlsPhase::FLUSHING => Self::step(this, intern!(py, "_flush_step")),
            TlsPhase::SHUTDOWN => Self::step(this, intern!(py, "_shutdown_step")),
            TlsPhase::IDLE | TlsPhase::CLOSED => Ok(()),
        }
    }

    /// Delivers all application data there is, and sends what reading has caused to be sent.
    pub(super) fn read(this: &Bound<'_, Self>) -> PyResult<()> {
        let outcome = Self::try_read(this);
        Self::fail_on_error(this, outcome)
    }

    fn try_read(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let (wanted, buffered) = this.get().cell.with(py, |state, _| {
            let reads = matches!(state.phase, TlsPhase::OPEN | TlsPhase::FLUSHING);
            (reads && !state.reading_paused, state.buffered)
        });
        if wanted && let Some(parts) = this.get().parts(py) {
            let ended = if buffered { parts.read_into_buffer(this)? } else { parts.read_data()? };
            if ended {
                Self::step(this, intern!(py, "_closed_by_peer"))?;
            }
            Self::send_backlog(this)?;
        }
        Self::control_reading(this)
    }

    /// Pauses the transport below while the application leaves received records lie.
    pub(super) fn control_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let Some(parts) = this.get().parts(py) else { return Ok(()) };
        let size = pending(&parts.incoming)?;
        let (rises, falls) = this.get().cell.with(py, |state, _| {
            let rises = state.read_marks.rise(size.saturating_add(1)).is_some();
            (rises, !rises && state.read_marks.fall(size).is_some())
        });
        match parts.below {
            Some(below) if rises => below.call_method0(intern!(py, "pause_reading")).map(drop),
            Some(below) if falls => below.call_method0(intern!(py, "resume_reading")).map(drop),
            _ => Ok(()),
        }
    }
}

impl<'py> Parts<'py> {
    /// One `data_received` with everything; true if the peer has ended its side.
    fn read_data(&self) -> PyResult<bool> {
        let py = self.object.py();
        let mut chunks = Vec::new();
        let outcome = self.decrypt_all(&mut chunks);
        let protocol = self.protocol.as_ref();
        // What came before an error was received all the same.
        if let (Some(protocol), Some(data)) = (protocol, join(py, chunks)?) {
            protocol.call_method1(intern!(py, "data_received"), (data,))?;
        }
        outcome
    }

    fn decrypt_all(&self, chunks: &mut Vec<Bound<'py, PyAny>>) -> PyResult<bool> {
        let read = intern!(self.object.py(), "read");
        loop {
            let chunk = match self.object.call_method1(read, (RECORD,)) {
                Ok(chunk) => chunk,
                Err(error) => return again(self.object.py(), error).map(|()| false),
            };
            if chunk.len()? == 0 {
                return Ok(true);
            }
            chunks.push(chunk);
            if self.nothing_left()? {
                return Ok(false);
            }
        }
    }

    /// Reads into the protocol's own buffer until that is full or nothing is left.
    fn read_into_buffer(&self, this: &Bound<'py, TlsLayer>) -> PyResult<bool> {
        let py = self.object.py();
        let Some(protocol) = &self.protocol else { return Ok(false) };
        let hint = pending(&self.incoming)?;
        let buffer = protocol.call_method1(intern!(py, "get_buffer"), (hint,))?;
        let room = buffer.len()?;
        if room == 0 {
            return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
        }
        let view = names::memoryview(py)?.call1((&buffer,))?;
        let (filled, outcome) = self.fill(&view, room);
        // The protocol may resize its buffer in `buffer_updated`; an exported one cannot be.
        view.call_method0(intern!(py, "release"))?;
        if filled > 0 {
            protocol.call_method1(intern!(py, "buffer_updated"), (filled,))?;
        }
        if filled == room {
            // There may be more, and others wait.
            let again = this.getattr(intern!(py, "_read"))?;
            this.get().event_loop(py).call_method1(intern!(py, "call_soon"), (again,))?;
        }
        outcome
    }

    /// How much of the buffer was filled, and whether the peer has ended its side.
    fn fill(&self, view: &Bound<'py, PyAny>, room: usize) -> (usize, PyResult<bool>) {
        let py = self.object.py();
        let mut filled = 0;
        while filled < room {
            let rest = view.get_item(pyo3::types::PySlice::new(
                py,
                filled.cast_signed(),
                room.cast_signed(),
                1,
            ));
            let count = rest.and_then(|rest| {
                let count = self.object.call_method1(intern!(py, "read"), (room - filled, &rest));
                rest.call_method0(intern!(py, "release"))?;
                count?.extract::<usize>()
            });
            match count {
                Ok(0) => return (filled, Ok(true)),
                Ok(count) => filled += count,
                Err(error) => return (filled, again(py, error).map(|()| false)),
            }
            match self.nothing_left() {
                Ok(false) => {}
                other => return (filled, other.map(|_| false)),
            }
        }
        (filled, Ok(false))
    }

    /// Whether another read could only say "want read", which would cost an exception.
    fn nothing_left(&self) -> PyResult<bool> {
        let py = self.object.py();
        if pending(&self.incoming)? > 0 {
            return Ok(false);
        }
        Ok(self.object.call_method0(intern!(py, "pending"))?.extract::<usize>()? == 0)
    }
}

/// How many bytes wait in a BIO.
pub(super) fn pending(bio: &Bound<'_, PyAny>) -> PyResult<usize> {
    bio.getattr(intern!(bio.py(), "pending"))?.extract()
}

/// `Ok` if OpenSSL only waits for the network.
pub(super) fn again(py: Python<'_>, error: PyErr) -> PyResult<()> {
    if error.matches(py, names::ssl_want_read(py)?)?
        || error.matches(py, names::ssl_want_write(py)?)?
        || error.matches(py, names::ssl_syscall(py)?)?
    {
        return Ok(());
    }
    Err(error)
}

fn join<'py>(
    py: Python<'py>,
    mut chunks: Vec<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if chunks.len() < 2 {
        return Ok(chunks.pop());
    }
    let joined =
        PyBytes::new(py, b"").call_method1(intern!(py, "join"), (PyList::new(py, chunks)?,))?;
    Ok(Some(joined))
}
