//! The plane in which a run moved most: principal components of its snapshots or checkpoints (method.md 10, 11).
//!
//! All sums are made here, in order and in double precision: every machine that computes a part of the surface must get
//! the same directions to the bit.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use tch::{TchError, Tensor};

use super::direction::dot;
use super::error::LandscapeError;
use super::file::Trajectory;
use super::source::steps;
use super::trajectory::file::{self as snapshot, Content};
use super::weights::Reader;
use crate::geometry::pca::components;
use crate::model::{Plan, Weights};

/// Checkpoints below which two components say nothing: two points span one direction.
const FEWEST: usize = 3;

/// Where a run has been: its checkpoints, oldest first, the last one the centre of the surface.
pub struct Visited {
    steps: Vec<u64>,
    weights: Vec<Weights>,
    sha256: String,
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
    /// Where `arm` has been in the run of the folder `run`, up to its newest checkpoint of at most `last` steps, which is
    /// the last point: the snapshots of its path, or the checkpoints where those are fewer than three.
    ///
    /// # Errors
    /// When one cannot be read, or there are fewer than three of either.
    pub fn read(
        run: &Path,
        (arm, last): (&str, u64),
        plan: &Plan,
        option: (&'static str, &str),
        reader: &mut Reader,
    ) -> Result<Self, LandscapeError> {
        let holds = |folder: &Path| folder.join(format!("{arm}.safetensors")).is_file();
        let newest = steps(run).into_iter().rfind(|(step, f)| *step <= last && holds(f));
        if let Some((step, folder)) = newest {
            let path = run.join(snapshot::FOLDER).join(arm);
            let before =
                snapshot::steps(&path).into_iter().filter(|s| *s < step).collect::<Vec<_>>();
            if before.len() + 1 >= FEWEST {
                let file = folder.join(format!("{arm}.safetensors"));
                let (weights, sha256) = reader.read(&file, plan)?;
                return Self::of_snapshots(&path, before, plan, (step, weights, sha256), option);
            }
        }
        Self::of_checkpoints(run, (arm, last), plan, option, reader)
    }

    /// The snapshots of `before` in `path`, then the checkpoint. Snapshots in half precision are off by a 2000th of their
    /// distance from the first, in directions that are chance.
    fn of_snapshots(
        path: &Path,
        before: Vec<u64>,
        plan: &Plan,
        (mut last, weights, sha256): (u64, Weights, String),
        (name, value): (&'static str, &str),
    ) -> Result<Self, LandscapeError> {
        let (scalars, statistics) = (plan.scalars(), 2 * plan.statistics());
        let (scalars, statistics) = (scalars.unsigned_abs(), statistics.unsigned_abs());
        let mut all = Self { steps: Vec::new(), weights: Vec::new(), sha256 };
        let mut first: Option<Vec<f32>> = None;
        for step in before {
            let file = snapshot::path(path, step);
            let found = Content::read(&file, scalars as usize, statistics as usize);
            let found = found.map_err(|e| LandscapeError::Option {
                name,
                value: value.to_owned(),
                text: e.to_string(),
            })?;
            let theta = match (found.theta, &first) {
                (Some(theta), _) => first.insert(theta).clone(),
                (None, Some(first)) => {
                    let mut theta = first.clone();
                    found.difference.add_to(&mut theta, 1.0);
                    theta
                }
                // A path without its beginning has no place.
                (None, None) => continue,
            };
            // Checkpoints are named by the run's steps, snapshots by the arm's own, which are fewer where it waited for the
            // others; batches that it has seen tell which came first.
            if found.batches >= weights.batches && weights.batches > 0 {
                if found.batches == weights.batches {
                    last = step;
                }
                continue;
            }
            all.steps.push(step);
            all.weights.push(Weights {
                theta: Tensor::f_from_slice(&theta)?,
                running: Tensor::f_from_slice(&found.running)?,
                batches: found.batches,
            });
        }
        all.steps.push(last);
        all.weights.push(weights);
        Ok(all)
    }

    fn of_checkpoints(
        run: &Path,
        (arm, last): (&str, u64),
        plan: &Plan,
        (name, value): (&'static str, &str),
        reader: &mut Reader,
    ) -> Result<Self, LandscapeError> {
        let (mut told, mut weights, mut sha256) = (Vec::new(), Vec::new(), String::new());
        for (step, folder) in steps(run).into_iter().filter(|(step, _)| *step <= last) {
            let file = folder.join(format!("{arm}.safetensors"));
            // An arm that was forked later, or had failed before, is not in every checkpoint.
            if file.is_file() {
                let (found, digest) = reader.read(&file, plan)?;
                weights.push(found);
                sha256 = digest;
                told.push(step);
            }
        }
        if told.len() < FEWEST {
            return Err(LandscapeError::Option {
                name,
                value: value.to_owned(),
                text: format!(
                    "{} holds {} checkpoints of {arm} up to step {last}; expected {FEWEST} at least \
                     (checkpoint.every = 50 with checkpoint.keep = 0 keeps more)",
                    run.display(),
                    told.len()
                ),
            });
        }
        Ok(Self { steps: told, weights, sha256 })
    }

    /// Steps done at each point, oldest first.
    pub fn steps(&self) -> &[u64] {
        &self.steps
    }

    /// SHA-256 of the last checkpoint's file, in hex.
    pub fn last_sha256(&self) -> &str {
        &self.sha256
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
        let rows = self.rows(plan)?;
        let count = rows.len();
        let found = components(&gram(&rows), count, most);
        let refuse = |text: String| LandscapeError::Option {
            name: "--plane",
            value: "pca".to_owned(),
            text,
        };
        let found = found.map_err(|e| refuse(format!("{e} over the run's snapshots")))?;
        if found.len() < most {
            let text = "the run's snapshots lie on a line; leave out --y for a profile along it";
            return Err(refuse(text.to_owned()));
        }
        let mut directions = Vec::new();
        for component in &found {
            let mut sum = vec![0.0f64; rows.first().map_or(0, Vec::len)];
            for (row, by) in rows.iter().zip(&component.coefficients) {
                sum.iter_mut().zip(row).for_each(|(s, r)| *s += by * f64::from(*r));
            }
            // Of unit length but for rounding.
            let length = sum.iter().map(|v| v * v).sum::<f64>().sqrt();
            let unit: Vec<f32> = sum.into_iter().map(|v| (v / length) as f32).collect();
            directions.push(Tensor::f_from_slice(&unit)?);
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

    /// theta_i - theta_n, parameters of one dimension set to 0.
    fn rows(&self, plan: &Plan) -> Result<Vec<Vec<f32>>, TchError> {
        let values = |w: &Weights| Vec::<f32>::try_from(&w.theta);
        let mut rows = self.weights.iter().map(values).collect::<Result<Vec<_>, _>>()?;
        let last = rows.last().cloned().unwrap_or_default();
        let still = plan.params.iter().filter(|p| p.shape.len() <= 1);
        let still: Vec<_> =
            still.map(|p| p.offset as usize..(p.offset + p.len()) as usize).collect();
        for row in &mut rows {
            row.iter_mut().zip(&last).for_each(|(r, l)| *r -= l);
            for part in &still {
                if let Some(part) = row.get_mut(part.clone()) {
                    part.fill(0.0);
                }
            }
        }
        Ok(rows)
    }
}

/// Inner products of all rows [rows * rows]; a row to a thread, each product in order.
fn gram(rows: &[Vec<f32>]) -> Vec<f64> {
    let count = rows.len();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count.max(1));
    let next = AtomicUsize::new(0);
    let lower = || {
        let mut found = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(a) = rows.get(i) else { return found };
            found.extend(rows.iter().enumerate().take(i + 1).map(|(j, b)| (i, j, dot(a, b))));
        }
    };
    let mut products = vec![f64::NAN; count * count];
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(lower)).collect();
        // A thread that panicked leaves NaN, which the components refuse.
        for (i, j, product) in workers.into_iter().flat_map(|w| w.join().unwrap_or_default()) {
            products[i * count + j] = product;
            products[j * count + i] = product;
        }
    });
    products
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::super::direction::cosine;
    use super::super::trajectory::Values;
    use super::*;
    use crate::config::{Family, Init, ModelSpec, SnapshotPrecision};
    use crate::model::{initial_weights, state_bytes};

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
        (plan, Visited { steps: (0..count as u64).collect(), weights, sha256: String::new() })
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

