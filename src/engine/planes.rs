//! Where the planes of the arms' paths are laid out: who needs the one of a step waits here until it is known.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::arm::{ArmId, MAX_ARMS};
use crate::landscape::trajectory::{Axes, Point};

/// Planes of one arm that wait for its worker, at most: it asks for the one of the last snapshot but one.
const FOR_STEPS: usize = 4;
/// Planes of one arm that wait for the mapper: of the job that waits, and of the one that is about to take its place.
const FOR_MAPS: usize = 2;

/// Whom a plane is told for. Each is as large as two networks: none is remembered for nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// The worker, which tells angles in it: the snapshot was due.
    pub steps: bool,
    /// The mapper.
    pub map: bool,
}

/// A plane and the path in it.
#[derive(Clone, Debug)]
pub struct Laid {
    /// Its axes.
    pub axes: Axes,
    /// The path, oldest point first; its newest is the origin.
    pub points: Vec<Point>,
}

/// Steps done, and the plane of the snapshots up to them, if they span one.
pub type Told = (u64, Option<Arc<Laid>>);

#[derive(Default)]
struct Known {
    /// The newest step for which it is known whether there is a plane.
    until: Option<u64>,
    for_steps: VecDeque<Told>,
    for_maps: VecDeque<Told>,
    /// The one told last: an arm at its end, or held, asks for maps of a snapshot that is there already.
    newest: Option<Told>,
}

/// Puts the plane of a step behind the others, in the place of one of the same step; the oldest gives way.
fn remember(planes: &mut VecDeque<Told>, step: u64, plane: Option<Arc<Laid>>, most: usize) {
    planes.retain(|(at, _)| *at != step);
    if planes.len() >= most {
        planes.pop_front();
    }
    planes.push_back((step, plane));
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
    pub fn tell(&self, arm: ArmId, step: u64, plane: Option<Arc<Laid>>, to: Audience) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.arms.get_mut(arm.index()) {
            known.until = known.until.max(Some(step));
            known.newest = Some((step, plane.clone()));
            if to.map {
                remember(&mut known.for_maps, step, plane.clone(), FOR_MAPS);
            }
            if to.steps {
                remember(&mut known.for_steps, step, plane, FOR_STEPS);
            }
        }
        self.changed.notify_all();
    }

    /// The plane that angles are told in after the snapshot of `step`, which was due; waits until it is known. None if
    /// there is none, or nobody lays planes any more. Planes of steps before are not asked for again.
    pub fn for_steps(&self, arm: ArmId, step: u64) -> Option<Arc<Laid>> {
        self.wait(arm, step, |known| {
            let older = known.for_steps.iter().take_while(|(at, _)| *at <= step).count();
            known.for_steps.drain(..older.saturating_sub(1));
            let found = known.for_steps.front().filter(|(at, _)| *at <= step);
            found.and_then(|(_, plane)| plane.clone())
        })
    }

    /// The plane of exactly the snapshots up to `step`, for a map; waits as [`PlaneBoard::for_steps`].
    pub fn for_map(&self, arm: ArmId, step: u64) -> Option<Arc<Laid>> {
        self.wait(arm, step, |known| {
            let mut all = known.for_maps.iter().chain(&known.newest);
            let found = all.find(|(at, _)| *at == step);
            let plane = found.and_then(|(_, plane)| plane.clone());
            plane.filter(|laid| laid.axes.step == step)
        })
    }

    fn wait(
        &self,
        arm: ArmId,
        step: u64,
        take: impl Fn(&mut Known) -> Option<Arc<Laid>>,
    ) -> Option<Arc<Laid>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let known = state.arms.get_mut(arm.index())?;
            if known.until.is_some_and(|until| until >= step) {
                return take(known);
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

    const STEPS: Audience = Audience { steps: true, map: false };
    const MAP: Audience = Audience { steps: false, map: true };

    fn arm() -> ArmId {
        crate::arm::PerArm::from_iter([()]).ids().next().unwrap()
    }

    #[test]
    fn who_waits_gets_the_plane_of_the_step_and_not_a_newer_one() {
        let arm = arm();
        let board = Arc::new(PlaneBoard::default());
        board.tell(arm, 10, None, STEPS);
        assert_eq!(board.for_steps(arm, 10).map(|l| l.axes.step), None);
        let waiting = {
            let board = Arc::clone(&board);
            std::thread::spawn(move || board.for_steps(arm, 25).map(|l| l.axes.step))
        };
        board.tell(arm, 20, laid(20), STEPS);
        board.tell(arm, 30, laid(30), STEPS);
        assert_eq!(waiting.join().unwrap(), Some(20));
        let late = {
            let board = Arc::clone(&board);
            std::thread::spawn(move || board.for_steps(arm, 99).is_none())
        };
        board.close();
        assert!(late.join().unwrap());
        assert_eq!(board.for_steps(arm, 30).map(|l| l.axes.step), Some(30), "what is known stays");
    }

    #[test]
    fn maps_however_many_push_out_no_plane_of_the_steps_nor_steps_one_of_a_map() {
        let (arm, board) = (arm(), PlaneBoard::default());
        board.tell(arm, 90, laid(90), STEPS);
        for step in [91, 92, 93, 94, 95, 95, 95] {
            board.tell(arm, step, laid(step), MAP);
        }
        assert_eq!(board.for_steps(arm, 90).map(|l| l.axes.step), Some(90));
        for step in (100..200).step_by(10) {
            board.tell(arm, step, laid(step), STEPS);
        }
        assert_eq!(board.for_map(arm, 95).map(|l| l.axes.step), Some(95));
        assert_eq!(board.for_map(arm, 94).map(|l| l.axes.step), Some(94));
        assert!(board.for_map(arm, 100).is_none(), "none was laid for a map");
        assert_eq!(board.for_map(arm, 190).map(|l| l.axes.step), Some(190), "where the arm stays");
        // Bounded, whoever asks or does not.
        let state = board.state.lock().unwrap();
        let known = &state.arms[0];
        assert_eq!((known.for_steps.len(), known.for_maps.len()), (FOR_STEPS, FOR_MAPS));
    }
}
