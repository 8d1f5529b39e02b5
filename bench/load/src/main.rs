//! Load and limit of the network benchmarks.
//!
//! `echo`, `http`, `accept`, `receive` and `send` load a server, in turns: for each line on
//! standard input they print what it did in the measured window as one line of JSON. `serve` is the
//! smallest echo server epoll allows, the limit the loops are compared with; `answer` is the same
//! with HTTP, for clients that are measured.

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
mod turns;
mod window;

use std::io;
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
    match mode.as_str() {
        "echo" => echo::run(&options),
        "http" => http::run(&options),
        "accept" => accept::run(&options),
        "receive" => bulk::run(&options, &Direction::Receive),
        "send" => bulk::run(&options, &Direction::Send),
        "serve" => serve::run(serve::Reply::Echo),
        "answer" => serve::run(serve::Reply::Http),
        _ => Err(io::Error::other(USAGE)),
    }
}
