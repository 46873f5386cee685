//! The gate at which arms meet before every step: whoever comes last decides for all what comes next.
//!
//! No thread of its own: the decision costs what it costs, and the arms that wait leave their cores to others. An arm
//! that ends, well or not, leaves the gate, and the rest go on without it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What is decided at a gate.
pub trait Decision: Clone {
    /// Arms that come to the gate from its next turn on; each is waited for until its seat is taken or dropped.
    fn joining(&self) -> usize {
        0
    }
}

/// A gate for some arms. `D` is what is decided; the decision is made under the gate's lock.
pub struct Lockstep<D: Decision> {
    shared: Arc<Shared<D>>,
}

/// One arm's place at the gate; leaving it lets the others go on.
pub struct Place<D: Decision> {
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

impl<D: Decision> State<D> {
    fn open(&mut self) {
        self.waiting = 0;
        self.turn += 1;
        let decision = (self.decide)();
        self.members += decision.joining();
        self.decision = Some(decision);
    }
}

impl<D: Decision> Lockstep<D> {
    /// A gate whose decisions are made by `decide`.
    pub fn new(decide: impl FnMut() -> D + Send + 'static) -> Self {
        let state =
            State { members: 0, waiting: 0, turn: 0, decision: None, decide: Box::new(decide) };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), turned: Condvar::new() }) }
    }

    /// A place for one more arm; take all before the first arm comes to the gate.
    pub fn place(&self) -> Place<D> {
        self.shared.lock().members += 1;
        self.seat()
    }

    /// The place of an arm that a decision has counted as joining.
    pub fn seat(&self) -> Place<D> {
        Place { shared: Arc::clone(&self.shared) }
    }
}

impl<D> Shared<D> {
    /// A panic while deciding leaves the counters as they are, which are whole at every moment: go on.
    fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Decision> Place<D> {
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

impl<D: Decision> Drop for Place<D> {
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

    impl Decision for u64 {}
    impl Decision for () {}

    /// Counts turns; one more arm joins at the third.
    #[derive(Clone)]
    struct Turn(u64);

    impl Decision for Turn {
        fn joining(&self) -> usize {
            usize::from(self.0 == 3)
        }
    }

    #[test]
    fn who_joins_is_waited_for_and_takes_the_next_decision() {
        let mut count = 0;
        let gate = Arc::new(Lockstep::new(move || {
            count += 1;
            Turn(count)
        }));
        let first = gate.place();
        let joiner = thread::scope(|scope| {
            let old = scope.spawn(|| (0..5).map(|_| first.meet().0).collect::<Vec<_>>());
            // The gate does not open for the fourth time before the new arm has come.
            thread::sleep(std::time::Duration::from_millis(20));
            let new = gate.seat();
            let told = [new.meet().0, new.meet().0];
            assert_eq!(old.join().unwrap(), [1, 2, 3, 4, 5]);
            told
        });
        assert_eq!(joiner, [4, 5]);
    }

    #[test]
    fn a_seat_that_nobody_takes_holds_nobody() {
        let mut count = 0;
        let gate = Lockstep::new(move || {
            count += 1;
            Turn(count)
        });
        let place = gate.place();
        thread::scope(|scope| {
            let old = scope.spawn(|| (0..6).map(|_| place.meet().0).max());
            thread::sleep(std::time::Duration::from_millis(20));
            drop(gate.seat());
            assert_eq!(old.join().unwrap(), Some(6));
        });
    }

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
