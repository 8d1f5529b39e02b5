//! Names, looked up in threads.
//!
//! `getaddrinfo(3)` blocks, and nothing else knows all that a system asks for a name. So the engine
//! starts threads for it, and for nothing else. The threads know nothing of the host. They take
//! questions and leave answers, and nobody waits for one that is amid a lookup: a name server that
//! does not answer holds up neither the end of the loop nor that of the process.

use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use rustix::process::{Pid, getpid};

use crate::address::Address;
use crate::sys;
use crate::waker::Waker;

/// The most threads there are, as many as in Python's `ThreadPoolExecutor`: they mostly wait.
static MOST_THREADS: LazyLock<usize> =
    LazyLock::new(|| (thread::available_parallelism().map_or(1, usize::from) + 4).min(32));

/// How long to wait for the end of idle threads, should the machine be too busy for that.
const PATIENCE: Duration = Duration::from_millis(20);

/// For how long others wait for an answer together with whoever asked first. A question that takes
/// longer may have been lost: it is asked anew.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// Linux shows the first 15 bytes.
const THREAD_NAME: &str = "ferroloop-resolver";

/// The arguments of `getaddrinfo(3)`, in the system's numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// A name or the text of an address; None for this machine.
    pub host: Option<CString>,
    /// A number or the name of a service.
    pub port: Option<CString>,
    /// `AF_INET`, `AF_INET6`, or 0 for both.
    pub family: i32,
    /// `SOCK_STREAM` and so on, or 0 for all.
    pub kind: i32,
    /// `IPPROTO_TCP` and so on, or 0 for all.
    pub proto: i32,
    /// `AI_PASSIVE` and so on.
    pub flags: i32,
}

impl Query {
    /// The port as the system takes it: macOS has crashed over `AI_NUMERICSERV` without a port, or
    /// with 0, and CPython still keeps away from that.
    pub(crate) fn port(&self) -> Option<&CStr> {
        let port = self.port.as_deref();
        let numeric = cfg!(target_vendor = "apple") && self.flags & libc::AI_NUMERICSERV != 0;
        if numeric && port.is_none_or(|port| port == c"0") { Some(c"00") } else { port }
    }
}

/// One entry of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressInfo {
    /// `AF_INET` or `AF_INET6`.
    pub family: i32,
    /// `SOCK_STREAM` and so on.
    pub kind: i32,
    /// `IPPROTO_TCP` and so on.
    pub proto: i32,
    /// The host's official name where `AI_CANONNAME` asks for it, else empty.
    pub canonname: Vec<u8>,
    /// Where to connect to, or to bind.
    pub address: Address,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum LookupError {
    /// `EAI_NONAME` and so on, and what `gai_strerror(3)` says of it.
    Resolver(i32, String),
    /// `EAI_SYSTEM`: a system call failed.
    System(io::Error),
}

/// What a lookup brings.
pub type Answer = Result<Vec<AddressInfo>, LookupError>;

/// Threads for name lookups, started when they are needed; those that are idle wait for the next.
///
/// When a resolver is dropped, idle threads end before that is over, and busy ones after their
/// lookup.
#[derive(Debug)]
pub struct Resolver {
    shared: Arc<Shared>,
    asked: HashMap<Query, Asked>,
    next: u64,
    /// The process the threads are in.
    owner: Pid,
}

/// A question that is under way.
#[derive(Debug)]
struct Asked {
    /// When it was asked last.
    at: Instant,
    /// The numbers of those who wait for the answer.
    numbers: Vec<u64>,
}

impl Asked {
    fn new(at: Instant) -> Self {
        Self { at, numbers: Vec::new() }
    }
}

impl Resolver {
    /// Makes a resolver without threads, whose answers wake the loop of `waker`.
    pub fn new(waker: &Arc<Waker>) -> Self {
        let shared = Shared::new(Arc::downgrade(waker));
        Self { shared, asked: HashMap::new(), next: 0, owner: getpid() }
    }

