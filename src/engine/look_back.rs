//! A run that is over, as its folder tells it: what a viewer would have seen last.

use std::path::Path;

use super::EngineError;
use super::message::{MapPass, PathUpdate};
use super::past::how_it_ended;
use super::prepare::describe_models;
use super::views::Views;
use crate::arm::PerArm;
use crate::config::{self, ArmSpec};
use crate::landscape::file::{SurfaceFile, Trajectory};
use crate::record::folder::{self, FolderError};
use crate::record::{metrics, rewind};
use crate::telemetry::event::{
    Alert, Event, FORK, Level, RunDone, RunStarted, RunStatus, SurfaceWritten,
};
use crate::telemetry::path::PathPoint;
use crate::telemetry::snapshot::{ArmState, Phase, RunHeader, Snapshot};

/// The last state of the run in `folder`, its history and newest maps included.
///
/// # Errors
/// When its files cannot be read, or hold no run.
pub fn look_back(folder: &Path) -> Result<Snapshot, EngineError> {
    let experiment = config::load(&folder.join(folder::RUN_FILE).to_string_lossy(), &[])?;
    let path = folder.join(metrics::FILE_NAME);
    let failed = |source| FolderError::Io { path: path.clone(), source };
    let mut memory = Memory { specs: experiment.arms.clone(), ..Memory::default() };
    let header = RunHeader {
        name: experiment.name.clone(),
        model: describe_models(&experiment.arms),
        folder: folder.display().to_string(),
        ..RunHeader::default()
    };
    rewind::for_each(&path, |event| memory.take(event, &header)).map_err(failed)?;
    let ended = memory.end(folder, experiment.map.images);
    ended.ok_or_else(|| {
        let text = "it tells of no run";
        failed(std::io::Error::new(std::io::ErrorKind::InvalidData, text)).into()
    })
}

/// What is remembered while the events pass.
#[derive(Default)]
struct Memory {
    specs: PerArm<ArmSpec>,
    views: Option<Views>,
    done: Option<RunDone>,
    alerts: Vec<Alert>,
    /// Newest surface files.
    surfaces: Vec<(String, SurfaceWritten)>,
    last: (u64, f64),
}

impl Memory {
    fn take(&mut self, event: Event, header: &RunHeader) {
        if let (Event::Run(run), None) = (&event, &self.views) {
            let RunStarted { device, arms, experiment, .. } = &**run;
            let steps = experiment.get("steps").and_then(serde_json::Value::as_u64);
            let header =
                RunHeader { device: device.clone(), steps: steps.unwrap_or(0), ..header.clone() };
            self.views = Some(Views::new(header, arms, &self.specs, 0));
        }
        let Some(views) = &mut self.views else { return };
        match &event {
            Event::Control(change) if change.key == FORK => {
                let parent = self.specs.ids().nth(change.from as usize);
                if let (Some(parent), Some(name)) = (parent, &change.name) {
                    let spec = ArmSpec { name: name.clone(), ..self.specs[parent].clone() };
                    views.fork(parent, &spec);
                    self.specs.push(spec);
                }
            }
            Event::Alert(alert) => self.alerts.push(alert.clone()),
            Event::Surface(written) => {
                // Of those that are gone, an older one that is there is shown.
                if let Some(file) = &written.file
                    && Path::new(&header.folder).join(file).is_file()
                {
                    let same =
                        |s: &SurfaceWritten| s.arm == written.arm && s.plane == written.plane;
                    self.surfaces.retain(|(_, other)| !same(other));
                    self.surfaces.push((file.clone(), written.clone()));
                }
            }
            Event::Step(sample) => self.last = (sample.step, sample.t),
            Event::Done(done) => {
                self.last.1 = done.t;
                self.done = Some(done.clone());
            }
            _ => {}
        }
        // Alerts that follow from it stand among the events.
        let _ = views.fold(&event);
    }

    fn end(self, folder: &Path, images: usize) -> Option<Snapshot> {
        let mut views = self.views?;
        for (id, spec) in self.specs.iter() {
            let ended = how_it_ended(spec.name.as_str(), &self.alerts);
            views.set_state(id, ended.unwrap_or(ArmState::Finished));
        }
        for (file, written) in &self.surfaces {
            let id = self.specs.find(|s| s.name == written.arm);
            if let (Some(arm), Ok(file)) = (id, SurfaceFile::read(&folder.join(file))) {
                let step = written.step;
                if let Some(path) = &file.trajectory {
                    let (shares, points) = (file.about.variance.clone(), points(path));
                    views.fold_path(PathUpdate { arm, origin_step: step, shares, points });
                }
                views.fold_map(MapPass {
                    of_path: file.trajectory.is_some(),
                    arm,
                    step,
                    taken_s: written.t,
                    surface: file.surface,
                    images,
                    cosine: f64::NAN,
                    complete: !file.about.coarse,
                });
            }
        }
        let mut snapshot = views.snapshot();
        snapshot.elapsed_s = self.last.1;
        let status = match self.done {
            Some(done) => done.status,
            None => {
                snapshot.alerts.push(Alert {
                    arm: None,
                    step: self.last.0,
                    t: self.last.1,
                    kind: "cut-off".to_owned(),
                    level: Level::Warning,
                    text: "the run was cut off; landscope --resume goes on with it".to_owned(),
                });
                RunStatus::Stopped
            }
        };
        snapshot.phase = Phase::Ended(status);
        Some(snapshot)
    }
}

/// The points of a path as its file holds them; a figure that the file does not tell is none.
fn points(path: &Trajectory) -> Vec<PathPoint> {
    let loss = |i: usize| path.loss.get(i).copied().unwrap_or(f64::NAN);
    let step = |i: usize| path.steps.get(i).copied().unwrap_or(i as u64);
    let places = path.xs.iter().copied().zip(path.ys.iter().copied()).enumerate();
    places.map(|(i, place)| PathPoint::new(step(i), place, loss(i))).collect()
}
