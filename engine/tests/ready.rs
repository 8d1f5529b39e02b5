//! The ready queue: order, batches, and what a cut-short batch leaves.

use std::collections::VecDeque;

use ferroloop_engine::Ready;
use proptest::prelude::*;

fn filled(jobs: impl IntoIterator<Item = u32>) -> Ready<u32> {
    let mut ready = Ready::new();
    for job in jobs {
        ready.push(job);
    }
    ready
}

/// S4.6, S4.7: the batch is what was queued; what is queued meanwhile waits behind it.
#[test]
fn a_batch_is_a_snapshot() {
    let mut ready = filled([1, 2]);
    assert_eq!(ready.batch(), 2);
    ready.push(3);
    assert_eq!([ready.pop(), ready.pop()], [Some(1), Some(2)]);
    assert_eq!(ready.batch(), 1);
    assert_eq!(ready.pop(), Some(3));
    assert_eq!(ready.pop(), None);
}

/// Batches count when they begin, jobs when they are taken.
#[test]
fn batches_and_jobs_are_counted() {
    let mut ready = filled([1, 2, 3]);
    assert_eq!((ready.batches(), ready.taken()), (0, 0));
    ready.batch();
    ready.pop();
    ready.pop();
    assert_eq!((ready.batches(), ready.taken()), (1, 2));
    ready.batch();
    ready.pop();
    assert_eq!(ready.pop(), None);
    assert_eq!((ready.batches(), ready.taken()), (2, 3));
}

/// S2.20: the rest of a batch that was left early runs first next time, in order.
#[test]
fn the_rest_of_a_batch_stays_in_front() {
    let mut ready = filled([1, 2, 3]);
    assert_eq!(ready.batch(), 3);
    assert_eq!(ready.pop(), Some(1));
    ready.push(4);
    assert_eq!(ready.len(), 3);
    assert_eq!(ready.iter().copied().collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!([ready.pop(), ready.pop(), ready.pop()], [Some(2), Some(3), Some(4)]);
    assert!(ready.is_empty());
}

proptest! {
    /// S4.9 against the plainest queue there is: any mixture of pushing and running any number of a
    /// batch keeps the order and loses nothing, also when a burst's room is given back.
    #[test]
    fn jobs_run_once_and_in_order(turns in prop::collection::vec((0_u32..8, 0_usize..10), 0..50)) {
        let mut ready = filled(0..20_000);
        let mut model: VecDeque<u32> = (0..20_000).collect();
        let mut next = 20_000;
        while model.len() > 10 {
            prop_assert_eq!(ready.pop(), model.pop_front());
        }
        for (pushes, runs) in turns {
            let snapshot = ready.batch();
            prop_assert_eq!(snapshot, model.len());
            for _ in 0..pushes {
                ready.push(next);
                model.push_back(next);
                next += 1;
            }
            for _ in 0..runs.min(snapshot) {
                prop_assert_eq!(ready.pop(), model.pop_front());
            }
            prop_assert_eq!(ready.len(), model.len());
        }
        prop_assert!(ready.iter().eq(model.iter()));
    }
}
