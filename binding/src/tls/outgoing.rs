//! From the application to records: encrypting, and when to stop writing.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use ferroloop_engine::Pressure;

use super::libssl::{Ssl, Step};
use super::portable::Portable;
use super::{Room, Session, TlsLayer, TlsPhase, joined};
use crate::transport::StreamTransport;
use crate::transport::chunk::Chunk;
use crate::{errors, ffi, names};

impl TlsLayer {
    /// Takes application data; sends it if the handshake is over.
    pub(super) fn write(
        this: &Bound<'_, Self>,
        chunks: impl IntoIterator<Item = Chunk> + Send,
    ) -> PyResult<()> {
        let py = this.py();
        let (phase, refused) = this.get().cell.with(py, |state, _| match state.phase {
            TlsPhase::IDLE | TlsPhase::HANDSHAKE | TlsPhase::OPEN => {
                chunks.into_iter().for_each(|chunk| state.backlog.push(chunk));
                (state.phase, None)
            }
            TlsPhase::FLUSHING | TlsPhase::SHUTDOWN | TlsPhase::CLOSED => {
                (state.phase, Some(chunks))
            }
        });
        drop(refused);
        match phase {
            TlsPhase::IDLE | TlsPhase::HANDSHAKE => Ok(()),
            TlsPhase::OPEN => {
                let outcome = Self::with_session(this, Self::send_backlog);
                Self::fail_on_error(this, outcome)
            }
            TlsPhase::FLUSHING | TlsPhase::SHUTDOWN | TlsPhase::CLOSED => this.get().lose_write(py),
        }
    }

    #[cold]
    fn lose_write(&self, py: Python<'_>) -> PyResult<()> {
        if self.cell.with(py, |state, _| state.lost_writes.count()) {
            names::logger(py)?
                .call_method1(intern!(py, "warning"), ("SSL connection is closed",))?;
        }
        Ok(())
    }

    /// Encrypts what waits, as far as OpenSSL takes it, and hands the records down.
    pub(super) fn send_backlog(this: &Bound<'_, Self>, session: &Session) -> PyResult<()> {
        let py = this.py();
        let mut records = Vec::new();
        let step = match &session.ssl {
            Some(ssl) => this.get().encrypt_directly(py, ssl, &mut records)?,
            None => Step::Stuck,
        };
        if step == Step::Stuck {
            session.portably(py, |portable| this.get().encrypt_portably(py, portable))?;
        }
        Self::hand_down(this, session, records)
    }

    /// Encrypts by the direct engine. No Python runs meanwhile, so nobody misses the backlog while
    /// it is out of its cell.
    fn encrypt_directly<'py>(
        &self,
        py: Python<'py>,
        ssl: &Ssl,
        records: &mut Vec<Bound<'py, PyBytes>>,
    ) -> PyResult<Step> {
        let (mut backlog, room) =
            self.cell.with(py, |state, _| (std::mem::take(&mut state.backlog), state.room));
        let outcome = if room == Room::Free {
            ssl.encrypt_and_drain(py, &mut backlog, records)
        } else {
            Ok(ssl.encrypt(py, &mut backlog))
        };
        self.cell.with(py, move |state, _| state.backlog = backlog);
        outcome
    }

    /// Encrypts by the portable engine, which is Python: the backlog stays in its cell.
    fn encrypt_portably(&self, py: Python<'_>, portable: &Portable) -> PyResult<()> {
        while let Some((chunk, sent)) = self.cell.with(py, |state, share| {
            state.backlog.front().map(|(chunk, sent)| (share.share_bytes(chunk), sent))
        }) {
            let Some(count) = portable.encrypt(py, chunk, sent)? else { break };
            drop(self.cell.with(py, |state, _| state.backlog.take_sent(count)));
        }
        Ok(())
    }

    /// Hands down what the handshake or the shutdown has produced.
    pub(super) fn pump(this: &Bound<'_, Self>, session: &Session) -> PyResult<()> {
        Self::hand_down(this, session, Vec::new())
    }

    /// Hands finished records to the transport below, unless that is full: those that are out of
    /// the BIO already, and then what is in it.
    fn hand_down<'py>(
        this: &Bound<'py, Self>,
        session: &Session,
        mut records: Vec<Bound<'py, PyBytes>>,
    ) -> PyResult<()> {
        let py = this.py();
        let below = this
            .get()
            .cell
            .shared(py, |state| state.below.as_ref().filter(|_| state.room == Room::Free));
        if let Some(below) = below {
            if session.unsent(py)? > 0 {
                records.push(session.portable.drain(py)?);
            }
            write_below(&below, records)?;
        }
        Self::control_writing(this, session)
    }

    /// Bytes that have not reached the transport below.
    pub(super) fn unsent(&self, py: Python<'_>, session: &Session) -> PyResult<usize> {
        let backlog = self.cell.with(py, |state, _| state.backlog.len_bytes());
        Ok(session.unsent(py)?.saturating_add(backlog))
    }

    /// Judges the pressure of all that is unsent.
    pub(super) fn control_writing(this: &Bound<'_, Self>, session: &Session) -> PyResult<()> {
        Self::judge_pressure(this, this.get().unsent(this.py(), session)?)
    }

    /// Pauses or resumes the application if `size` unsent bytes cross a water mark: reaching the
    /// high one is enough (S22.12). A pause that was there before TLS lasts until the transport
    /// below has room.
    pub(super) fn judge_pressure(this: &Bound<'_, Self>, size: usize) -> PyResult<()> {
        let py = this.py();
        let pressure = this.get().cell.with(py, |state, _| {
            let rises = state.write_marks.rise(size.saturating_add(1));
            rises.or_else(|| {
                if state.room == Room::FullBefore { None } else { state.write_marks.fall(size) }
            })
        });
        let method = match pressure {
            None => return Ok(()),
            Some(Pressure::High) => intern!(py, "pause_writing"),
            Some(Pressure::Low) => intern!(py, "resume_writing"),
        };
        let Some(protocol) = this.get().protocol(py) else { return Ok(()) };
        let Err(error) = ffi::call_method(&protocol, method, []) else { return Ok(()) };
        let transport = this.getattr(intern!(py, "_app_transport"))?;
        errors::flow_control_failed(&this.get().event_loop(py), method, transport, this, error)
    }
}

/// Writes all at once, so that the transport below judges its pressure after the last.
fn write_below<'py>(below: &Bound<'py, PyAny>, records: Vec<Bound<'py, PyBytes>>) -> PyResult<()> {
    if let Ok(stream) = below.cast_exact::<StreamTransport>() {
        return StreamTransport::write_records(stream, records);
    }
    let py = below.py();
    match joined(py, records)? {
        Some(records) => ffi::call_method(below, intern!(py, "write"), [&records]).map(drop),
        None => Ok(()),
    }
}
