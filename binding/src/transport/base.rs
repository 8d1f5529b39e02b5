//! The Python surface that all transports share (asyncio.BaseTransport), and the one of all that
//! send (asyncio.WriteTransport, but for how the data comes in).

use ferroloop_engine::{Interest, Phase};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::kind::Kind;
use super::protocol::Receives;
use super::{Base, BaseTransport, Descriptor, State, WriteTransport};
use crate::event_loop::EventLoop;

#[pymethods]
impl BaseTransport {
    /// Stops reading, sends what is buffered, then `connection_lost(None)` in a later iteration.
    #[pyo3(name = "close")]
    fn py_close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::close(slf)
    }

    /// True once closing has begun.
    #[pyo3(name = "is_closing")]
    fn py_is_closing(&self, py: Python<'_>) -> bool {
        self.is_closing(py)
    }

    /// What is known about the connection: 'socket', 'sockname', 'peername' of a stream, 'pipe' of
    /// a pipe, and what the creator added.
    #[pyo3(signature = (name, default = None))]
    fn get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        // Whoever gets the socket may use it beside us: what was written before goes first.
        Self::uncork_now(slf)?;
        Ok(Self::extra_info(slf, name)?.or(default))
    }

    /// Stops `data_received` or `datagram_received`; again, or when closing, does nothing.
    #[pyo3(name = "pause_reading")]
    fn py_pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::pause_reading(slf)
    }

    /// Undoes `pause_reading()`.
    #[pyo3(name = "resume_reading")]
    fn py_resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::resume_reading(slf)
    }

    /// True if data is asked for.
    #[pyo3(name = "is_reading")]
    fn py_is_reading(&self, py: Python<'_>) -> bool {
        self.is_reading(py)
    }

    /// Hands the connection to another protocol.
    fn set_protocol(&self, protocol: Bound<'_, PyAny>) -> PyResult<()> {
        let py = protocol.py();
        let receives = Receives::of(&protocol, self.kind(py))?;
        let protocol = protocol.unbind();
        let old = self.cell.with(py, move |state, _| {
            let ties = state.ties.as_mut()?;
            state.stream.change_reader();
            ties.receives = receives;
            Some(std::mem::replace(&mut ties.protocol, protocol))
        });
        drop(old);
        Ok(())
    }

    /// The protocol; None after `connection_lost`.
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cell.shared(py, |state| state.ties.as_ref().map(|ties| &ties.protocol))
    }

    #[getter(_loop)]
    fn get_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, EventLoop>> {
        self.event_loop(py)
    }

    /// Where the protocol is called.
    #[getter(_context)]
    fn get_context<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cell.shared(py, |state| state.ties.as_ref().map(|ties| &ties.context))
    }

    #[getter(_protocol)]
    fn protocol_attribute<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.get_protocol(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let polled =
            self.event_loop(py).is_some_and(|event_loop| event_loop.get().check_closed().is_ok());
        self.cell.with(py, |state, _| state.describe(polled))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.cell.traverse(&visit, State::traverse)
    }

    fn __clear__(&self) {
        self.cell.clear(|state| (state.ties.take(), state.extra.take()));
    }
}

#[pymethods]
impl WriteTransport {
    /// Drops what is buffered; `connection_lost(None)` in a later iteration.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        BaseTransport::abort(slf.base(), None)
    }

    /// Sets the buffer sizes in bytes above and below which the protocol is paused and resumed.
    ///
    /// Raises ValueError unless high >= low >= 0.
    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(
        slf: &Bound<'_, Self>,
        high: Option<i64>,
        low: Option<i64>,
    ) -> PyResult<()> {
        BaseTransport::set_limits(slf.base(), high, low)
    }

    /// The limits as (low, high), in bytes.
    fn get_write_buffer_limits(slf: &Bound<'_, Self>) -> (usize, usize) {
        slf.base().get().limits(slf.py())
    }

    /// Bytes the kernel has not taken yet; of datagrams each counts 8 more on Python 3.13 and
    /// later.
    fn get_write_buffer_size(slf: &Bound<'_, Self>) -> PyResult<usize> {
        BaseTransport::buffer_size(slf.base())
    }
}

impl State {
    /// asyncio's description (S16.25, S30.14, S31.20); what is polled only while the loop is open.
    fn describe(&self, polled: bool) -> String {
        let name = self.kind.class_name();
        let fd = self.token.fd();
        let phase = match (&self.descriptor, self.stream.phase()) {
            (Descriptor::Closed, _) => " closed",
            (_, Phase::Open) => "",
            (_, Phase::Closing | Phase::Lost) => " closing",
        };
        let polls = if self.kind.is_socket() {
            self.describe_socket(polled)
        } else {
            self.describe_pipe(polled)
        };
        format!("<{name}{phase} fd={fd}{polls}>")
    }

    fn describe_socket(&self, polled: bool) -> String {
        if !polled {
            return String::new();
        }
        let (read, write) = (self.polling(Interest::READ), self.polling(Interest::WRITE));
        let size = self.waiting();
        format!(" read={read} write=<{write}, bufsize={size}>")
    }

    fn describe_pipe(&self, polled: bool) -> String {
        if matches!(self.descriptor, Descriptor::Closed) {
            return " closed".into();
        }
        if !polled {
            return " open".into();
        }
        if self.kind == Kind::ReadPipe {
            return format!(" {}", self.polling(Interest::READ));
        }
        let size = self.stream.outbox().len_bytes();
        format!(" {} bufsize={size}", self.polling(Interest::WRITE))
    }

    fn polling(&self, side: Interest) -> &'static str {
        if self.interest.is_some_and(|interest| interest.contains(side)) {
            "polling"
        } else {
            "idle"
        }
    }
}
