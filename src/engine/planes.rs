//! Where the planes of the arms' paths are laid out: who needs the one of a step waits here until it is known.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::arm::{ArmId, MAX_ARMS};
use crate::landscape::trajectory::{Axes, Point};

/// Planes of one arm that are remembered: those of the two newest snapshots are asked for, and of a map's in between.
const REMEMBERED: usize = 4;

/// A plane and the path in it.
#[derive(Clone, Debug)]
pub struct Laid {
    /// Its axes.
    pub axes: Axes,
    /// The path, oldest point first; its newest is the origin.
    pub points: Vec<Point>,
}

#[derive(Default)]
struct Known {
    /// The newest step for which it is known whether there is a plane.
    until: Option<u64>,
    planes: VecDeque<(u64, Option<Arc<Laid>>)>,
}

struct State {
    arms: Vec<Known>,
    closed: bool,
}

/// The planes of all arms.
pub struct PlaneBoard {
    state: Mutex<State>,
    changed: Condvar,
}

impl Default for PlaneBoard {
    fn default() -> Self {
        let arms = (0..MAX_ARMS).map(|_| Known::default()).collect();
        Self { state: Mutex::new(State { arms, closed: false }), changed: Condvar::new() }
    }
}

impl PlaneBoard {
    /// Tells the plane of an arm's snapshots up to `step`, or that they span none.
    pub fn tell(&self, arm: ArmId, step: u64, plane: Option<Arc<Laid>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.arms.get_mut(arm.index()) {
            known.until = known.until.max(Some(step));
            if known.planes.len() == REMEMBERED {
                known.planes.pop_front();
            }
            known.planes.push_back((step, plane));
        }
        self.changed.notify_all();
    }

    /// The plane of an arm's snapshots up to `step`; waits until it is known. None if there is none, or nobody lays
    /// planes any more.
    pub fn wait(&self, arm: ArmId, step: u64) -> Option<Arc<Laid>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let known = state.arms.get(arm.index())?;
            if known.until.is_some_and(|until| until >= step) {
                let found = known.planes.iter().rev().find(|(at, _)| *at <= step);
                return found.and_then(|(_, plane)| plane.clone());
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nobody lays planes any more: nobody need wait.
    pub fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(step: u64) -> Option<Arc<Laid>> {
        let axes = Axes { step, shares: [0.6, 0.3], flat: Arc::default(), places: Vec::new() };
        Some(Arc::new(Laid { axes, points: Vec::new() }))
    }

    #[test]
    fn who_waits_gets_the_plane_of_the_step_and_not_a_newer_one() {
        let arm = crate::arm::PerArm::from_iter([()]).ids().next().unwrap();
        let board = Arc::new(PlaneBoard::default());
        let waiting = {
            let board = Arc::clone(&board);
            std::thread::spawn(move || board.wait(arm, 20).map(|l| l.axes.step))
        };
        board.tell(arm, 10, None);
        board.tell(arm, 20, laid(20));
        board.tell(arm, 30, laid(30));
        assert_eq!(waiting.join().unwrap(), Some(20));
        assert_eq!(board.wait(arm, 10).map(|l| l.axes.step), None);
        assert_eq!(board.wait(arm, 25).map(|l| l.axes.step), Some(20));
        let late = {
            let board = Arc::clone(&board);
            std::thread::spawn(move || board.wait(arm, 99).is_none())
        };
        board.close();
        assert!(late.join().unwrap());
        assert_eq!(board.wait(arm, 30).map(|l| l.axes.step), Some(30), "what is known stays");
    }
}
