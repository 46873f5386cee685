//! The gate at which arms meet before every step: whoever comes last decides for all what comes next.
//!
//! No thread of its own: the decision costs what it costs, and the arms that wait leave their cores to others. An arm
//! that ends, well or not, leaves the gate, and the rest go on without it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A gate for some arms. `D` is what is decided; the decision is made under the gate's lock.
pub struct Lockstep<D> {
    shared: Arc<Shared<D>>,
}

/// One arm's place at the gate; leaving it lets the others go on.
pub struct Place<D> {
    shared: Arc<Shared<D>>,
}

struct Shared<D> {
    state: Mutex<State<D>>,
    turned: Condvar,
}

struct State<D> {
    /// Arms that still come.
    members: usize,
    /// Arms that wait now.
    waiting: usize,
    /// Times that the gate has opened.
    turn: u64,
    /// The newest decision.
    decision: Option<D>,
    /// Makes the decision.
    decide: Box<dyn FnMut() -> D + Send>,
}

impl<D> State<D> {
    fn open(&mut self) {
        self.waiting = 0;
        self.turn += 1;
        self.decision = Some((self.decide)());
    }
}

impl<D: Clone> Lockstep<D> {
    /// A gate whose decisions are made by `decide`.
    pub fn new(decide: impl FnMut() -> D + Send + 'static) -> Self {
        let state =
            State { members: 0, waiting: 0, turn: 0, decision: None, decide: Box::new(decide) };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), turned: Condvar::new() }) }
    }

    /// A place for one more arm; take all before the first arm comes to the gate.
    pub fn place(&self) -> Place<D> {
        self.shared.lock().members += 1;
        Place { shared: Arc::clone(&self.shared) }
    }
}

impl<D> Shared<D> {
    /// A panic while deciding leaves the counters as they are, which are whole at every moment: go on.
    fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Clone> Place<D> {
    /// Waits for all other arms and takes the decision.
    pub fn meet(&self) -> D {
        let mut state = self.shared.lock();
        state.waiting += 1;
        if state.waiting == state.members {
            state.open();
            self.shared.turned.notify_all();
        } else {
            let turn = state.turn;
            while state.turn == turn {
                state = self.shared.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        match &state.decision {
            Some(decision) => decision.clone(),
            // `open` has made one before any turn ends.
            None => (state.decide)(),
        }
    }
}

impl<D> Drop for Place<D> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.members -= 1;
        if state.members > 0 && state.waiting == state.members {
            state.open();
            self.shared.turned.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn all_take_the_same_decision_and_none_runs_ahead() {
        let mut count = 0;
        let gate = Lockstep::new(move || {
            count += 1;
            count
        });
        let reached = Arc::new(AtomicU64::new(0));
        let places: Vec<_> = (0..4).map(|_| gate.place()).collect();
        thread::scope(|scope| {
            for place in places {
                let reached = Arc::clone(&reached);
                scope.spawn(move || {
                    for step in 1..=200u64 {
                        let decision: u64 = place.meet();
                        assert_eq!(decision, step);
                        // Everybody has finished the step before.
                        assert!(reached.fetch_add(1, Ordering::SeqCst) >= 4 * (step - 1));
                    }
                });
            }
        });
        assert_eq!(reached.load(Ordering::SeqCst), 800);
    }

    #[test]
    fn an_arm_that_dies_does_not_hold_the_others() {
        let gate = Lockstep::new(|| ());
        let (a, b) = (gate.place(), gate.place());
        let dying = thread::spawn(move || {
            b.meet();
            let _held = b;
            panic!("a worker's end, on purpose");
        });
        for _ in 0..5 {
            a.meet();
        }
        assert!(dying.join().is_err());
    }
}