    /// Has a name looked up, and returns the number its answer will come under.
    ///
    /// Who asks what was asked a moment ago gets the same answer: a thousand clients of one server
    /// that connect at once, or again after it was gone, are one question to the name server.
    ///
    /// # Errors
    ///
    /// `EAGAIN` of `pthread_create(3)` if there is no thread, and none can be started.
    pub fn ask(&mut self, query: Query) -> io::Result<u64> {
        self.renew_if_forked();
        let (number, now) = (self.next, Instant::now());
        match self.asked.get_mut(&query) {
            Some(asked) if now.duration_since(asked.at) < SHARED_FOR => asked.numbers.push(number),
            _ => {
                Shared::put(&self.shared, query.clone())?;
                let asked = self.asked.entry(query).or_insert_with(|| Asked::new(now));
                asked.at = now;
                asked.numbers.push(number);
            }
        }
        self.next += 1;
        Ok(number)
    }

    /// Drops a question whose answer nobody wants any more, if no thread has taken it yet.
    pub fn forget(&mut self, number: u64) {
        self.renew_if_forked();
        let Self { shared, asked, .. } = self;
        asked.retain(|query, asked| {
            asked.numbers.retain(|asking| *asking != number);
            if asked.numbers.is_empty() {
                shared.lock().questions.retain(|waiting| waiting != query);
            }
            !asked.numbers.is_empty()
        });
    }

    /// Whether there are answers.
    ///
    /// A loop that is about to sleep asks after it has armed its waker: then an answer either is
    /// here already or wakes it.
    pub fn has_answers(&mut self) -> bool {
        self.renew_if_forked();
        !self.shared.lock().answers.is_empty()
    }

    /// Takes the answers that have come since the last call, each with the numbers of those who
    /// have asked.
    pub fn take_answers(&mut self) -> Vec<(Vec<u64>, Answer)> {
        self.renew_if_forked();
        let answers = mem::take(&mut self.shared.lock().answers);
        let asked = &mut self.asked;
        // What was asked twice is answered by the first; what was forgotten nobody wants to know.
        let wanted = |(query, answer)| asked.remove(&query).map(|asked| (asked.numbers, answer));
        answers.into_iter().filter_map(wanted).collect()
    }

    /// A forked child has none of its parent's threads, and perhaps a lock that one of them held.
    /// So it starts anew, and the questions that were under way get no answer there.
    fn renew_if_forked(&mut self) {
        let process = getpid();
        if self.owner != process {
            self.owner = process;
            self.shared = Shared::new(Weak::clone(&self.shared.waker));
            self.asked.clear();
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        if self.owner == getpid() {
            self.shared.end();
        }
    }
}

/// What the threads and their loop have in common.
#[derive(Debug)]
struct Shared {
    /// Weak, so that a thread that is stuck keeps no descriptor of a closed loop open.
    waker: Weak<Waker>,
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    questions: VecDeque<Query>,
    answers: Vec<(Query, Answer)>,
    threads: Vec<JoinHandle<()>>,
    /// How many of them wait for a question.
    idle: usize,
    /// How many of them are with the C library.
    asking: usize,
    ended: bool,
}

impl Shared {
    fn new(waker: Weak<Waker>) -> Arc<Self> {
        Arc::new(Self { waker, queue: Mutex::default(), work: Condvar::new() })
    }

    /// Puts a question into the queue, and starts a thread for it if all are busy.
    fn put(this: &Arc<Self>, query: Query) -> io::Result<()> {
        let mut queue = this.lock();
        queue.questions.push_back(query);
        let is_idle = queue.idle > 0;
        if queue.questions.len() > queue.idle && queue.threads.len() < *MOST_THREADS {
            match Self::start_thread(this) {
                Ok(thread) => queue.threads.push(thread),
                // The threads there are will take it.
                Err(_) if !queue.threads.is_empty() => {}
                Err(error) => {
                    queue.questions.pop_back();
                    return Err(error);
                }
            }
        }
        drop(queue);
        if is_idle {
            this.work.notify_one();
        }
        Ok(())
    }

    fn start_thread(this: &Arc<Self>) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(this);
        let thread = thread::Builder::new().name(THREAD_NAME.into());
        thread.spawn(move || shared.serve())
    }

