//! Timers: heaps ordered by deadline, then by age; cancelled ones leave lazily.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::histogram::Histogram;
use crate::lateness::Lateness;

/// A timer that its owner can call off.
///
/// Cancelling only marks the timer: searching the heap for it would cost more than letting it rise
/// to the top. The heap asks this question when it cleans up.
pub trait Cancel {
    /// Whether the timer was called off.
    fn is_cancelled(&self) -> bool;
}

/// Scheduled timers, earliest first; of equal deadlines, the first scheduled first (S5.5).
///
/// No timer is dropped in here. The dead are handed to the caller, because dropping one may run
/// arbitrary code of its owner, which may schedule a timer in here.
#[derive(Debug)]
pub struct Timers<T> {
    /// The latest. Most timers are timeouts, and most timeouts are called off soon: those come and
    /// go in this small heap, however many wait in the other one.
    young: BinaryHeap<Entry<T>>,
    /// Those that were still scheduled when there were too many young ones.
    old: BinaryHeap<Entry<T>>,
    inserted: u64,
    cancelled: usize,
    lateness: Lateness,
}

#[derive(Debug)]
struct Entry<T> {
    when: f64,
    sequence: u64,
    timer: T,
}

impl<T: Cancel> Timers<T> {
    /// Heaps up to this size are not worth compacting (S0.20; asyncio's
    /// `_MIN_SCHEDULED_TIMER_HANDLES`).
    const COMPACT_ABOVE: usize = 100;

    /// Up to so many timers are young. Those of a busy server's requests are called off before so
    /// many are set, and a heap of this size stays near the processor (100 kB).
    const YOUNG: usize = 4096;

    /// Up to one timer in this many is popped singly. If more are due, one pass over all of them is
    /// cheaper than sifting the heap for each.
    const SORT_ABOVE: usize = 4;

    /// No timers.
    pub fn new() -> Self {
        Self {
            young: BinaryHeap::new(),
            old: BinaryHeap::new(),
            inserted: 0,
            cancelled: 0,
            lateness: Lateness::default(),
        }
    }

    /// Schedules `timer` for `when` (seconds of the loop's clock).
    ///
    /// A deadline that is not a number is due at once, as in asyncio: it is later than no time.
    pub fn insert(&mut self, when: f64, timer: T) {
        // In the total order -0.0 is less than 0.0; as deadlines they are equal.
        let when = if when.is_nan() { f64::NEG_INFINITY } else { when + 0.0 };
        let sequence = self.inserted;
        self.inserted += 1;
        self.young.push(Entry { when, sequence, timer });
    }

    /// Notes that one timer that is still scheduled has just been cancelled (S5.8).
    #[inline]
    pub fn note_cancelled(&mut self) {
        self.cancelled += 1;
    }

    /// Cleans up before a turn, moving what is removed into `dead`.
    ///
    /// If more than 100 timers are scheduled and more than half of them are cancelled, all the
    /// cancelled ones go (S5.6); otherwise only those in front, which would otherwise shorten the
    /// next poll for nothing (S5.7, S5.9), and those of the young when they grow old.
    pub fn purge(&mut self, dead: &mut Vec<T>) {
        let scheduled = self.len();
        if scheduled > Self::COMPACT_ABOVE && self.cancelled > scheduled / 2 {
            self.compact(dead);
        } else {
            self.drop_cancelled_heads(dead);
        }
        if self.young.len() > Self::YOUNG {
            self.age(dead);
        }
    }

    fn compact(&mut self, dead: &mut Vec<T>) {
        for generation in [&mut self.young, &mut self.old] {
            sweep(generation, dead);
        }
        self.cancelled = 0;
    }

    fn drop_cancelled_heads(&mut self, dead: &mut Vec<T>) {
        while self.first().is_some_and(|first| first.timer.is_cancelled()) {
            if let Some(Entry { timer, .. }) = self.pop() {
                self.cancelled = self.cancelled.saturating_sub(1);
                dead.push(timer);
            }
        }
    }

