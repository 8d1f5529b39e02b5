//! Load and limit of the network benchmarks.
//!
//! `echo`, `http` and `accept` load a server and print what it did in the measured window as one line of JSON;
//! `serve` is the smallest echo server epoll allows, the limit the loops are compared with.

mod accept;
mod cpu;
mod drive;
mod echo;
mod http;
mod options;
mod pattern;
mod poll;
mod serve;
mod stream;
mod window;

use std::io::{self, Write as _};
use std::process::ExitCode;

use options::Options;

const USAGE: &str = "usage: ferroloop-load echo|http|accept|serve [--name value]...";

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
        "serve" => return serve::run(),
        _ => return Err(io::Error::other(USAGE)),
    };
    writeln!(io::stdout(), "{report}")
}
