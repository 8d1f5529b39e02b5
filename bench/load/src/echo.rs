//! Echo: every byte comes back, in order, before the next message goes out.

use std::io::{self, Read as _, Write as _};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::drive::{Conversation, drive, transferred};
use crate::options::Options;
use crate::pattern::Pattern;
use crate::stream::Stream;

/// Before each idle connection, so that no server's backlog overflows: the kernel tries again only
/// after a second.
const PAUSE: Duration = Duration::from_micros(100);

struct Echo {
    stream: Stream,
    pattern: Rc<Pattern>,
    buffer: Vec<u8>,
    /// Position in the pattern at which the current message starts.
    start: usize,
    sent: usize,
    received: usize,
    asked: Instant,
}

/// Options: `--transport`, `--port`, `--connections`, `--size` of a message in bytes, and those of
/// turns; optionally `--idle`, the number of connections beside them that do nothing.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let size = options.number("--size")?;
    let pattern = Rc::new(Pattern::new(size));
    let connect = |start| {
        let stream = options.connect()?;
        Ok(Echo {
            stream,
            pattern: Rc::clone(&pattern),
            buffer: vec![0; size],
            start,
            // Nothing is under way.
            sent: size,
            received: 0,
            asked: Instant::now(),
        })
    };
    let idle = |_| {
        thread::sleep(PAUSE);
        options.connect()
    };
    let idle: io::Result<Vec<Stream>> = (0..options.number_or("--idle", 0)?).map(idle).collect();
    let _idle = idle?;
    let conversations: io::Result<Vec<Echo>> =
        (0..options.number("--connections")?).map(connect).collect();
    drive(conversations?, options)
}

impl Conversation for Echo {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn ask(&mut self) -> io::Result<()> {
        self.sent = 0;
        self.asked = Instant::now();
        self.send()
    }

    fn advance(&mut self) -> io::Result<Option<Duration>> {
        self.send()?;
        if !self.receive()? {
            return Ok(None);
        }
        self.start += self.buffer.len();
        self.received = 0;
        Ok(Some(self.asked.elapsed()))
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

    /// True if the message is back. No more can follow it, so the socket need not be asked until it
    /// would block.
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
