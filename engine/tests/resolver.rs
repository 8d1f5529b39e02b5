//! Name lookups in threads of the engine's own.
#![allow(clippy::expect_used, reason = "a test may fail")]

mod common;

use std::ffi::CString;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::poll;
use ferroloop_engine::{Address, Answer, LookupError, Poller, Query, Resolver, Waker};

/// Longer than any lookup here takes, which ask nobody.
const LONG: Duration = Duration::from_secs(30);

fn watched() -> (Poller<()>, Arc<Waker>) {
    let mut poller = Poller::new().expect("poller");
    let waker = Arc::new(Waker::new().expect("waker"));
    poller.watch_waker(&waker).expect("watch");
    (poller, waker)
}

/// A stream to a host that is the text of an address, or an error.
fn query(host: &str, port: &str) -> Query {
    let text = |text| Some(CString::new(text).expect("no zero"));
    let (kind, flags) = (libc::SOCK_STREAM, libc::AI_NUMERICHOST);
    Query { host: text(host), port: text(port), family: 0, kind, proto: 0, flags }
}

/// Sleeps as a loop does, until so many are answered.
fn answers(
    poller: &mut Poller<()>,
    waker: &Waker,
    resolver: &mut Resolver,
    count: usize,
) -> Vec<(Vec<u64>, Answer)> {
    let mut answers = Vec::new();
    while answers.iter().map(|(numbers, _): &(Vec<u64>, Answer)| numbers.len()).sum::<usize>()
        < count
    {
        waker.arm();
        let sleep = if resolver.has_answers() { Duration::ZERO } else { LONG };
        let started = Instant::now();
        poll(poller, sleep);
        assert!(started.elapsed() < LONG, "a wakeup was lost");
        waker.disarm();
        answers.extend(resolver.take_answers());
    }
    answers
}

fn answer(query: Query) -> Answer {
    let (mut poller, waker) = watched();
    let mut resolver = Resolver::new(&waker);
    let number = resolver.ask(query).expect("a thread");
    let mut answers = answers(&mut poller, &waker, &mut resolver, 1);
    let (answered, answer) = answers.pop().expect("an answer");
    assert_eq!(answered, [number]);
    answer
}

#[test]
fn an_address_is_found() {
    let infos = answer(query("127.0.0.1", "80")).expect("an address");
    let [info] = infos.as_slice() else { panic!("{infos:?}") };
    assert_eq!((info.family, info.kind), (libc::AF_INET, libc::SOCK_STREAM));
    assert_eq!(info.proto, libc::IPPROTO_TCP);
    assert_eq!(info.address, Address::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80)));
    assert!(info.canonname.is_empty());
}

/// The scope of an address, and the name that was asked for.
#[test]
fn nothing_of_an_answer_is_lost() {
    let flags = libc::AI_NUMERICHOST | libc::AI_CANONNAME;
    let infos = answer(Query { flags, ..query("fe80::1%1", "80") }).expect("an address");
    let [info] = infos.as_slice() else { panic!("{infos:?}") };
    let Address::V6(address) = &info.address else { panic!("{info:?}") };
    assert_eq!((address.port(), address.scope_id()), (80, 1));
    assert!(info.canonname.starts_with(b"fe80::1"));
}

#[test]
fn no_host_is_this_machine() {
    let infos = answer(Query { host: None, flags: 0, ..query("", "80") }).expect("an address");
    let local = |address: &Address| match address {
        Address::V4(address) => address.ip().is_loopback(),
        Address::V6(address) => address.ip().is_loopback(),
        _ => false,
    };
    assert!(!infos.is_empty());
    assert!(infos.iter().all(|info| local(&info.address)));
}

/// `getaddrinfo(3)`: the number and the words.
#[test]
fn errors_keep_their_number() {
    match answer(query("no address", "80")) {
        Err(LookupError::Resolver(code, text)) => {
            assert_eq!(code, libc::EAI_NONAME);
            assert!(!text.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

/// Whoever asks, whether many ask the same or each something else.
#[test]
fn everybody_is_answered_once() {
    for questions in [1, 30, 1000] {
        let (mut poller, waker) = watched();
        let mut resolver = Resolver::new(&waker);
        let port = |asking: u32| (asking % questions).to_string();
        let ask = |asking| resolver.ask(query("127.0.0.1", &port(asking))).expect("a thread");
        let numbers: Vec<_> = (0..1000).map(ask).collect();
        let answers = answers(&mut poller, &waker, &mut resolver, numbers.len());
        assert!(answers.len() >= usize::try_from(questions).expect("a few"));
        let mut answered: Vec<_> = answers.into_iter().flat_map(|(numbers, _)| numbers).collect();
        answered.sort_unstable();
        assert_eq!(answered, numbers);
    }
}
