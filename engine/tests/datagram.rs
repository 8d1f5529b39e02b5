//! Datagrams: whole, in order, with addresses; the queue against a list of messages.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use ferroloop_engine::{
    Address, Datagram, Datagrams, Delivery, Destination, Poller, receive_datagram,
};
use proptest::prelude::*;

/// What the tests' host would have to translate: nothing.
type Queue = Datagrams<Vec<u8>, &'static str>;

fn to_peer(data: &[u8]) -> Datagram<Vec<u8>, &'static str> {
    Datagram { data: data.to_vec(), to: Destination::Peer }
}

/// Two connected sockets of messages that do not block: no latency, exact room.
fn pair() -> (UnixDatagram, UnixDatagram) {
    let (left, right) = UnixDatagram::pair().expect("socketpair");
    left.set_nonblocking(true).expect("nonblocking");
    right.set_nonblocking(true).expect("nonblocking");
    (left, right)
}

fn udp() -> (UdpSocket, Address) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    socket.set_nonblocking(true).expect("nonblocking");
    let SocketAddr::V4(name) = socket.local_addr().expect("name") else { panic!("family") };
    (socket, Address::V4(name))
}

fn receive(socket: &impl AsFd) -> Option<(Vec<u8>, Address)> {
    let mut buffer = [0; 2048];
    let (length, sender) = receive_datagram(socket.as_fd(), &mut buffer).expect("recvfrom")?;
    Some((buffer[..length].to_vec(), sender))
}

fn receive_all(socket: &impl AsFd) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| receive(socket)).map(|(data, _)| data).collect()
}

fn flush(queue: &mut Queue, socket: &impl AsFd) -> (Delivery, Vec<Vec<u8>>) {
    let mut done = Vec::new();
    let delivery = queue.flush(socket.as_fd(), &mut done).expect("flush");
    (delivery, done.into_iter().map(|datagram| datagram.data).collect())
}

/// S27.8: boundaries are kept, an empty one is a message, and the sender is told.
#[test]
fn messages_travel_whole_between_addresses() {
    let ((left, left_name), (right, right_name)) = (udp(), udp());
    let mut poller = Poller::new().expect("poller");
    for data in [&b"one"[..], b"", b"three"] {
        let datagram = Datagram::<_, ()> { data, to: Destination::Address(right_name.clone()) };
        assert!(datagram.send(left.as_fd()).expect("sendto"));
    }
    for data in [&b"one"[..], b"", b"three"] {
        until_readable(&mut poller, &right);
        assert_eq!(receive(&right), Some((data.to_vec(), left_name.clone())));
    }
    assert_eq!(receive(&right), None);
}

fn until_readable(poller: &mut Poller<()>, socket: &UdpSocket) {
    use std::os::fd::AsRawFd;
    let interest = ferroloop_engine::Interest::READ;
    let (token, _) = poller.insert(socket.as_raw_fd(), interest, ()).expect("insert");
    let mut wait = poller.begin(None).expect("begin");
    wait.run().expect("run");
    poller.end(wait);
    poller.remove(token);
}

/// A socket that is bound to nothing has no address to tell.
#[test]
fn an_unnamed_sender_has_no_address() {
    let (left, right) = pair();
    left.send(b"hello").expect("send");
    let known = if cfg!(any(target_os = "linux", target_os = "android")) {
        Address::Other
    } else {
        Address::Unnamed
    };
    assert_eq!(receive(&right), Some((b"hello".to_vec(), known)));
}

/// S27.3, S27.9: the error concerns one datagram; the rest is kept, and goes out with the next
/// flush.
#[test]
fn an_error_costs_one_datagram() {
    let (left, name) = udp();
    let (right, right_name) = udp();
    let mut queue = Queue::new(0);
    // No UDP message is that long.
    queue.push(Datagram { data: vec![0; 1 << 17], to: Destination::Address(name) });
    queue.push(Datagram { data: b"next".to_vec(), to: Destination::Address(right_name) });
    let mut done = Vec::new();
    let error = queue.flush(left.as_fd(), &mut done).expect_err("EMSGSIZE");
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!((done.len(), queue.len_bytes()), (1, 4));
    assert_eq!(flush(&mut queue, &left), (Delivery::Done, vec![b"next".to_vec()]));
    until_readable(&mut Poller::new().expect("poller"), &right);
    assert_eq!(receive_all(&right), [b"next"]);
}

