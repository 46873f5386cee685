//! The plane in which a run moved most: principal components of its checkpoints (method.md 10, 11).

use std::path::Path;

use tch::{Kind, TchError, Tensor};

use super::error::LandscapeError;
use super::file::Trajectory;
use super::source::{read, steps};
use crate::geometry::pca::components;
use crate::model::{Plan, Weights};

/// Checkpoints below which two components say nothing: two points span one direction.
const FEWEST: usize = 3;
/// Entries of all rows whose inner products are made at once, so that double precision needs little room.
const COLUMNS: i64 = 1 << 20;

/// Where a run has been: its checkpoints, oldest first, the last one the centre of the surface.
pub struct Visited {
    steps: Vec<u64>,
    weights: Vec<Weights>,
}

/// The plane of the run's motion.
pub struct Principal {
    /// Unit, orthogonal directions, flat; what has one dimension does not move.
    pub directions: Vec<Tensor>,
    /// Share of the variance that each holds.
    pub shares: Vec<f64>,
    /// The checkpoints in the plane, relative to the last.
    pub path: Trajectory,
}

impl Visited {
    /// The checkpoints of `arm` in the run folder `run`, up to the step `last`.
    ///
    /// # Errors
    /// When one cannot be read, or there are fewer than three.
    pub fn read(run: &Path, arm: &str, last: u64, plan: &Plan) -> Result<Self, LandscapeError> {
        let (mut told, mut weights) = (Vec::new(), Vec::new());
        for (step, folder) in steps(run).into_iter().filter(|(step, _)| *step <= last) {
            let file = folder.join(format!("{arm}.safetensors"));
            // An arm that was forked later, or had failed before, is not in every checkpoint.
            if file.is_file() {
                weights.push(read(&file, plan)?.0);
                told.push(step);
            }
        }
        if told.len() < FEWEST {
            return Err(LandscapeError::Option {
                name: "--plane",
                value: "pca".to_owned(),
                text: format!(
                    "{} holds {} checkpoints of {arm} up to step {last}; expected {FEWEST} at least \
                     (checkpoint.every = 50 with checkpoint.keep = 0 keeps more)",
                    run.display(),
                    told.len()
                ),
            });
        }
        Ok(Self { steps: told, weights })
    }

    /// The weights at each checkpoint.
    pub fn weights(&self) -> &[Weights] {
        &self.weights
    }

    /// The plane of the `most` strongest components.
    ///
    /// # Errors
    /// When the checkpoints do not differ enough, or torch fails.
    pub fn plane(&self, plan: &Plan, most: usize) -> Result<Principal, LandscapeError> {
        let _no_grad = tch::no_grad_guard();
        let rows = self.rows(plan)?;
        let count = self.weights.len();
        let found = components(&gram(&rows)?, count, most);
        let refuse = |text: String| LandscapeError::Option {
            name: "--plane",
            value: "pca".to_owned(),
            text,
        };
        let found = found.map_err(|e| refuse(format!("{e} over the run's checkpoints")))?;
        if found.len() < most {
            let text = "the run's checkpoints lie on a line; leave out --y for a profile along it";
            return Err(refuse(text.to_owned()));
        }
        let mut directions = Vec::new();
        for component in &found {
            let by: Vec<f32> = component.coefficients.iter().map(|c| *c as f32).collect();
            let by = Tensor::f_from_slice(&by)?.f_view([1, count as i64])?;
            let sum = by.f_matmul(&rows)?.f_view([-1])?;
            // Of unit length but for rounding.
            let length = sum.f_norm()?;
            directions.push(sum.f_div(&length)?);
        }
        let along = |i: usize| found.get(i).map(|c| c.coordinates.clone());
        let path = Trajectory {
            xs: along(0).unwrap_or_default(),
            ys: along(1).unwrap_or_else(|| vec![0.0; count]),
            steps: self.steps.clone(),
            loss: Vec::new(),
        };
        Ok(Principal { directions, shares: found.iter().map(|c| c.share).collect(), path })
    }

