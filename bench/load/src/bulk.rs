//! Bulk: one connection, one direction, as fast as the server can. A mebibyte is the operation.

use std::io::{self, Read as _, Write as _};

use crate::drive::transferred;
use crate::options::Options;
use crate::poll::Poll;
use crate::window::{Report, Window};

const MEBIBYTE: u64 = 1 << 20;
const PIECE: usize = 256 * 1024;

pub(crate) enum Direction {
    /// The server receives.
    Receive,
    /// The server sends.
    Send,
}

/// Options: `--transport`, `--port`, and the window's.
pub(crate) fn run(options: &Options, direction: &Direction) -> io::Result<Report> {
    let mut window = Window::new(options)?;
    let mut stream = options.connect()?;
    let mut poll = Poll::new()?;
    poll.add(stream.file(), 0)?;
    let mut buffer = vec![b'x'; PIECE];
    let mut bytes = 0;
    loop {
        let moved = match direction {
            Direction::Receive => transferred(stream.write(&buffer))?,
            Direction::Send => transferred(stream.read(&mut buffer))?,
        };
        let Some(moved) = moved else {
            poll.wait_for_answers()?.count();
            continue;
        };
        bytes += moved as u64;
        let report = window.count(bytes / MEBIBYTE)?;
        bytes %= MEBIBYTE;
        if let Some(report) = report {
            return Ok(report);
        }
    }
}
