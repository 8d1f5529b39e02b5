//! The poller: polls that find nothing, a few and many, and interest that changes.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark may fail")]

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ferroloop_engine::{Interest, Poller, Token};

struct Sockets {
    poller: Poller<usize>,
    tokens: Vec<Token>,
    _pairs: Vec<(UnixStream, UnixStream)>,
}

/// `count` sockets, all of which are readable and stay so.
fn readable(count: usize) -> Sockets {
    let mut poller = Poller::new().expect("poller");
    let pairs: Vec<_> = (0..count).map(|_| UnixStream::pair().expect("pair")).collect();
    let register = |(index, (left, right)): (usize, &(UnixStream, UnixStream))| {
        (&mut &*right).write_all(b"x").expect("write");
        poller.insert(left.as_raw_fd(), Interest::READ, index).expect("insert").0
    };
    let tokens = pairs.iter().enumerate().map(register).collect();
    Sockets { poller, tokens, _pairs: pairs }
}

fn poll(poller: &mut Poller<usize>) -> usize {
    let mut wait = poller.begin(Some(Duration::ZERO)).expect("begin");
    wait.run().expect("run");
    poller.end(wait);
    poller.events().map(|(_, _, &payload)| payload).sum()
}

fn polls(criterion: &mut Criterion) {
    for count in [0, 1, 16, 256] {
        let mut sockets = readable(count);
        let name = format!("poller: {count} ready");
        criterion.bench_function(&name, |b| b.iter(|| poll(&mut sockets.poller)));
    }
}

fn interest(criterion: &mut Criterion) {
    let mut sockets = readable(1);
    let token = sockets.tokens[0];
    criterion.bench_function("poller: pause and resume within a turn", |b| {
        b.iter(|| {
            sockets.poller.set_interest(token, Interest::NONE);
            sockets.poller.set_interest(token, Interest::READ);
            poll(&mut sockets.poller)
        });
    });
    let mut writing = false;
    criterion.bench_function("poller: change interest every turn", |b| {
        b.iter(|| {
            writing = !writing;
            let interest = if writing { Interest::BOTH } else { Interest::READ };
            sockets.poller.set_interest(token, interest);
            poll(&mut sockets.poller)
        });
    });
}

criterion_group!(benches, polls, interest);
criterion_main!(benches);
