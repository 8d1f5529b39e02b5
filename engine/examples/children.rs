//! Children, watched by a loop that sleeps meanwhile.
//!
//! `cargo run --example children` starts four shells and prints how each has ended: in the order
//! of starting, whatever the order of ending.

use std::io::{self, PipeReader, Write as _};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::thread::{self, Scope};

use ferroloop_engine::{Child, Exit, Interest, Poller, Token, await_exit, reap};

const COMMANDS: [&str; 4] = ["sleep 0.02; exit 7", "exit 0", "kill -TERM $$", "exit 255"];

/// What becomes readable when a child ends: its pidfd or, where there are none, the pipe that a
/// waiting thread hangs up.
enum Watched {
    Pidfd(Child),
    Thread(PipeReader),
}

impl Watched {
    fn new<'scope>(pid: i32, scope: &'scope Scope<'scope, '_>) -> io::Result<Self> {
        if Child::supported() {
            return Ok(Self::Pidfd(Child::open(pid)?));
        }
        let (reader, writer) = io::pipe()?;
        scope.spawn(move || {
            let outcome = await_exit(pid);
            drop(writer);
            outcome
        });
        Ok(Self::Thread(reader))
    }

    fn fd(&self) -> impl AsRawFd {
        match self {
            Self::Pidfd(child) => child.fd(),
            Self::Thread(reader) => reader.as_fd(),
        }
    }

    /// Reaped here, between two callbacks of the loop, the pid means nobody else before.
    fn reap(&self, pid: i32) -> io::Result<Exit> {
        match self {
            Self::Pidfd(child) => child.try_wait(),
            Self::Thread(_) => reap(pid),
        }
    }
}

/// A shell that is not waited for by anybody but us.
fn start(command: &str) -> io::Result<i32> {
    let child = Command::new("sh").args(["-c", command]).spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}

/// Turns until nobody is left: the ends by number.
fn watch<'scope>(scope: &'scope Scope<'scope, '_>) -> io::Result<Vec<Exit>> {
    let mut poller = Poller::new()?;
    for (number, command) in COMMANDS.iter().enumerate() {
        let pid = start(command)?;
        let watched = Watched::new(pid, scope)?;
        let fd = watched.fd().as_raw_fd();
        poller
            .insert(fd, Interest::READ, (number, pid, watched))
            .map_err(|refused| refused.error)?;
    }
    let mut exits = vec![Exit::Running; COMMANDS.len()];
    while poller.iter().next().is_some() {
        let mut wait = poller.begin(None)?;
        wait.run()?;
        poller.end(wait);
        let ended: Vec<Token> = poller.events().map(|(token, ..)| token).collect();
        for (number, pid, watched) in ended.into_iter().filter_map(|token| poller.remove(token)) {
            if let Some(exit) = exits.get_mut(number) {
                *exit = watched.reap(pid)?;
            }
        }
    }
    Ok(exits)
}

fn main() -> io::Result<()> {
    let exits = thread::scope(|scope| watch(scope))?;
    let mut out = io::stdout().lock();
    for (command, exit) in COMMANDS.iter().zip(exits) {
        writeln!(out, "{command}: {exit:?}")?;
    }
    Ok(())
}