    /// The young ones that are still wanted grow old.
    fn age(&mut self, dead: &mut Vec<T>) {
        let before = dead.len();
        sweep(&mut self.young, dead);
        self.cancelled = self.cancelled.saturating_sub(dead.len() - before);
        self.old.append(&mut self.young);
    }

    fn first(&self) -> Option<&Entry<T>> {
        self.young.peek().max(self.old.peek())
    }

    /// The earliest deadline, cancelled or not. Ask after [`Timers::purge`].
    #[inline]
    pub fn next_deadline(&self) -> Option<f64> {
        self.first().map(|first| first.when)
    }

    /// Takes the timers whose deadlines are before `end`, in their order. `end` is `now` plus
    /// [`due_margin`](crate::clock::due_margin) (S5.3).
    pub fn take_due(&mut self, now: f64, end: f64) -> Vec<T> {
        let mut due = Vec::new();
        let few = self.len().max(Self::COMPACT_ABOVE) / Self::SORT_ABOVE;
        while self.first().is_some_and(|first| first.when < end) {
            if due.len() == few {
                self.sort_due(now, end, &mut due);
                break;
            }
            if let Some(entry) = self.pop() {
                due.push(self.release(entry, now));
            }
        }
        self.lateness.note_punctual(now);
        due
    }

    /// Takes many timers whose deadlines are before `end`, in one pass over all, and sorts them.
    fn sort_due(&mut self, now: f64, end: f64, due: &mut Vec<T>) {
        let mut sorted: Vec<_> = [&mut self.young, &mut self.old]
            .into_iter()
            .flat_map(|generation| extract(generation, |entry| entry.when < end))
            .collect();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        due.extend(sorted.into_iter().map(|entry| self.release(entry, now)));
    }

    /// The timer of an entry that has left because it is due.
    #[inline]
    fn release(&mut self, entry: Entry<T>, now: f64) -> T {
        let Entry { when, timer, .. } = entry;
        if timer.is_cancelled() {
            self.cancelled = self.cancelled.saturating_sub(1);
        } else {
            self.lateness.count(when, now);
        }
        timer
    }

    fn pop(&mut self) -> Option<Entry<T>> {
        let from =
            if self.young.peek() > self.old.peek() { &mut self.young } else { &mut self.old };
        from.pop()
    }

    /// Notes that no timer is late at `now`. [`Timers::take_due`] does so by itself.
    #[inline]
    pub fn note_punctual(&mut self, now: f64) {
        self.lateness.note_punctual(now);
    }

    /// How late those were that have been due.
    pub fn lateness(&self) -> &Histogram {
        self.lateness.delays()
    }

    /// How many timers are scheduled, cancelled ones included.
    #[inline]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// How many of them have not been cancelled.
    pub fn pending(&self) -> usize {
        self.len().saturating_sub(self.cancelled)
    }

    /// Whether none is scheduled.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// All scheduled timers, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.young.iter().chain(&self.old).map(|entry| &entry.timer)
    }
}

impl<T: Cancel> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Moves what is cancelled in `heap` into `dead`.
fn sweep<T: Cancel>(heap: &mut BinaryHeap<Entry<T>>, dead: &mut Vec<T>) {
    dead.extend(extract(heap, |entry| entry.timer.is_cancelled()).map(|entry| entry.timer));
}

/// Takes the entries that `gone` picks out of `heap`, in no particular order.
fn extract<T>(
    heap: &mut BinaryHeap<Entry<T>>,
    gone: impl Fn(&Entry<T>) -> bool,
) -> impl Iterator<Item = Entry<T>> {
    let mut entries = std::mem::take(heap).into_vec();
    let extracted: Vec<_> = entries.extract_if(.., |entry| gone(entry)).collect();
    *heap = BinaryHeap::from(entries);
    extracted.into_iter()
}

// `BinaryHeap` keeps the greatest on top, so the entry that is due first compares greatest.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.when.total_cmp(&self.when).then_with(|| other.sequence.cmp(&self.sequence))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}
