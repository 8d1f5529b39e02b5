//! Accept rate: each connection sends one byte, gets it back, sees the server close, and makes room
//! for the next. The server closes first, so `TIME_WAIT` stays on its side and the client does not
//! run out of ports.

use std::io::{self, Read as _, Write as _};

use crate::options::Options;
use crate::poll::Poll;
use crate::stream::Stream;
use crate::turns::Turns;

const QUESTION: u8 = b'?';

struct Visit {
    stream: Stream,
    answered: bool,
}

/// Options: `--transport`, `--port`, `--connections` open at a time, and those of turns.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let mut turns = Turns::new(options)?;
    let mut poll = Poll::new()?;
    let count: usize = options.number("--connections")?;
    while let Some(mut window) = turns.next()? {
        let mut visits = Vec::new();
        for key in 0..count {
            visits.push(Some(Visit::new(options, &poll, key)?));
        }
        while visits.iter().any(Option::is_some) {
            let ready: Vec<usize> = poll.wait_for_answers()?.collect();
            let mut ended = 0;
            for key in ready {
                let Some(visit) = &mut visits[key] else { continue };
                if visit.is_over()? {
                    ended += 1;
                    let next = || Visit::new(options, &poll, key);
                    visits[key] = (!window.is_closed()).then(next).transpose()?;
                }
            }
            window.count(ended)?;
        }
        window.tell()?;
    }
    Ok(())
}

impl Visit {
    /// Connecting blocks, which on the loopback device ends at once: the kernel completes it
    /// without the server.
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