    /// Has the threads end, and waits for those that are not with the C library: a process that
    /// forks next had better have none.
    fn end(&self) {
        let mut queue = self.lock();
        queue.ended = true;
        let (mut threads, asking) = (mem::take(&mut queue.threads), queue.asking);
        drop(queue);
        self.work.notify_all();
        let limit = Instant::now() + PATIENCE;
        while threads.len() > asking && Instant::now() < limit {
            for thread in threads.extract_if(.., |thread| thread.is_finished()) {
                // What it ended with, a panic too, is nobody's business any more.
                let _ = thread.join();
            }
            thread::yield_now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life.
    fn serve(&self) {
        while let Some(query) = self.next_question() {
            let answer = sys::getaddrinfo(&query);
            let mut queue = self.lock();
            queue.answers.push((query, answer));
            queue.asking -= 1;
            drop(queue);
            // Without the lock, which the loop wants as soon as it is awake.
            if let Some(waker) = self.waker.upgrade() {
                // A write to the waker's own descriptor cannot fail.
                let _ = waker.wake();
            }
        }
    }

    /// Waits for a question; None when the resolver is gone.
    fn next_question(&self) -> Option<Query> {
        let mut queue = self.lock();
        while !queue.ended {
            if let Some(question) = queue.questions.pop_front() {
                queue.asking += 1;
                return Some(question);
            }
            queue.idle += 1;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
        None
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn waker() -> Arc<Waker> {
        Arc::new(Waker::new().expect("waker"))
    }

    /// The text of an address, which nobody has to be asked for.
    fn query() -> Query {
        query_of(1)
    }

    /// Another one for each number.
    fn query_of(number: u16) -> Query {
        let host = CString::new(format!("127.0.{}.{}", number / 256, number % 256)).ok();
        Query { host, port: None, family: 0, kind: 0, proto: 0, flags: libc::AI_NUMERICHOST }
    }

    fn until(mut holds: impl FnMut() -> bool) {
        let limit = Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(Instant::now() < limit, "it did not come to that");
            thread::yield_now();
        }
    }

    #[test]
    fn an_idle_thread_takes_the_next_question() {
        let waker = waker();
        let mut resolver = Resolver::new(&waker);
        for _ in 0..100 {
            resolver.ask(query()).expect("a thread");
            until(|| resolver.has_answers() && resolver.shared.lock().idle == 1);
            assert_eq!(resolver.take_answers().len(), 1);
        }
        assert_eq!(resolver.shared.lock().threads.len(), 1);
    }

    #[test]
    fn threads_are_bounded() {
        let waker = waker();
        let mut resolver = Resolver::new(&waker);
        for number in 0..1000 {
            resolver.ask(query_of(number)).expect("a thread");
        }
        assert!((1..=*MOST_THREADS).contains(&resolver.shared.lock().threads.len()));
        until(|| resolver.shared.lock().answers.len() == 1000);
    }

    /// Idle ones, and those in the middle of their work. What they share lives as long as they do.
    #[test]
    fn threads_end_with_the_resolver() {
        let waker = waker();
        for questions in [1, 100] {
            let mut resolver = Resolver::new(&waker);
            let shared = Arc::downgrade(&resolver.shared);
            for number in 0..questions {
                resolver.ask(query_of(number)).expect("a thread");
            }
            if questions == 1 {
                until(|| resolver.shared.lock().idle == 1);
            }
            drop(resolver);
            if questions == 1 {
                assert_eq!(shared.strong_count(), 0);
            }
            until(|| shared.strong_count() == 0);
        }
        assert_eq!(Arc::strong_count(&waker), 1);
    }

    /// Puts a question by hand and without threads: no moment in which one could have taken it. And
    /// in time, however long the test takes.
    fn put(resolver: &mut Resolver, query: Query, numbers: &[u64]) {
        resolver.shared.lock().questions.push_back(query.clone());
        let at = Instant::now() + 60 * SHARED_FOR;
        resolver.asked.insert(query, Asked { at, numbers: numbers.to_vec() });
    }

    #[test]
    fn what_is_forgotten_is_not_asked() {
        let waker = waker();
        let mut resolver = Resolver::new(&waker);
        (0..3).for_each(|number| put(&mut resolver, query_of(number), &[number.into()]));
        resolver.forget(1);
        assert_eq!(resolver.shared.next_question(), Some(query_of(0)));
        assert_eq!(resolver.shared.next_question(), Some(query_of(2)));
        assert!(!resolver.asked.contains_key(&query_of(1)));
    }

    #[test]
    fn what_is_asked_already_is_not_asked_again() {
        let waker = waker();
        let mut resolver = Resolver::new(&waker);
        put(&mut resolver, query(), &[]);
        let numbers: Vec<u64> = (0..3).filter_map(|_| resolver.ask(query()).ok()).collect();
        assert_eq!(numbers.len(), 3);
        assert_eq!(resolver.shared.lock().questions.len(), 1);

        resolver.forget(numbers[0]);
        assert_eq!(resolver.shared.lock().questions.len(), 1, "others want to know");
        resolver.ask(query_of(2)).expect("a thread");
        until(|| resolver.shared.lock().answers.len() == 2);
        let answers = resolver.take_answers();
        let answer = answers.iter().find(|(asking, _)| *asking == numbers[1..]);
        let (_, answer) = answer.expect("one answer for both that are left");
        assert!(answer.as_ref().is_ok_and(|found| !found.is_empty()));
        assert!(resolver.asked.is_empty());
    }

    /// Who asks anew does not wait for what may have been lost; whoever waits gets the first
    /// answer.
    #[test]
    fn what_takes_long_is_asked_again() {
        let waker = waker();
        let mut resolver = Resolver::new(&waker);
        let at =
            Instant::now().checked_sub(SHARED_FOR).expect("a machine that has run for a second");
        resolver.asked.insert(query(), Asked { at, numbers: vec![0] });
        resolver.next = 1;
        assert_eq!((resolver.ask(query()).ok(), resolver.ask(query()).ok()), (Some(1), Some(2)));
        until(|| resolver.has_answers());
        let answers = resolver.take_answers();
        assert!(matches!(answers.as_slice(), [(numbers, Ok(_))] if *numbers == [0, 1, 2]));
    }

    /// What is asked after an answer has come is asked anew: the name may have moved.
    #[test]
    fn an_answer_is_not_kept() {
        let waker = waker();
        let mut resolver = Resolver::new(&waker);
        for _ in 0..3 {
            resolver.ask(query()).expect("a thread");
            until(|| resolver.has_answers());
            assert_eq!(resolver.take_answers().len(), 1);
        }
    }

    /// A thread was with the C library when the question was forgotten, and it was asked once more:
    /// whichever answer comes first will do.
    #[test]
    fn an_answer_that_comes_late_is_dropped() {
        let waker = waker();
        let mut resolver = Resolver::new(&waker);
        resolver.asked.insert(query(), Asked { at: Instant::now(), numbers: vec![7] });
        let answer = || (query(), Ok(Vec::new()));
        resolver.shared.lock().answers.extend([answer(), answer()]);
        let answers = resolver.take_answers();
        assert!(matches!(answers.as_slice(), [(numbers, Ok(_))] if *numbers == [7]));
    }

    /// What a child does that was forked while a thread held the lock: it ends.
    fn ends_in_a_forked_child(act: fn(&mut Resolver)) {
        let waker = waker();
        let shared = Shared::new(Arc::downgrade(&waker));
        let held = shared.lock();
        let (asked, owner) = (HashMap::from([(query(), Asked::new(Instant::now()))]), Pid::INIT);
        let mut inherited = Resolver { shared: Arc::clone(&shared), asked, next: 1, owner };
        let child = thread::Builder::new().spawn(move || {
            act(&mut inherited);
            drop(inherited);
        });
        let child = child.expect("a thread");
        until(|| child.is_finished());
        child.join().expect("what the child expects");
        drop(held);
        assert!(shared.lock().questions.is_empty(), "what was the parent's stays as it was");
    }

    #[test]
    fn a_forked_child_does_not_wait_for_the_lock() {
        ends_in_a_forked_child(|_| {});
        ends_in_a_forked_child(|resolver| resolver.forget(0));
        ends_in_a_forked_child(|resolver| assert!(!resolver.has_answers()));
        ends_in_a_forked_child(|resolver| assert!(resolver.take_answers().is_empty()));
        ends_in_a_forked_child(|resolver| {
            resolver.ask(query()).expect("a thread");
            until(|| resolver.has_answers());
        });
    }
}
