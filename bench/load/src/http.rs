//! HTTP/1.1 over connections that are kept alive: one GET after the other, status and body checked.

use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::drive::{Conversation, drive, transferred};
use crate::options::Options;
use crate::stream::Stream;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n";

struct Exchange {
    stream: Stream,
    body: Box<[u8]>,
    buffer: Box<[u8]>,
    received: usize,
    asked: Instant,
}

/// Options: `--transport`, `--port`, `--connections`, `--body` that every answer must have, and
/// those of turns.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let body = options.text("--body")?.as_bytes();
    let connect = |_| {
        Ok(Exchange {
            stream: options.connect()?,
            body: body.into(),
            buffer: vec![0; 4096 + body.len()].into(),
            received: 0,
            asked: Instant::now(),
        })
    };
    let count: usize = options.number("--connections")?;
    let conversations: io::Result<Vec<Exchange>> = (0..count).map(connect).collect();
    drive(conversations?, options)
}

impl Conversation for Exchange {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The send buffer of a connection that waits for nothing is empty: the request always fits.
    fn ask(&mut self) -> io::Result<()> {
        self.asked = Instant::now();
        self.stream.write_all(REQUEST)
    }

    fn advance(&mut self) -> io::Result<Option<Duration>> {
        while let Some(count) = transferred(self.stream.read(&mut self.buffer[self.received..]))? {
            self.received += count;
            if is_answered(&self.buffer[..self.received], &self.body)? {
                self.received = 0;
                return Ok(Some(self.asked.elapsed()));
            }
        }
        Ok(None)
    }
}

/// False while the answer is incomplete; an error if it is not the expected one.
fn is_answered(answer: &[u8], body: &[u8]) -> io::Result<bool> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let (head, got) = (&answer[..end], &answer[end + 4..]);
    if !head.starts_with(b"HTTP/1.1 200 ")
        || content_length(head) != Some(body.len())
        || !body.starts_with(got)
    {
        return Err(io::Error::other(format!(
            "unexpected answer: {}",
            String::from_utf8_lossy(answer)
        )));
    }
    Ok(got.len() == body.len())
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let is_name =
        |line: &&[u8]| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME);
    let line = head.split(|&byte| byte == b'\n').find(is_name)?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::is_answered;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 5\r\n\r\nhello";

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        for length in 0..ANSWER.len() {
            assert!(!is_answered(&ANSWER[..length], b"hello").unwrap());
        }
        assert!(is_answered(ANSWER, b"hello").unwrap());
    }

    #[test]
    fn another_status_length_or_body_is_an_error() {
        assert!(
            is_answered(b"HTTP/1.1 500 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello").is_err()
        );
        assert!(
            is_answered(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell", b"hello").is_err()
        );
        assert!(is_answered(b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello").is_err());
        assert!(is_answered(ANSWER, b"jello").is_err());
    }
}