    /// theta_i - theta_n, parameters of one dimension set to 0 [checkpoints, scalars].
    fn rows(&self, plan: &Plan) -> Result<Tensor, TchError> {
        let all: Vec<&Tensor> = self.weights.iter().map(|w| &w.theta).collect();
        let stacked = Tensor::f_stack(&all, 0)?;
        let last = stacked.f_narrow(0, self.weights.len() as i64 - 1, 1)?;
        let rows = stacked.f_sub(&last)?;
        for param in plan.params.iter().filter(|p| p.shape.len() <= 1) {
            let _ = rows.f_narrow(1, param.offset, param.len())?.f_zero_()?;
        }
        Ok(rows)
    }
}

/// Inner products of all rows, in double precision.
fn gram(rows: &Tensor) -> Result<Vec<f64>, TchError> {
    let (count, columns) = rows.size2()?;
    let mut sum = Tensor::f_zeros([count, count], (Kind::Double, rows.device()))?;
    for start in (0..columns).step_by(COLUMNS as usize) {
        let part =
            rows.f_narrow(1, start, COLUMNS.min(columns - start))?.f_to_kind(Kind::Double)?;
        let _ = sum.f_add_(&part.f_matmul(&part.f_tr()?)?)?;
    }
    sum.f_view([-1])?.try_into()
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::super::direction::cosine;
    use super::*;
    use crate::config::{Family, Init, ModelSpec};
    use crate::model::initial_weights;

    fn setting(count: usize) -> (Plan, Visited) {
        let spec = ModelSpec {
            family: Family::Resnet,
            depth: 8,
            width: 2,
            widen: 1,
            init: Init::KaimingNormal,
        };
        let plan = Plan::resnet(&spec, true, 1, 10);
        let at = |i: usize| {
            let seed = plan.pack(&initial_weights(&plan, 0), Device::Cpu).unwrap();
            let far = plan.pack(&initial_weights(&plan, 1), Device::Cpu).unwrap();
            let side = plan.pack(&initial_weights(&plan, 2), Device::Cpu).unwrap();
            let t = i as f64;
            let theta = seed + far * (0.5 * t) + side * (0.1 * (t * 1.3).sin());
            Weights { theta, running: plan.fresh_statistics(Device::Cpu).unwrap(), batches: 0 }
        };
        let weights = (0..count).map(at).collect();
        (plan, Visited { steps: (0..count as u64).collect(), weights })
    }

    #[test]
    fn directions_are_unit_and_orthogonal_and_the_path_lies_in_them() {
        let (plan, visited) = setting(8);
        let found = visited.plane(&plan, 2).unwrap();
        let [dx, dy] = &found.directions[..] else { panic!("two directions") };
        for d in [dx, dy] {
            assert!((f64::try_from(d.norm()).unwrap() - 1.0).abs() < 1e-5);
        }
        assert!(cosine(dx, dy).unwrap().abs() < 1e-4);
        assert!(found.shares[0] > 0.9 && found.shares.iter().sum::<f64>() < 1.0 + 1e-9);
        assert!((found.shares.iter().sum::<f64>() - 1.0).abs() < 1e-5, "the path is plane");
        let last = (found.path.xs[7], found.path.ys[7]);
        assert!(last.0.abs() < 1e-6 && last.1.abs() < 1e-6, "the centre is the last: {last:?}");
        // By hand: the first checkpoint's offset along the first direction.
        let norm = plan.params.iter().find(|p| p.shape.len() == 1).unwrap();
        let still = f64::try_from(dx.narrow(0, norm.offset, norm.len()).abs().max()).unwrap();
        assert_eq!(still, 0.0);
        let offset = &visited.weights[0].theta - &visited.weights[7].theta;
        let mask = dx.ne(0.0).to_kind(Kind::Float);
        let along = f64::try_from((offset * mask).dot(dx)).unwrap();
        assert!((along / found.path.xs[0] - 1.0).abs() < 1e-4, "{along} {}", found.path.xs[0]);
    }

    #[test]
    fn checkpoints_that_do_not_differ_are_refused() {
        let (plan, visited) = setting(1);
        let same = |_| visited.weights[0].copy_to(Device::Cpu).unwrap();
        let still = Visited { steps: vec![0, 1, 2], weights: (0..3).map(same).collect() };
        let told = still.plane(&plan, 2).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(told.starts_with("--plane pca: ") && !told.contains('\n'), "{told}");
        let dir = tempfile::tempdir().unwrap();
        let told = Visited::read(dir.path(), "skip", 9, &plan).err().unwrap().to_string();
        assert!(told.contains("holds 0 checkpoints of skip"), "{told}");
    }
}
