//! Accept rate: each connection sends one byte, gets it back, sees the server close, and makes room for the next.
//! The server closes first, so `TIME_WAIT` stays on its side and the client does not run out of ports.

use std::io::{self, Read as _, Write as _};

use crate::options::Options;
use crate::poll::Poll;
use crate::stream::Stream;
use crate::window::{Report, Window};

const QUESTION: u8 = b'?';

struct Visit {
    stream: Stream,
    answered: bool,
}

/// Options: `--transport`, `--port`, `--connections` open at a time, and the window's.
pub(crate) fn run(options: &Options) -> io::Result<Report> {
    let mut window = Window::new(options)?;
    let mut poll = Poll::new()?;
    let mut visits = Vec::new();
    for key in 0..options.number("--connections")? {
        visits.push(Visit::new(options, &poll, key)?);
    }
    loop {
        let ready: Vec<usize> = poll.wait_for_answers()?.collect();
        let mut ended = 0;
        for key in ready {
            if visits[key].is_over()? {
                visits[key] = Visit::new(options, &poll, key)?;
                ended += 1;
            }
        }
        if let Some(report) = window.count(ended)? {
            return Ok(report);
        }
    }
}

impl Visit {
    /// Connecting blocks, which on the loopback device ends at once: the kernel completes it without the server.
    fn new(options: &Options, poll: &Poll, key: usize) -> io::Result<Self> {
        let mut stream = options.connect()?;
        stream.write_all(&[QUESTION])?;
        poll.add(stream.file(), key)?;
        Ok(Self { stream, answered: false })
    }

    fn is_over(&mut self) -> io::Result<bool> {
        let mut answer = [0; 2];
        loop {
            match self.stream.read(&mut answer) {
                Ok(0) if self.answered => return Ok(true),
                Ok(1) if !self.answered && answer[0] == QUESTION => self.answered = true,
                Ok(count) => {
                    return Err(io::Error::other(format!("unexpected answer of {count} bytes")));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}
