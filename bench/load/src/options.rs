//! Options of the command line, each `--name value`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::str::FromStr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::stream::{Stream, Tls, tls_config};

pub(crate) struct Options {
    values: HashMap<String, String>,
    tls: Option<Arc<ClientConfig>>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> io::Result<Self> {
        let mut values = HashMap::new();
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| io::Error::other(format!("{name} needs a value")))?;
            values.insert(name, value);
        }
        let tls = values.get("--authority").map(|path| tls_config(path)).transpose()?;
        Ok(Self { values, tls })
    }

    pub(crate) fn text(&self, name: &str) -> io::Result<&str> {
        let value = self.values.get(name).map(String::as_str);
        value.ok_or_else(|| io::Error::other(format!("{name} is missing")))
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str) -> io::Result<T> {
        let value = self.text(name)?;
        value.parse().map_err(|_| io::Error::other(format!("{name}: {value} is no such number")))
    }

    pub(crate) fn number_or<T: FromStr>(&self, name: &str, otherwise: T) -> io::Result<T> {
        if self.values.contains_key(name) { self.number(name) } else { Ok(otherwise) }
    }

    /// Connects to `--port` of this machine over `--transport`: `tcp`, `udp`, or `unix`, where the
    /// port is part of an abstract name. Non-blocking; `read(2)` and `write(2)` are all that a
    /// connected socket needs, whatever its kind. `tls` is TLS over TCP, with a server whose
    /// certificate is of the `--authority` in that PEM file.
    pub(crate) fn connect(&self) -> io::Result<Stream> {
        let port: u16 = self.number("--port")?;
        let server = (Ipv4Addr::LOCALHOST, port);
        let socket = match self.text("--transport")? {
            "tcp" | "tls" => tcp(server)?,
            "udp" => udp(server)?,
            "unix" => unix(port)?,
            other => return Err(io::Error::other(format!("no transport {other}"))),
        };
        let file = File::from(socket);
        match &self.tls {
            Some(config) => Ok(Stream::Tls(Box::new(Tls::new(file, Arc::clone(config))?))),
            None => Ok(Stream::Plain(file)),
        }
    }
}

/// Without Nagle's delay.
fn tcp(server: (Ipv4Addr, u16)) -> io::Result<OwnedFd> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream.into())
}

fn udp(server: (Ipv4Addr, u16)) -> io::Result<OwnedFd> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn unix(port: u16) -> io::Result<OwnedFd> {
    let name = SocketAddr::from_abstract_name(format!("ferroloop-bench-{port}"))?;
    let stream = UnixStream::connect_addr(&name)?;
    stream.set_nonblocking(true)?;
    Ok(stream.into())
}