    /// An arm that has made its four steps waits while the run goes on: the checkpoint of step 300 is its fourth.
    #[test]
    fn a_path_ends_with_its_checkpoint_however_steps_are_counted() {
        let (plan, visited) = setting(6);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(snapshot::FOLDER).join("skip");
        std::fs::create_dir_all(&path).unwrap();
        let numbers = |t: &Tensor| Vec::<f32>::try_from(t).unwrap();
        let first = numbers(&visited.weights[0].theta);
        for (step, weights) in visited.weights.iter().enumerate() {
            let theta = numbers(&weights.theta);
            let difference = Values::difference(&theta, &first, SnapshotPrecision::F32);
            let content = Content {
                difference: if step == 0 { Values::Zero } else { difference },
                theta: (step == 0).then_some(theta),
                running: numbers(&weights.running),
                batches: step as i64,
                loss: 1.0,
            };
            content.write(&snapshot::path(&path, step as u64)).unwrap();
        }
        let last = Weights { batches: 4, ..visited.weights[4].copy_to(Device::Cpu).unwrap() };
        let folder = dir.path().join("step-00000300");
        std::fs::create_dir_all(&folder).unwrap();
        let bytes = state_bytes(&plan, &last).unwrap();
        std::fs::write(folder.join("skip.safetensors"), bytes).unwrap();
        let (option, reader) = (("--plane", "pca"), &mut Reader::default());
        let found = Visited::read(dir.path(), ("skip", 300), &plan, option, reader).unwrap();
        assert_eq!(found.steps, [0, 1, 2, 3, 4], "each once, and none of a later time");
        assert_eq!(found.weights[4].theta, last.theta);
    }

    #[test]
    fn checkpoints_that_do_not_differ_are_refused() {
        let (plan, visited) = setting(1);
        let same = |_| visited.weights[0].copy_to(Device::Cpu).unwrap();
        let still = Visited { weights: (0..3).map(same).collect(), ..setting(3).1 };
        let told = still.plane(&plan, 2).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(told.starts_with("--plane pca: ") && !told.contains('\n'), "{told}");
        let dir = tempfile::tempdir().unwrap();
        let (option, reader) = (("--plane", "pca"), &mut Reader::default());
        let told = Visited::read(dir.path(), ("skip", 9), &plan, option, reader)
            .err()
            .unwrap()
            .to_string();
        assert!(told.contains("holds 0 checkpoints of skip"), "{told}");
    }
}
