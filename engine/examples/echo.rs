//! A TCP echo server.
//!
//! `cargo run --example echo [ADDRESS [CONNECTIONS]]` serves on ADDRESS, by default 127.0.0.1:7777,
//! until CONNECTIONS have come and gone, by default forever.

use std::env;
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ferroloop_engine::{
    Accept, Channel, Interest, Phase, Poller, Read, Readiness, Stream, Token, accept,
};

/// What a descriptor is watched for.
enum Watch {
    Listener(TcpListener),
    Connection(OwnedFd, Stream<Vec<u8>>),
}

/// Sends back what has come in. Whether the connection is over.
fn echo(
    socket: &OwnedFd,
    stream: &mut Stream<Vec<u8>>,
    readiness: Readiness,
    scratch: &mut [u8],
) -> io::Result<bool> {
    if readiness.readable() && stream.is_reading() {
        match stream.recv(socket.as_fd(), scratch)? {
            Read::Data(length) => {
                drop(stream.write(scratch.get(..length).unwrap_or_default().to_vec()));
            }
            Read::Eof => drop(stream.close()),
            Read::NotReady => {}
        }
    }
    stream.flush(socket.as_fd(), &mut Vec::new())?;
    let drained = stream.outbox().is_empty();
    // A peer that does not read what it is sent is not read from either.
    if drained {
        stream.resume_reading()
    } else {
        stream.pause_reading()
    };
    Ok(stream.phase() == Phase::Closing && drained)
}

/// Serves one event. How many connections that ended.
fn serve(
    poller: &mut Poller<Watch>,
    token: Token,
    readiness: Readiness,
    scratch: &mut [u8],
) -> io::Result<usize> {
    match poller.payload_mut(token) {
        Some(Watch::Listener(listener)) => {
            if let Accept::Connection(socket, _) = accept(listener.as_fd()) {
                let fd = socket.as_raw_fd();
                let mut stream = Stream::new(Channel::Socket);
                stream.resume_reading();
                let watch = Watch::Connection(socket, stream);
                poller.insert(fd, Interest::READ, watch).map_err(|refused| refused.error)?;
            }
        }
        Some(Watch::Connection(socket, stream)) => {
            // An error is the end of this connection and of nothing else.
            if echo(socket, stream, readiness, scratch).unwrap_or(true) {
                poller.remove(token);
                return Ok(1);
            }
            let interest = stream.interest();
            poller.set_interest(token, interest);
        }
        None => {}
    }
    Ok(0)
}

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7777".into());
    let connections = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);

    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    let mut poller = Poller::new()?;
    let fd = listener.as_raw_fd();
    let watch = Watch::Listener(listener);
    poller.insert(fd, Interest::READ, watch).map_err(|refused| refused.error)?;

    let mut scratch = vec![0; 65_536];
    let mut ended = 0;
    while ended < connections {
        let mut wait = poller.begin(None)?;
        wait.run()?;
        poller.end(wait);
        let events: Vec<_> = poller.events().map(|(token, ready, _)| (token, ready)).collect();
        for (token, readiness) in events {
            ended += serve(&mut poller, token, readiness, &mut scratch)?;
        }
    }
    Ok(())
}
