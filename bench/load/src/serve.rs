//! The limit: a server with nothing between epoll and the sockets, which echoes, or answers HTTP.
//! Prints its port and serves until its standard input ends.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::poll::Poll;

/// As much as one read takes; as large as asyncio's.
const BUFFER: usize = 256 * 1024;
const LISTENER: usize = 0;
const STDIN: usize = 1;
const FIRST_PEER: usize = 2;

#[derive(Clone, Copy)]
pub(crate) enum Reply {
    /// What came.
    Echo,
    /// The same text to every request, of which none has a body and each comes in one piece.
    Http,
}

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

struct Peer {
    reply: Reply,
    stream: TcpStream,
    /// Read, and not yet taken back by the socket.
    unsent: Vec<u8>,
}

struct Server {
    reply: Reply,
    listener: TcpListener,
    poll: Poll,
    /// By key; a place stays empty once its peer has gone.
    peers: Vec<Option<Peer>>,
    buffer: Vec<u8>,
}

pub(crate) fn run(reply: Reply) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let poll = Poll::new()?;
    poll.add(&listener, LISTENER)?;
    poll.add(io::stdin(), STDIN)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    Server { reply, listener, poll, peers: Vec::new(), buffer: vec![0; BUFFER] }.serve()
}

impl Server {
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let ready: Vec<usize> = self.poll.wait()?.collect();
            for key in ready {
                match key {
                    LISTENER => self.accept()?,
                    STDIN => return Ok(()),
                    _ => self.reply(key),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(stream)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn welcome(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.poll.add(&stream, FIRST_PEER + self.peers.len())?;
        self.peers.push(Some(Peer { reply: self.reply, stream, unsent: Vec::new() }));
        Ok(())
    }

    fn reply(&mut self, key: usize) {
        let place = &mut self.peers[key - FIRST_PEER];
        if place.as_mut().is_some_and(|peer| !peer.reply(&mut self.buffer).unwrap_or(false)) {
            *place = None;
        }
    }
}

impl Peer {
    /// False once the peer has closed.
    fn reply(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.flush()?;
        while self.unsent.is_empty() {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => match self.reply {
                    Reply::Echo => self.send(&buffer[..count])?,
                    Reply::Http => self.send(ANSWER)?,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn send(&mut self, data: &[u8]) -> io::Result<()> {
        let sent = sent(self.stream.write(data))?;
        self.unsent.extend_from_slice(&data[sent..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let sent = sent(self.stream.write(&self.unsent))?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }
}

fn sent(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
