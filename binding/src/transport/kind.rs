//! What differs between the transports: the words for their errors, and which errors are quiet.

use ferroloop_engine::Channel;
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::lost_writes::LostWrites;

/// A terminal whose other side has gone: that is how it says end of file (S30.7).
const EIO: i32 = 5;

/// What a transport is over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Datagram,
    ReadPipe,
    WritePipe,
}

impl Kind {
    pub(super) const fn channel(self) -> Channel {
        match self {
            Self::Stream | Self::Datagram => Channel::Socket,
            Self::ReadPipe => Channel::ReadEnd,
            Self::WritePipe => Channel::WriteEnd,
        }
    }

    #[inline]
    pub(super) const fn is_socket(self) -> bool {
        matches!(self, Self::Stream | Self::Datagram)
    }

    pub(super) const fn class_name(self) -> &'static str {
        match self {
            Self::Stream => "StreamTransport",
            Self::Datagram => "DatagramTransport",
            Self::ReadPipe => "ReadPipeTransport",
            Self::WritePipe => "WritePipeTransport",
        }
    }

    pub(super) const fn read_error(self) -> &'static str {
        match self {
            Self::Stream => "Fatal read error on socket transport",
            Self::Datagram => "Fatal read error on datagram transport",
            Self::ReadPipe | Self::WritePipe => "Fatal read error on pipe transport",
        }
    }

    pub(super) const fn write_error(self) -> &'static str {
        match self {
            Self::Stream => "Fatal write error on socket transport",
            Self::Datagram => "Fatal write error on datagram transport",
            Self::ReadPipe | Self::WritePipe => "Fatal write error on pipe transport",
        }
    }

    pub(super) const fn lost_write(self) -> &'static str {
        if self.is_socket() {
            "socket.send() raised exception."
        } else {
            "pipe closed by peer or os.write(pipe, data) raised exception."
        }
    }

    /// The writes lost by the end of a connection itself. asyncio counts the loss of a socket as
    /// the first, and of a pipe only a failed write (S31.14).
    pub(super) fn lost_writes(self) -> LostWrites {
        let mut lost = LostWrites::default();
        if self.is_socket() {
            lost.count();
        }
        lost
    }

    /// Whether an error is nobody's fault and goes to the debug log alone (S16.10, S30.7, S31.10).
    pub(super) fn is_quiet(self, py: Python<'_>, error: &PyErr) -> PyResult<bool> {
        if !error.is_instance_of::<PyOSError>(py) {
            return Ok(false);
        }
        match self {
            Self::Stream | Self::Datagram | Self::WritePipe => Ok(true),
            Self::ReadPipe => error.value(py).getattr(intern!(py, "errno"))?.eq(EIO),
        }
    }
}
