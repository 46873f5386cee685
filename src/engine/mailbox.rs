//! One job at work, a bounded number waiting per slot: in a full slot the newest wins.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

/// Slots for jobs; a job put into a full slot replaces the newest that waits there.
pub struct Mailbox<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    depth: usize,
}

struct State<T> {
    slots: Vec<VecDeque<T>>,
    /// The slot that is looked at first: the one after that of the newest job taken, so that none starves.
    turn: usize,
    closed: bool,
}

impl<T> Mailbox<T> {
    /// An empty mailbox with `slots` slots, in each of which `depth` jobs may wait.
    pub fn new(slots: usize, depth: usize) -> Self {
        let slots = (0..slots).map(|_| VecDeque::new()).collect();
        Self {
            state: Mutex::new(State { slots, turn: 0, closed: false }),
            changed: Condvar::new(),
            depth,
        }
    }

    /// Puts a job; true if it replaced one that waited.
    pub fn put(&self, slot: usize, job: T) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = state.slots.get_mut(slot) else { return true };
        let full = waiting.len() >= self.depth;
        if full {
            waiting.pop_back();
        }
        waiting.push_back(job);
        self.changed.notify_one();
        full
    }

    /// Waits for a job, the slots in turn, the oldest in each first; none once the mailbox is closed and empty.
    pub fn take(&self) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (count, turn) = (state.slots.len(), state.turn);
            let mut order = (0..count).map(|i| (turn + i) % count);
            if let Some(slot) = order.find(|slot| !state.slots[*slot].is_empty()) {
                state.turn = slot + 1;
                return state.slots[slot].pop_front();
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a job waits.
    pub fn has_waiting(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.slots.iter().any(|s| !s.is_empty())
    }

    /// Lets `take` return none once all jobs are taken.
    pub fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wins_and_the_last_is_not_lost() {
        let mailbox = Mailbox::new(2, 1);
        assert!(!mailbox.put(0, 'a'));
        assert!(!mailbox.put(1, 'b'));
        assert!(mailbox.put(0, 'c'));
        mailbox.close();
        assert_eq!([mailbox.take(), mailbox.take(), mailbox.take()], [Some('c'), Some('b'), None]);
    }

    #[test]
    fn slots_take_turns() {
        let mailbox = Mailbox::new(2, 3);
        for job in ["a1", "a2", "a3"] {
            mailbox.put(0, job);
        }
        mailbox.put(1, "b1");
        let taken: Vec<_> = (0..4).filter_map(|_| mailbox.take()).collect();
        assert_eq!(taken, ["a1", "b1", "a2", "a3"]);
    }

    #[test]
    fn a_deeper_slot_keeps_its_oldest_jobs() {
        let mailbox = Mailbox::new(1, 2);
        let replaced: Vec<bool> = "abc".chars().map(|job| mailbox.put(0, job)).collect();
        assert_eq!(replaced, [false, false, true]);
        mailbox.close();
        assert_eq!([mailbox.take(), mailbox.take(), mailbox.take()], [Some('a'), Some('c'), None]);
    }
}
