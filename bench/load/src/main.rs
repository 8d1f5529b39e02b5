//! Load and limit of the network benchmarks.
//!
//! `echo`, `http`, `accept`, `receive` and `send` load a server and print what it did in the measured window as one
//! line of JSON. `serve` is the smallest echo server epoll allows, the limit the loops are compared with; `answer` is the
//! same with HTTP, for clients that are measured.

mod accept;
mod bulk;
mod cpu;
mod drive;
mod echo;
mod http;
mod latency;
mod options;
mod pattern;
mod poll;
mod serve;
mod stream;
mod window;

use std::io::{self, Write as _};
use std::process::ExitCode;

use bulk::Direction;
use options::Options;

const USAGE: &str =
    "usage: ferroloop-load echo|http|accept|receive|send|serve|answer [--name value]...";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferroloop-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let options = Options::parse(arguments)?;
    let report = match mode.as_str() {
        "echo" => echo::run(&options)?,
        "http" => http::run(&options)?,
        "accept" => accept::run(&options)?,
        "receive" => bulk::run(&options, &Direction::Receive)?,
        "send" => bulk::run(&options, &Direction::Send)?,
        "serve" => return serve::run(serve::Reply::Echo),
        "answer" => return serve::run(serve::Reply::Http),
        _ => return Err(io::Error::other(USAGE)),
    };
    writeln!(io::stdout(), "{report}")
}