/// S27.3: nobody listens; the socket says so once and goes on working.
#[test]
fn a_refusal_is_told_once() {
    let (left, _) = udp();
    let (right, right_name) = udp();
    left.connect(right.local_addr().expect("name")).expect("connect");
    drop(right);
    assert!(to_peer(b"anybody?").send(left.as_fd()).expect("send"));
    until_readable(&mut Poller::new().expect("poller"), &left);
    let error = receive_datagram(left.as_fd(), &mut [0; 8]).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(receive(&left), None);
    let again = Datagram::<_, ()> { data: b"still?", to: Destination::Address(right_name) };
    assert!(again.send(left.as_fd()).expect("sendto"));
}

/// What only the host can send stops the queue until the host has taken it out.
#[test]
fn the_host_has_its_turn() {
    let (left, right) = pair();
    let mut queue = Queue::new(0);
    queue.push(to_peer(b"before"));
    queue.push(Datagram { data: b"by name".to_vec(), to: Destination::Host("example.org") });
    queue.push(to_peer(b"after"));
    assert_eq!(flush(&mut queue, &left), (Delivery::Host, vec![b"before".to_vec()]));
    let datagram = queue.pop().expect("first");
    assert!(!datagram.send(left.as_fd()).expect("not ours"));
    queue.push_front(datagram);
    assert_eq!(flush(&mut queue, &left), (Delivery::Host, Vec::new()));
    assert_eq!(queue.pop().map(|datagram| datagram.to), Some(Destination::Host("example.org")));
    assert_eq!(flush(&mut queue, &left), (Delivery::Done, vec![b"after".to_vec()]));
    assert_eq!(receive_all(&right), [&b"before"[..], b"after"]);
}

/// S4.14: one flush of a long queue ends, although the kernel would take more.
#[test]
fn a_flush_is_bounded() {
    let (left, name) = udp();
    let mut queue = Queue::new(0);
    for _ in 0..1000 {
        queue.push(Datagram { data: Vec::new(), to: Destination::Address(name.clone()) });
    }
    let (delivery, done) = flush(&mut queue, &left);
    assert_eq!(delivery, Delivery::Blocked);
    assert!((1..1000).contains(&done.len()) && !queue.is_empty());
}

proptest! {
    /// S27.7, S27.8: whatever is queued and whenever the peer reads, every message arrives once,
    /// whole and in order, and the queue counts exactly what waits.
    #[test]
    fn a_queue_is_a_list_of_messages(
        overhead in prop_oneof![Just(0_usize), Just(8)],
        steps in prop::collection::vec((prop::collection::vec(0_usize..500, 0..20), 0_usize..30), 1..30),
    ) {
        let (left, right) = pair();
        let mut queue = Queue::new(overhead);
        let (mut pushed, mut received) = (Vec::<Vec<u8>>::new(), Vec::<Vec<u8>>::new());
        let mut gone = 0;
        for (lengths, reads) in steps {
            for length in lengths {
                let data = vec![u8::try_from(pushed.len() % 251).expect("byte"); length];
                queue.push(to_peer(&data));
                pushed.push(data);
            }
            let (delivery, done) = flush(&mut queue, &left);
            gone += done.len();
            prop_assert_eq!(delivery == Delivery::Done, queue.is_empty());
            let waiting = pushed[gone..].iter().map(|data| data.len() + overhead).sum::<usize>();
            prop_assert_eq!(queue.len_bytes(), waiting);
            prop_assert!(queue.iter().map(|datagram| &datagram.data).eq(&pushed[gone..]));
            received.extend((0..reads).map_while(|_| receive(&right)).map(|(data, _)| data));
        }
        received.extend(receive_all(&right));
        prop_assert_eq!(&received[..], &pushed[..gone]);
        let mut unsent = Vec::new();
        queue.clear(&mut unsent);
        prop_assert_eq!(unsent.len(), pushed.len() - gone);
        prop_assert!(queue.is_empty() && queue.len_bytes() == 0);
    }
}
