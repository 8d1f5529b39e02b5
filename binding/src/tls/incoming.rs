//! From records to the application: decrypting, and when to stop reading.

use ferroloop_engine::Pressure;
use pyo3::intern;
use pyo3::prelude::*;

use super::libssl::{Output, Step};
use super::{Session, TlsLayer, TlsPhase, Wants, joined};
use crate::ffi;
use crate::transport::check_room;

impl TlsLayer {
    /// Takes records from the network and does with them what the phase asks for.
    pub(crate) fn receive_records(this: &Bound<'_, Self>, records: &[u8]) -> PyResult<()> {
        let py = this.py();
        let Some(session) = this.get().session(py) else { return Ok(()) };
        let (phase, wants) = this.get().cell.with(py, |state, _| (state.phase, state.begin_read()));
        match &session.ssl {
            Some(_) if phase == TlsPhase::OPEN && wants != Wants::Nothing => {
                return Self::read(this, &session, wants, records);
            }
            Some(ssl) => ssl.feed(py, records)?,
            None => session.portable.feed(ffi::bytes_of(py, records)?.as_any())?,
        }
        Self::advance(this, &session)
    }

    /// Does what the phase asks for with what has been received.
    pub(super) fn advance(this: &Bound<'_, Self>, session: &Session) -> PyResult<()> {
        let py = this.py();
        match this.get().phase(py) {
            TlsPhase::HANDSHAKE => Self::step(this, intern!(py, "_handshake_step")),
            TlsPhase::OPEN => Self::read_received(this, session),
            TlsPhase::FLUSHING => Self::step(this, intern!(py, "_flush_step")),
            TlsPhase::SHUTDOWN => Self::step(this, intern!(py, "_shutdown_step")),
            TlsPhase::IDLE | TlsPhase::CLOSED => Ok(()),
        }
    }

    /// Delivers what was received, and sends what reading has caused to be sent.
    pub(super) fn read_received(this: &Bound<'_, Self>, session: &Session) -> PyResult<()> {
        let wants = this.get().cell.with(this.py(), |state, _| state.begin_read());
        Self::read(this, session, wants, &[])
    }

    /// Delivers what was received before and what the `fresh` records hold, and sends what reading
    /// has caused to be sent. Only a session with an SSL of its own takes fresh records.
    fn read(this: &Bound<'_, Self>, session: &Session, wants: Wants, fresh: &[u8]) -> PyResult<()> {
        let outcome = Self::try_read(this, session, wants, fresh);
        Self::fail_on_error(this, outcome)
    }

    fn try_read(
        this: &Bound<'_, Self>,
        session: &Session,
        wants: Wants,
        fresh: &[u8],
    ) -> PyResult<()> {
        let ended = match wants {
            Wants::Nothing => return Self::control_reading(this, session),
            Wants::Data => Self::read_data(this, session, fresh)?,
            Wants::Buffers => Self::read_into_buffer(this, session, fresh)?,
        };
        if ended {
            Self::step(this, intern!(this.py(), "_closed_by_peer"))?;
        }
        match this.get().unsent(this.py(), session)? {
            0 => Self::judge_pressure(this, 0)?,
            _ => Self::send_backlog(this, session)?,
        }
        Self::control_reading(this, session)
    }

    /// Decrypts everything for one `data_received`; true if the peer has ended its side.
    fn read_data(this: &Bound<'_, Self>, session: &Session, fresh: &[u8]) -> PyResult<bool> {
        let py = this.py();
        let mut chunks = Vec::new();
        let outcome = session.decrypt(py, fresh, &mut chunks);
        // What came before an error is delivered all the same.
        if let Some(data) = joined(py, chunks)?
            && let Some(protocol) = this.get().protocol(py)
        {
            ffi::call_method(&protocol, intern!(py, "data_received"), [&data])?;
        }
        outcome
    }

    /// Decrypts into the protocol's own buffer until that is full or nothing is left; true if the
    /// peer has ended its side.
    fn read_into_buffer(this: &Bound<'_, Self>, session: &Session, fresh: &[u8]) -> PyResult<bool> {
        let py = this.py();
        let Some(protocol) = this.get().protocol(py) else { return Ok(false) };
        let hint = session.received(py)? + fresh.len();
        let hint = hint.into_pyobject(py)?;
        let buffer = ffi::call_method(&protocol, intern!(py, "get_buffer"), [&hint])?;
        check_room(&buffer)?;
        // In bytes: what it holds may be wider items. What cannot be written to is refused below.
        let room = ffi::with_writable_buffer(&buffer, |memory| memory.len());
        let room = room.or_else(|_| buffer.len())?;
        let (filled, outcome) = session.fill(&buffer, room, fresh);
        if filled > 0 {
            let filled = filled.into_pyobject(py)?;
            ffi::call_method(&protocol, intern!(py, "buffer_updated"), [&filled])?;
        }
        if filled == room {
            // There may be more, which waits until others have had their turn.
            let read_on = this.getattr(intern!(py, "_read_on"))?;
            this.call_method1(intern!(py, "_call_soon"), (read_on,))?;
            this.get().cell.with(py, |state, _| state.unread = true);
        }
        outcome
    }

    /// Pauses the transport below while the application leaves received records lie.
    pub(super) fn control_reading(this: &Bound<'_, Self>, session: &Session) -> PyResult<()> {
        let py = this.py();
        let size = session.received(py)?;
        let crossed = this.get().cell.with(py, |state, share| {
            let marks = &mut state.read_marks;
            let pressure = marks.rise(size.saturating_add(1)).or_else(|| marks.fall(size))?;
            Some((pressure, share.share(state.below.as_ref()?)))
        });
        let Some((pressure, below)) = crossed else { return Ok(()) };
        let method = match pressure {
            Pressure::High => intern!(py, "pause_reading"),
            Pressure::Low => intern!(py, "resume_reading"),
        };
        ffi::call_method(below.bind(py), method, []).map(drop)
    }
}

impl Session {
    /// Decrypts what was received before and then `fresh`; true if the peer has ended its side.
    fn decrypt<'py>(
        &self,
        py: Python<'py>,
        fresh: &[u8],
        chunks: &mut Vec<Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        if let Some(ssl) = &self.ssl
            && ssl.decrypt(py, fresh, chunks)? != Step::Stuck
        {
            return Ok(false);
        }
        self.portably(py, |portable| portable.decrypt(py, chunks))
    }

    /// Decrypts into a buffer of `room` bytes, first what was received before and then the `fresh`
    /// records; answers how many bytes that filled, and whether the peer has ended its side.
    fn fill(
        &self,
        buffer: &Bound<'_, PyAny>,
        room: usize,
        fresh: &[u8],
    ) -> (usize, PyResult<bool>) {
        let py = buffer.py();
        let Some(ssl) = &self.ssl else { return self.portable.fill(buffer, 0, room) };
        let filling = ffi::with_writable_buffer(buffer, |memory| {
            let mut output = Output::of(memory);
            let step = ssl.reading(py, fresh, |ssl| ssl.fill(py, &mut output));
            step.map(|step| (output.filled(), step))
        });
        match filling {
            // The SSLObject raises what is wrong with the buffer. The fresh records are lost, but
            // the connection ends with that error.
            Err(_) => self.portable.fill(buffer, 0, room),
            Ok(Err(error)) => (0, Err(error)),
            Ok(Ok((filled, Step::Stuck))) => {
                self.portably(py, |portable| portable.fill(buffer, filled, room))
            }
            Ok(Ok((filled, _))) => (filled, Ok(false)),
        }
    }
}
