//! The layer's Python surface: a protocol for the transport below, and the parts that the Python
//! half puts together.

use ferroloop_engine::WaterMarks;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::libssl::{NoSsl, Ssl};
use super::portable::Portable;
use super::{Backlog, READ_HIGH, Room, Session, State, TlsLayer, TlsPhase, WRITE_HIGH};
use crate::cell::LoopCell;
use crate::errors;
use crate::event_loop::EventLoop;
use crate::lost_writes::LostWrites;
use crate::transport::{chunk, is_buffered};

#[pymethods]
impl TlsLayer {
    /// The further arguments are those of `ferroloop._tls.TlsProtocol`.
    #[new]
    #[pyo3(signature = (r#loop, protocol, *_args, **_options))]
    fn new(
        r#loop: Py<EventLoop>,
        protocol: &Bound<'_, PyAny>,
        _args: &Bound<'_, PyTuple>,
        _options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self {
            cell: LoopCell::new(State {
                phase: TlsPhase::IDLE,
                event_loop: r#loop,
                session: None,
                below: None,
                buffered: is_buffered(protocol)?,
                protocol: Some(protocol.clone().unbind()),
                backlog: Backlog::default(),
                write_marks: WaterMarks::new(WRITE_HIGH),
                read_marks: WaterMarks::new(READ_HIGH),
                reading_paused: false,
                room: Room::Free,
                unread: false,
                lost_writes: LostWrites::default(),
            }),
        })
    }

    /// What to work with: an SSLObject, and the MemoryBIOs it reads from and writes to.
    fn _wrap(&self, py: Python<'_>, object: Py<PyAny>, incoming: Py<PyAny>, outgoing: Py<PyAny>) {
        let session = Session { portable: Portable { object, incoming, outgoing }, ssl: None };
        let old = self.cell.with(py, move |state, _| state.session.replace(session));
        drop(old);
    }

    /// Has the direct engine take over from here, or returns the reason why it cannot.
    fn _go_direct(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        let Some(Session { portable, .. }) = self.session(py) else { return Ok(None) };
        let ssl = match Ssl::of(
            portable.object.bind(py),
            portable.incoming.bind(py),
            portable.outgoing.bind(py),
        ) {
            Ok(ssl) => ssl,
            Err(NoSsl::Doubt(doubt)) => return Ok(Some(doubt)),
            Err(NoSsl::Raised(error)) => return Err(error),
        };
        let unused = self.cell.with(py, move |state, _| match &mut state.session {
            Some(session) => session.ssl.replace(ssl),
            None => Some(ssl),
        });
        drop(unused);
        Ok(None)
    }

    /// Which engine is at work, 'direct' or 'portable'.
    #[getter]
    fn _engine(&self, py: Python<'_>) -> &'static str {
        let direct = self.session(py).is_some_and(|session| session.ssl.is_some());
        if direct { "direct" } else { "portable" }
    }

    // The protocol's methods, called by the transport below.

    fn data_received<'py>(slf: &Bound<'py, Self>, data: &Bound<'py, PyAny>) -> PyResult<()> {
        Self::with_session(slf, |slf, session| {
            session.portable.feed(data)?;
            Self::advance(slf, session)
        })
    }

    fn pause_writing(&self, py: Python<'_>) {
        self.cell.with(py, |state, _| state.room = Room::Full);
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().cell.with(slf.py(), |state, _| state.room = Room::Free);
        Self::with_session(slf, Self::pump)
    }

    // The transport's `write` and `writelines`.

    fn _write<'py>(slf: &Bound<'py, Self>, data: &Bound<'py, PyAny>) -> PyResult<()> {
        let chunk = chunk::for_tls(data)?;
        if chunk.is_empty() {
            return Ok(());
        }
        Self::write(slf, [chunk])
    }

    fn _writelines<'py>(slf: &Bound<'py, Self>, list_of_data: &Bound<'py, PyAny>) -> PyResult<()> {
        let chunks = chunk::each_of(list_of_data)?;
        Self::write(slf, chunks.into_iter().filter(|chunk| !chunk.is_empty()))
    }

    // Parts for the Python half.

    #[getter(_phase)]
    fn get_phase(&self, py: Python<'_>) -> TlsPhase {
        self.phase(py)
    }

    #[setter(_phase)]
    fn set_phase(&self, py: Python<'_>, phase: TlsPhase) {
        self.cell.with(py, |state, _| state.phase = phase);
    }

    #[getter(_transport)]
    fn get_transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cell.shared(py, |state| state.below.as_ref())
    }

    #[setter(_transport)]
    fn set_transport(&self, py: Python<'_>, transport: Option<Py<PyAny>>) {
        let old =
            self.cell.with(py, move |state, _| std::mem::replace(&mut state.below, transport));
        drop(old);
    }

    #[getter(_app_protocol)]
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    #[setter(_app_protocol)]
    fn set_protocol(&self, py: Python<'_>, protocol: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let buffered = protocol.as_ref().map(is_buffered).transpose()?.unwrap_or(false);
        let protocol = protocol.map(Bound::unbind);
        let old = self.cell.with(py, move |state, _| {
            state.buffered = buffered;
            std::mem::replace(&mut state.protocol, protocol)
        });
        drop(old);
        Ok(())
    }

    #[getter(_loop)]
    fn get_loop<'py>(&self, py: Python<'py>) -> Bound<'py, EventLoop> {
        self.event_loop(py)
    }

    #[getter(_app_reading_paused)]
    fn get_reading_paused(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |state, _| state.reading_paused)
    }

    #[setter(_app_reading_paused)]
    fn set_reading_paused(&self, py: Python<'_>, paused: bool) {
        self.cell.with(py, |state, _| state.reading_paused = paused);
    }

    /// The transport below was full before TLS came in between, and has paused the application,
    /// which is resumed when there is room again.
    fn _inherit_pause(&self, py: Python<'_>) {
        self.cell.with(py, |state, _| {
            state.room = Room::FullBefore;
            state.write_marks.rise(usize::MAX)
        });
    }

    #[getter(_writing_paused)]
    fn get_writing_paused(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |state, _| state.write_marks.is_paused())
    }

    /// Does what the phase asks for with what has been received.
    fn _advance(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::with_session(slf, Self::advance)
    }

    fn _read(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::with_session(slf, Self::read_received)
    }

    /// Goes on after a read that filled the protocol's buffer.
    fn _read_on(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().phase(slf.py()) {
            TlsPhase::OPEN | TlsPhase::FLUSHING => Self::_advance(slf),
            _ => Ok(()),
        }
    }

    #[getter(_unread)]
    fn is_unread(&self, py: Python<'_>) -> bool {
        self.cell.with(py, |state, _| state.unread)
    }

    fn _send_backlog(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::with_session(slf, Self::send_backlog)
    }

    fn _pump(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::with_session(slf, Self::pump)
    }

    /// Lets go of the session, and of what was written and never sent.
    fn _release(&self, py: Python<'_>) {
        let dropped = self.cell.with(py, |state, _| {
            // asyncio counts the end of the connection as a lost write.
            state.lost_writes.count();
            (std::mem::take(&mut state.backlog), state.session.take())
        });
        drop(dropped);
    }

    /// The SSLObject, None once the connection is lost.
    #[getter]
    fn _sslobj<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cell.shared(py, |state| Some(&state.session.as_ref()?.portable.object))
    }

    /// The BIO of what was received.
    #[getter]
    fn _incoming<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cell.shared(py, |state| Some(&state.session.as_ref()?.portable.incoming))
    }

    fn _read_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        self.session(py).map_or(Ok(0), |session| session.received(py))
    }

    fn _write_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        self.session(py).map_or(Ok(0), |session| self.unsent(py, &session))
    }

    #[pyo3(signature = (high, low))]
    fn _set_write_limits(
        slf: &Bound<'_, Self>,
        high: Option<i64>,
        low: Option<i64>,
    ) -> PyResult<()> {
        slf.get().set_limits(slf.py(), |state| &mut state.write_marks, high, low)?;
        Self::with_session(slf, Self::control_writing)
    }

    fn _get_write_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.cell.with(py, |state, _| (state.write_marks.low(), state.write_marks.high()))
    }

    #[pyo3(signature = (high, low))]
    fn _set_read_limits(
        slf: &Bound<'_, Self>,
        high: Option<i64>,
        low: Option<i64>,
    ) -> PyResult<()> {
        slf.get().set_limits(slf.py(), |state| &mut state.read_marks, high, low)?;
        Self::with_session(slf, Self::control_reading)
    }

    fn _get_read_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.cell.with(py, |state, _| (state.read_marks.low(), state.read_marks.high()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.cell.traverse(&visit, State::traverse)
    }

    fn __clear__(&self) {
        self.cell.clear(|state| (state.below.take(), state.protocol.take(), state.session.take()));
    }
}

impl TlsLayer {
    /// Changes the limits of one direction (S17.1).
    fn set_limits(
        &self,
        py: Python<'_>,
        marks: impl FnOnce(&mut State) -> &mut WaterMarks + Send,
        high: Option<i64>,
        low: Option<i64>,
    ) -> PyResult<()> {
        let outcome = self.cell.with(py, |state, _| marks(state).set_limits(high, low));
        outcome.map_err(|limits| errors::invalid_limits(&limits))
    }
}
