//! Echo: every byte comes back, in order, before the next message goes out.

use std::io::{self, Read as _, Write as _};
use std::rc::Rc;

use crate::drive::{Conversation, drive, transferred};
use crate::options::Options;
use crate::pattern::Pattern;
use crate::stream::Stream;
use crate::window::{Report, Window};

struct Echo {
    stream: Stream,
    pattern: Rc<Pattern>,
    buffer: Vec<u8>,
    /// Position in the pattern at which the current message starts.
    start: usize,
    sent: usize,
    received: usize,
}

/// Options: `--transport`, `--port`, `--connections`, `--size` of a message in bytes, and the window's.
pub(crate) fn run(options: &Options) -> io::Result<Report> {
    let size = options.number("--size")?;
    let pattern = Rc::new(Pattern::new(size));
    let connect = |start| {
        let stream = options.connect()?;
        Ok(Echo {
            stream,
            pattern: Rc::clone(&pattern),
            buffer: vec![0; size],
            start,
            sent: 0,
            received: 0,
        })
    };
    let conversations: io::Result<Vec<Echo>> =
        (0..options.number("--connections")?).map(connect).collect();
    drive(conversations?, Window::new(options)?)
}

impl Conversation for Echo {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn advance(&mut self) -> io::Result<u64> {
        self.send()?;
        if !self.receive()? {
            return Ok(0);
        }
        self.start += self.buffer.len();
        self.sent = 0;
        self.received = 0;
        self.send()?;
        Ok(1)
    }
}

impl Echo {
    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.buffer.len() {
            let rest = self.pattern.piece(self.start + self.sent, self.buffer.len() - self.sent);
            let Some(count) = transferred(self.stream.write(rest))? else {
                break;
            };
            self.sent += count;
        }
        Ok(())
    }

    /// True if the message is back. No more can follow it, so the socket need not be asked until it would block.
    fn receive(&mut self) -> io::Result<bool> {
        while self.received < self.buffer.len() {
            let free = &mut self.buffer[self.received..];
            let Some(count) = transferred(self.stream.read(free))? else {
                return Ok(false);
            };
            if free[..count] != *self.pattern.piece(self.start + self.received, count) {
                return Err(io::Error::other("the echo differs from what was sent"));
            }
            self.received += count;
        }
        Ok(true)
    }
}
