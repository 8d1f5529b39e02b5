//! Turns: several loads of several servers are alive at a time, and one of them works.

use std::io;
use std::time::Duration;

use crate::options::Options;
use crate::window::Window;

/// Exchanges of each connection, on average, before the window of the first turn opens. Some of
/// them find buffers that have never been used, here and there: with a thousand connections that
/// alone fills the warm-up.
const FIRST_EXCHANGES: u64 = 3;
/// The same in later turns.
const LATER_EXCHANGES: u64 = 1;
/// And in the window, whose edges lie somewhere in an exchange of each connection.
const COUNTED_EXCHANGES: u64 = 5;

/// A turn for each line of standard input, `WARMUP SECONDS`, until it ends.
pub(crate) struct Turns {
    server: u32,
    connections: u64,
    exchanges: u64,
}

impl Turns {
    /// Options: `--server-pid` and, if there are several, `--connections`.
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        let server = options.number("--server-pid")?;
        let connections = options.number_or("--connections", 1)?;
        Ok(Self { server, connections, exchanges: FIRST_EXCHANGES })
    }

    /// Waits for the next turn, which begins now.
    pub(crate) fn next(&mut self) -> io::Result<Option<Window>> {
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let exchanges = std::mem::replace(&mut self.exchanges, LATER_EXCHANGES);
        let before = exchanges * self.connections;
        let counted = COUNTED_EXCHANGES * self.connections;
        let mut lengths = line.split_whitespace().map(seconds);
        match (lengths.next(), lengths.next()) {
            (Some(warmup), Some(length)) => {
                Ok(Some(Window::new(self.server, (warmup?, before), (length?, counted))))
            }
            _ => Err(io::Error::other("a turn has a warm-up and a length")),
        }
    }
}

fn seconds(text: &str) -> io::Result<Duration> {
    let seconds = text.parse().map_err(io::Error::other)?;
    Duration::try_from_secs_f64(seconds).map_err(io::Error::other)
}
