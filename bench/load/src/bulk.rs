//! Bulk: one connection, one direction, as fast as the server can. A mebibyte is the operation.

use std::io::{self, Read as _, Write as _};

use crate::drive::transferred;
use crate::options::Options;
use crate::poll::Poll;
use crate::stream::Stream;
use crate::turns::Turns;
use crate::window::Window;

const MEBIBYTE: u64 = 1 << 20;
const PIECE: usize = 256 * 1024;

pub(crate) enum Direction {
    /// The server receives.
    Receive,
    /// The server sends.
    Send,
}

/// Options: `--transport`, `--port`, and those of turns.
pub(crate) fn run(options: &Options, direction: &Direction) -> io::Result<()> {
    let mut turns = Turns::new(options)?;
    let mut stream = options.connect()?;
    let mut poll = Poll::new()?;
    poll.add(stream.file(), 0)?;
    while let Some(mut window) = turns.next()? {
        fill(&mut window, &mut stream, &mut poll, direction)?;
        window.tell()?;
    }
    Ok(())
}

/// Between the turns the server goes on until the socket's buffers are empty, or full.
fn fill(
    window: &mut Window,
    stream: &mut Stream,
    poll: &mut Poll,
    direction: &Direction,
) -> io::Result<()> {
    let mut buffer = vec![b'x'; PIECE];
    let mut bytes = 0;
    while !window.is_closed() {
        let moved = match direction {
            Direction::Receive => transferred(stream.write(&buffer))?,
            Direction::Send => transferred(stream.read(&mut buffer))?,
        };
        let Some(moved) = moved else {
            poll.wait_for_answers()?.count();
            continue;
        };
        bytes += moved as u64;
        window.count(bytes / MEBIBYTE)?;
        bytes %= MEBIBYTE;
    }
    Ok(())
}
