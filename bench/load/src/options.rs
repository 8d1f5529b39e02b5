//! Options of the command line, each `--name value`.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::str::FromStr;
use std::time::Duration;

pub(crate) struct Options(HashMap<String, String>);

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> io::Result<Self> {
        let mut values = HashMap::new();
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| io::Error::other(format!("{name} needs a value")))?;
            values.insert(name, value);
        }
        Ok(Self(values))
    }

    pub(crate) fn text(&self, name: &str) -> io::Result<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.ok_or_else(|| io::Error::other(format!("{name} is missing")))
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str) -> io::Result<T> {
        let value = self.text(name)?;
        value
            .parse()
            .map_err(|_| io::Error::other(format!("{name}: {value} is no such number")))
    }

    pub(crate) fn seconds(&self, name: &str) -> io::Result<Duration> {
        Duration::try_from_secs_f64(self.number(name)?).map_err(io::Error::other)
    }

    /// Connects to `--port` of this machine: non-blocking, without Nagle's delay.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            self.number("--port")?,
        )))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}
