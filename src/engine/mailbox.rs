//! One job at work, at most one waiting per slot: the newest wins.

use std::sync::{Condvar, Mutex, PoisonError};

/// Slots for jobs; a job put into a full slot replaces the one that waits there.
pub struct Mailbox<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    slots: Vec<Option<T>>,
    closed: bool,
}

impl<T> Mailbox<T> {
    /// An empty mailbox with `slots` slots.
    pub fn new(slots: usize) -> Self {
        let slots = (0..slots).map(|_| None).collect();
        Self { state: Mutex::new(State { slots, closed: false }), changed: Condvar::new() }
    }

    /// Puts a job; true if it replaced one that waited.
    pub fn put(&self, slot: usize, job: T) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = state.slots.get_mut(slot).is_some_and(|s| s.replace(job).is_some());
        self.changed.notify_one();
        replaced
    }

    /// Waits for a job, the first slot first; none once the mailbox is closed and empty.
    pub fn take(&self) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = state.slots.iter_mut().find_map(Option::take) {
                return Some(job);
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
        state.slots.iter().any(Option::is_some)
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
        let mailbox = Mailbox::new(2);
        assert!(!mailbox.put(0, 'a'));
        assert!(!mailbox.put(1, 'b'));
        assert!(mailbox.put(0, 'c'));
        mailbox.close();
        assert_eq!([mailbox.take(), mailbox.take(), mailbox.take()], [Some('c'), Some('b'), None]);
    }
}
