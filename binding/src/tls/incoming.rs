//! From records to the application: decrypting, and when to stop reading.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::intern;
use pyo3::prelude::*;

use super::libssl::{Output, Step};
use super::{Parts, TlsLayer, TlsPhase, joined};
use crate::ffi;
use crate::transport::check_room;

/// What was decrypted, and whether the peer has ended its side.
struct Decrypted<'py> {
    chunks: Vec<Bound<'py, PyAny>>,
    outcome: PyResult<bool>,
}

impl TlsLayer {
    /// Takes bytes from the network and does with them what the phase asks for.
    pub(super) fn receive<'py>(this: &Bound<'py, Self>, data: &Bound<'py, PyAny>) -> PyResult<()> {
        let Some(parts) = this.get().parts(this.py()) else { return Ok(()) };
        parts.portable.feed(data)?;
        Self::advance(this)
    }

    /// The same, for records in memory that is only lent.
    pub(crate) fn receive_records(this: &Bound<'_, Self>, records: &[u8]) -> PyResult<()> {
        let py = this.py();
        let Some(parts) = this.get().parts(py) else { return Ok(()) };
        let (wanted, _) = this.get().wants_data(py);
        match &parts.ssl {
            Some(_) if wanted && this.get().phase(py) == TlsPhase::OPEN => {
                return Self::read(this, records);
            }
            Some(ssl) => ssl.feed(py, records)?,
            None => parts.portable.feed(ffi::bytes_of(py, records)?.as_any())?,
        }
        Self::advance(this)
    }

    /// Does what the phase asks for with what has been received.
    pub(super) fn advance(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        match this.get().phase(py) {
            TlsPhase::HANDSHAKE => Self::step(this, intern!(py, "_handshake_step")),
            TlsPhase::OPEN => Self::read(this, &[]),
            TlsPhase::FLUSHING => Self::step(this, intern!(py, "_flush_step")),
            TlsPhase::SHUTDOWN => Self::step(this, intern!(py, "_shutdown_step")),
            TlsPhase::IDLE | TlsPhase::CLOSED => Ok(()),
        }
    }

    /// Delivers all application data there is, what the `fresh` records hold as well, and sends what
    /// reading has caused to be sent.
    pub(super) fn read(this: &Bound<'_, Self>, fresh: &[u8]) -> PyResult<()> {
        let outcome = Self::try_read(this, fresh);
        Self::fail_on_error(this, outcome)
    }

    /// Whether the application reads now, and whether it brings its own buffers.
    fn wants_data(&self, py: Python<'_>) -> (bool, bool) {
        self.cell.with(py, |state, _| {
            let reads = matches!(state.phase, TlsPhase::OPEN | TlsPhase::FLUSHING);
            (reads && !state.reading_paused, state.buffered)
        })
    }

    fn try_read(this: &Bound<'_, Self>, fresh: &[u8]) -> PyResult<()> {
        let py = this.py();
        let (wanted, buffered) = this.get().wants_data(py);
        if let Some(parts) = this.get().parts(py).filter(|_| wanted) {
            if buffered {
                let ended = parts.read_into_buffer(this, fresh)?;
                return Self::after_read(this, ended);
            }
            return Self::deliver(this, parts.decrypt(fresh));
        }
        Self::control_reading(this)
    }

    /// One `data_received` with everything.
    fn deliver<'py>(this: &Bound<'py, Self>, decrypted: Decrypted<'py>) -> PyResult<()> {
        let py = this.py();
        // What came before an error was received all the same.
        if let Some(data) = joined(py, decrypted.chunks)?
            && let Some(protocol) = this.get().protocol(py)
        {
            protocol.call_method1(intern!(py, "data_received"), (data,))?;
        }
        Self::after_read(this, decrypted.outcome?)
    }

    fn after_read(this: &Bound<'_, Self>, ended: bool) -> PyResult<()> {
        if ended {
            Self::step(this, intern!(this.py(), "_closed_by_peer"))?;
        }
        match Self::unsent(this)? {
            0 => Self::judge_pressure(this, 0)?,
            _ => Self::send_backlog(this)?,
        }
        Self::control_reading(this)
    }

    /// Pauses the transport below while the application leaves received records lie.
    pub(super) fn control_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let Some(parts) = this.get().parts(py) else { return Ok(()) };
        let size = parts.received()?;
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
    /// Decrypts what was received before, and the `fresh` records, for which there must be an SSL.
    fn decrypt(&self, fresh: &[u8]) -> Decrypted<'py> {
        let mut chunks = Vec::new();
        let outcome = self.decrypt_into(fresh, &mut chunks);
        Decrypted { chunks, outcome }
    }

    fn decrypt_into(&self, fresh: &[u8], chunks: &mut Vec<Bound<'py, PyAny>>) -> PyResult<bool> {
        if let Some(ssl) = &self.ssl
            && ssl.decrypt(self.py(), fresh, chunks)? != Step::Stuck
        {
            return Ok(false);
        }
        self.portable.decrypt(chunks)
    }

    /// Reads what was received before, and the `fresh` records, into the protocol's own buffer until that
    /// is full or nothing is left; true if the peer has ended its side.
    fn read_into_buffer(&self, this: &Bound<'py, TlsLayer>, fresh: &[u8]) -> PyResult<bool> {
        let py = self.py();
        let Some(protocol) = &self.protocol else { return Ok(false) };
        let hint = self.received()? + fresh.len();
        let buffer = protocol.call_method1(intern!(py, "get_buffer"), (hint,))?;
        check_room(&buffer)?;
        // In bytes: what it holds may be wider items.
        let room = PyUntypedBuffer::get(&buffer)?.len_bytes();
        let (filled, outcome) = self.fill(&buffer, room, fresh);
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

    fn fill(
        &self,
        buffer: &Bound<'py, PyAny>,
        room: usize,
        fresh: &[u8],
    ) -> (usize, PyResult<bool>) {
        let py = self.py();
        let Some(ssl) = &self.ssl else { return self.portable.fill(buffer, 0, room) };
        let filling = ffi::with_writable_buffer(buffer, |memory| {
            let mut output = Output::of(memory);
            let step = ssl.reading(py, fresh, |ssl| ssl.fill(py, &mut output));
            step.map(|step| (output.filled(), step))
        });
        match filling {
            // The SSLObject says what is wrong with the buffer: nobody will ask for the records.
            Err(_) => self.portable.fill(buffer, 0, room),
            Ok(Err(error)) => (0, Err(error)),
            Ok(Ok((filled, Step::Stuck))) => self.portable.fill(buffer, filled, room),
            Ok(Ok((filled, _))) => (filled, Ok(false)),
        }
    }
}
