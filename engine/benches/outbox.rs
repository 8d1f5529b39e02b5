//! The outbox: one buffer, and several gathered, through a socket pair.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark may fail")]

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use criterion::{Criterion, criterion_group, criterion_main};
use ferroloop_engine::{Channel, Outbox};

/// Writes `count` buffers of a kibibyte and reads them at the other end.
fn echo(sockets: &mut (UnixStream, UnixStream), count: usize, scratch: &mut [u8]) {
    static KIBIBYTE: [u8; 1024] = [0; 1024];
    let mut outbox = Outbox::new();
    for _ in 0..count {
        outbox.push(&KIBIBYTE[..]);
    }
    let mut done = Vec::new();
    outbox.flush(Channel::Socket, sockets.0.as_fd(), &mut done).expect("flush");
    assert!(outbox.is_empty());
    sockets.1.read_exact(&mut scratch[..count * KIBIBYTE.len()]).expect("read");
}

fn outbox(criterion: &mut Criterion) {
    let mut sockets = UnixStream::pair().expect("pair");
    let mut scratch = vec![0; 65_536];
    for count in [1, 2, 32] {
        criterion.bench_function(&format!("outbox: {count} KiB in {count} buffers"), |b| {
            b.iter(|| echo(&mut sockets, count, &mut scratch));
        });
    }
}

criterion_group!(benches, outbox);
criterion_main!(benches);
