//! From the application to records: encrypting, and when to stop writing.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use ferroloop_engine::Pressure;

use super::incoming::{again, pending};
use super::{Parts, Room, TlsLayer, TlsPhase};
use crate::errors::{self, Report};
use crate::names;

/// Writes after the end that pass without a warning (S0.24).
const QUIET_LOST_WRITES: u32 = 5;

impl TlsLayer {
    /// Takes application data; sends it if the handshake is over.
    pub(super) fn write(
        this: &Bound<'_, Self>,
        chunks: impl IntoIterator<Item = PyBackedBytes> + Send,
    ) -> PyResult<()> {
        let py = this.py();
        let phase = this.get().phase(py);
        if !matches!(phase, TlsPhase::IDLE | TlsPhase::HANDSHAKE | TlsPhase::OPEN) {
            return this.get().lose_write(py);
        }
        this.get().cell.with(py, |state, _| {
            for chunk in chunks {
                state.backlog_bytes += chunk.len();
                state.backlog.push_back(chunk);
            }
        });
        if phase == TlsPhase::OPEN {
            let outcome = Self::send_backlog(this);
            return Self::fail_on_error(this, outcome);
        }
        Ok(())
    }

    #[cold]
    fn lose_write(&self, py: Python<'_>) -> PyResult<()> {
        let count = self.cell.with(py, |state, _| {
            let count = state.lost_writes;
            state.lost_writes = count.saturating_add(1);
            count
        });
        if count >= QUIET_LOST_WRITES {
            names::logger(py)?
                .call_method1(intern!(py, "warning"), ("SSL connection is closed",))?;
        }
        Ok(())
    }

    /// Encrypts what waits, as far as OpenSSL takes it, and hands the records down.
    pub(super) fn send_backlog(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let Some(parts) = this.get().parts(py) else { return Ok(()) };
        while let Some((data, length)) = this.get().next_unsent(py) {
            match parts.object.call_method1(intern!(py, "write"), (data,)) {
                Ok(count) => drop(this.get().advance_backlog(py, count.extract()?, length)),
                Err(error) => {
                    again(py, error)?;
                    break;
                }
            }
        }
        Self::pump(this, &parts)
    }

    /// The first chunk of the backlog, or what is left of it, and its length.
    fn next_unsent<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyAny>, usize)> {
        let (chunk, sent) = self.cell.with(py, |state, share| {
            state.backlog.front().map(|chunk| (share.share_bytes(chunk), state.sent))
        })?;
        let left = chunk.len().saturating_sub(sent);
        let data = if sent == 0 {
            chunk.into_pyobject(py).ok()?.into_any()
        } else {
            PyBytes::new(py, chunk.get(sent..).unwrap_or_default()).into_any()
        };
        Some((data, left))
    }

    /// `count` of the first chunk's `left` bytes are with OpenSSL. A finished chunk is returned, to
    /// be dropped outside.
    fn advance_backlog(&self, py: Python<'_>, count: usize, left: usize) -> Option<PyBackedBytes> {
        self.cell.with(py, |state, _| {
            state.backlog_bytes = state.backlog_bytes.saturating_sub(count);
            if count < left {
                state.sent += count;
                return None;
            }
            state.sent = 0;
            state.backlog.pop_front()
        })
    }

    /// Hands finished records to the transport below, unless that is full.
    fn pump(this: &Bound<'_, Self>, parts: &Parts<'_>) -> PyResult<()> {
        let py = this.py();
        let free = this.get().cell.with(py, |state, _| state.room == Room::Free);
        if let Some(below) = parts.below.as_ref().filter(|_| free) {
            let records = parts.outgoing.call_method0(intern!(py, "read"))?;
            if records.len()? > 0 {
                below.call_method1(intern!(py, "write"), (records,))?;
            }
        }
        Self::control_writing(this)
    }

    /// For the Python half: what the handshake or the shutdown produced.
    pub(super) fn pump_now(this: &Bound<'_, Self>) -> PyResult<()> {
        match this.get().parts(this.py()) {
            Some(parts) => Self::pump(this, &parts),
            None => Ok(()),
        }
    }

    /// Bytes that have not reached the transport below.
    pub(super) fn unsent(this: &Bound<'_, Self>) -> PyResult<usize> {
        let py = this.py();
        let Some(parts) = this.get().parts(py) else { return Ok(0) };
        let backlog = this.get().cell.with(py, |state, _| state.backlog_bytes);
        Ok(pending(&parts.outgoing)?.saturating_add(backlog))
    }

    /// Pauses and resumes the application at the water marks: at the high one already (S22.12); a
    /// pause that was there before TLS lasts until the transport below has room.
    pub(super) fn control_writing(this: &Bound<'_, Self>) -> PyResult<()> {
        let py = this.py();
        let size = Self::unsent(this)?;
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
        let Err(error) = protocol.call_method0(method) else { return Ok(()) };
        if errors::is_exit_request(py, &error) {
            return Err(error);
        }
        Report::new(py, &format!("protocol.{method}() failed"), error)?
            .with("transport", this.getattr(intern!(py, "_app_transport"))?)?
            .with("protocol", this)?
            .send(&this.get().event_loop(py))
    }
}
