//! Timers: a clock that ticks five times, with an alarm that is called off.
//!
//! `cargo run --example clock` prints the ticks and ends when no timer is left.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::rc::Rc;

use ferroloop_engine::{Cancel, Poller, Timers, clock};

/// A timer: what to print, and whether it was called off.
struct Alarm {
    text: &'static str,
    cancelled: Rc<Cell<bool>>,
}

impl Cancel for Alarm {
    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }
}

struct Clock {
    poller: Poller<()>,
    timers: Timers<Alarm>,
}

impl Clock {
    fn schedule(&mut self, when: f64, text: &'static str) -> Rc<Cell<bool>> {
        let cancelled = Rc::new(Cell::new(false));
        self.timers.insert(when, Alarm { text, cancelled: Rc::clone(&cancelled) });
        cancelled
    }

    fn cancel(&mut self, alarm: &Cell<bool>) {
        if !alarm.replace(true) {
            self.timers.note_cancelled();
        }
    }

    /// One turn: sleeps to the next deadline and takes out what is due.
    fn turn(&mut self) -> io::Result<Vec<Alarm>> {
        let mut dead = Vec::new();
        self.timers.purge(&mut dead);
        let timeout = clock::poll_timeout(self.timers.next_deadline(), clock::now());
        let mut wait = self.poller.begin(timeout)?;
        wait.run()?;
        self.poller.end(wait);
        let now = clock::now();
        Ok(self.timers.take_due(now, now + clock::due_margin(now)))
    }
}

fn main() -> io::Result<()> {
    let mut clock = Clock { poller: Poller::new()?, timers: Timers::new() };
    let start = clock::now();
    clock.schedule(start + 0.050, "tick 5");
    for text in ["tick 1", "tick 2", "tick 3"] {
        clock.schedule(start + 0.010, text); // Equal deadlines keep their order.
    }
    clock.schedule(start + 0.040, "tick 4");
    let alarm = clock.schedule(start + 3600.0, "the alarm");
    clock.cancel(&alarm);

    let mut out = io::stdout().lock();
    while clock.timers.next_deadline().is_some_and(|next| next < start + 3600.0) {
        for alarm in clock.turn()? {
            writeln!(out, "{}", alarm.text)?;
        }
    }
    let early = clock::now() < start + 0.050;
    writeln!(out, "{}", if early { "the clock is fast" } else { "done" })
}
