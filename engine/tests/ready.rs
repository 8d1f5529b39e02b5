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

/// S4.6, S4.7: the batch is what was queued; what is queued meanwhile waits.
#[test]
fn a_batch_is_a_snapshot() {
    let mut ready = filled([1, 2]);
    let mut batch = ready.take_batch();
    ready.push(3);
    assert_eq!(batch, [1, 2]);
    batch.clear();
    ready.finish_batch(batch);
    assert_eq!(ready.take_batch(), [3]);
}

/// S2.20: the rest of a batch that was left early runs first next time, in order.
#[test]
fn the_rest_of_a_batch_goes_to_the_front() {
    let mut ready = filled([1, 2, 3]);
    let mut batch = ready.take_batch();
    assert_eq!(batch.pop_front(), Some(1));
    ready.push(4);
    ready.finish_batch(batch);
    assert_eq!(ready.len(), 3);
    assert_eq!(ready.iter().copied().collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(ready.drain().collect::<Vec<_>>(), [2, 3, 4]);
    assert!(ready.is_empty());
}

#[test]
fn two_deques_take_turns_without_allocating() {
    let mut ready = Ready::new();
    let mut capacities = Vec::new();
    for _turn in 0..6 {
        for job in 0..100 {
            ready.push(job);
        }
        let mut batch = ready.take_batch();
        capacities.push(batch.capacity());
        batch.clear();
        ready.finish_batch(batch);
    }
    assert!(capacities.iter().all(|&capacity| capacity == capacities[0]));
}

#[test]
fn a_burst_does_not_keep_its_memory() {
    let mut ready = filled(0..1_000_000);
    for _turn in 0..2 {
        let mut batch = ready.take_batch();
        batch.clear();
        ready.finish_batch(batch);
    }
    ready.push(1);
    assert!(ready.take_batch().capacity() <= 20_000);
}

proptest! {
    /// S4.9 against the plainest queue there is: any mixture of pushing and running any number of a
    /// batch keeps the order and loses nothing.
    #[test]
    fn jobs_run_once_and_in_order(turns in prop::collection::vec((0_u32..8, 0_usize..10), 0..50)) {
        let mut ready = Ready::new();
        let mut model = VecDeque::new();
        let mut next = 0;
        for (pushes, runs) in turns {
            let mut batch = ready.take_batch();
            let snapshot = model.len();
            for _ in 0..pushes {
                ready.push(next);
                model.push_back(next);
                next += 1;
            }
            for _ in 0..runs.min(snapshot) {
                prop_assert_eq!(batch.pop_front(), model.pop_front());
            }
            ready.finish_batch(batch);
            prop_assert_eq!(ready.len(), model.len());
        }
        prop_assert!(ready.iter().eq(model.iter()));
    }
}
