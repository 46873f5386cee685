//! How far apart an arm's snapshots are.

use std::path::Path;

use super::EngineError;
use crate::arm::ArmName;
use crate::config::{Experiment, Length, TrajectorySpec};
use crate::data::Dataset;
use crate::geometry::thinning::{Thinning, common_divisor};
use crate::landscape::trajectory::file;
use crate::model::Plan;

/// Parameters up to which a snapshot is cheap beside ten steps.
const LIGHT: i64 = 1_000_000;
/// Steps between snapshots of larger networks, at least, where the config leaves it to us: one of VGG-9 at 16x16 costs a
/// quarter of a step, its loss and its products with the others.
const APART: u64 = 20;
/// A run too short for [`APART`] still has so many.
const FEW: u64 = 16;

/// When snapshots of an arm are due that makes `steps` steps with a network of so many `parameters`; none if no path is
/// kept.
pub fn thinning(spec: &TrajectorySpec, parameters: i64, steps: u64) -> Option<Thinning> {
    match (spec.keep, spec.every) {
        (0, _) => None,
        (keep, 0) => {
            let filling = Thinning::filling(keep, steps);
            let apart = if parameters > LIGHT { APART.min(steps / FEW) } else { 1 };
            Some(Thinning::new(filling.every().max(apart), keep))
        }
        (keep, every) => Some(Thinning::new(every, keep)),
    }
}

/// As [`thinning`], of an arm that is taken up after `done` steps in the run folder `root`. A run that is made longer keeps to
/// the distance of the snapshots that it has, where the new one would fit few of them.
pub fn thinning_after(
    spec: &TrajectorySpec,
    (parameters, steps): (i64, u64),
    (root, name): (&Path, &ArmName),
    done: u64,
) -> Option<Thinning> {
    let planned = thinning(spec, parameters, steps)?;
    let mut there = file::steps(&root.join(file::FOLDER).join(name.as_str()));
    there.retain(|step| *step <= done);
    // The first and the newest stand where they stand.
    let [_, even @ .., _] = &there[..] else { return Some(planned) };
    if spec.every > 0 || even.iter().all(|step| planned.is_due(*step)) {
        return Some(planned);
    }
    let distance = even.iter().fold(0, |found, step| common_divisor(found, *step));
    Some(Thinning::new(distance, spec.keep))
}

/// Steps between snapshots of the largest network of `run`; none where no path is kept, or where the run's length hangs on
/// its data.
///
/// # Errors
/// When its data cannot be read.
pub fn snapshots_every(run: &Experiment) -> Result<Option<u64>, EngineError> {
    let Length::Steps(steps) = run.length else { return Ok(None) };
    let Dataset { shape, classes, .. } = Dataset::load(&run.data)?;
    let plans = run.arms.values().map(|a| Plan::of(&a.model, a.skip, shape.sizes(), classes));
    let largest = plans.map(|plan| plan.scalars()).max().unwrap_or_default();
    Ok(thinning(&run.trajectory, largest, steps).map(Thinning::every))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Typed, resolve};

    #[test]
    fn a_run_that_is_made_longer_keeps_the_distance_of_its_snapshots() {
        let dir = tempfile::tempdir().unwrap();
        let name = ArmName::new("skip");
        let folder = dir.path().join(file::FOLDER).join(name.as_str());
        std::fs::create_dir_all(&folder).unwrap();
        let spec = resolve(&Typed::default()).unwrap().trajectory;
        let place = (dir.path(), &name);
        let planned = |steps| thinning(&spec, LIGHT, steps).unwrap();
        let thinning_after = |steps, done| thinning_after(&spec, (LIGHT, steps), place, done);
        assert_eq!(thinning_after(700, 0), Some(planned(700)), "none is there");
        let steps = planned(600);
        for step in (0..=600).filter(|s| steps.is_due(*s)) {
            std::fs::write(file::path(&folder, step), b"").unwrap();
        }
        // What was asked for between two of them, or later than the checkpoint, tells nothing.
        for step in [597, 601, 603] {
            std::fs::write(file::path(&folder, step), b"").unwrap();
        }
        assert_eq!(thinning_after(600, 597), Some(steps));
        let longer = thinning_after(700, 597).unwrap();
        let kept = (0..=590).step_by(10).filter(|s| longer.keeps(0, 620, *s)).count();
        assert_eq!(kept, 60, "every tenth step, as before");
        assert!((0..=590).step_by(10).filter(|s| planned(700).keeps(0, 620, *s)).count() < 12);
        // Where the new distance holds them all, it is the new one.
        assert_eq!(thinning_after(300, 300), Some(planned(300)));
    }

    #[test]
    fn snapshots_of_large_networks_are_further_apart() {
        let spec = resolve(&Typed::default()).unwrap().trajectory;
        let every = |parameters, steps| thinning(&spec, parameters, steps).unwrap().every();
        assert_eq!((every(LIGHT, 600), every(LIGHT + 1, 600)), (10, 20));
        assert_eq!(
            (every(LIGHT, 100), every(LIGHT + 1, 100)),
            (2, 6),
            "a short run still has some"
        );
        assert_eq!(every(LIGHT + 1, 6200), every(LIGHT, 6200), "in a long one they are far apart");
        assert_eq!(every(LIGHT + 1, 5), 1);
        let typed = TrajectorySpec { every: 3, ..spec };
        assert_eq!(thinning(&typed, LIGHT + 1, 600).unwrap().every(), 3, "as it was asked for");
    }
}
