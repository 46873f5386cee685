//! Decides at the gate, before every step, what all arms do next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use super::message::{Fork, Message};
use super::workers::AtWork;
use crate::arm::{ArmId, ArmName, MAX_ARMS, PerArm};
use crate::config::{ArmSpec, CheckpointSpec};
use crate::link::Commands;
use crate::telemetry::command::{Change, Command, Setting};
use crate::telemetry::event::{Alert, ControlChange, Event, FORK, Level, PAUSED};
use crate::telemetry::snapshot::Phase;
use crate::train::control::{Changed, Settings};
use crate::train::worker::Directive;

/// How often a paused run looks for commands.
const PAUSE_POLL: Duration = Duration::from_millis(20);

/// The run's one authority on steps and settings.
pub struct Conductor {
    /// Requests of viewers.
    pub commands: Commands,
    /// What the arms were configured with.
    pub specs: PerArm<ArmSpec>,
    /// What they train with now.
    pub settings: Arc<PerArm<Settings>>,
    /// Training images: a batch cannot be larger.
    pub train_images: usize,
    /// Changes of another run that are made again, in order of their steps.
    pub replay: VecDeque<ControlChange>,
    /// Steps made.
    pub done: u64,
    /// The step that a checkpoint holds already, because the run was taken up there.
    pub saved: u64,
    /// Steps to make.
    pub steps: u64,
    /// Steps between maps; 0: on request.
    pub map_every: u64,
    /// When checkpoints are due.
    pub checkpoint: CheckpointSpec,
    /// When the last one was due.
    pub last_checkpoint: Instant,
    /// Set once somebody has stopped the run.
    pub stopped: Arc<AtomicBool>,
    /// Where control events go.
    pub out: SyncSender<Message>,
    /// The run's start.
    pub start: Instant,
    /// Held by the user.
    pub paused: bool,
    /// What was asked for and is not done.
    pub asked: Asked,
    /// Arms that come to the gate.
    pub at_work: AtWork,
}

/// What commands asked for since the last step.
#[derive(Debug, Default)]
pub struct Asked {
    map: bool,
    checkpoint: bool,
    /// (parent, child): one at a time, because the gate waits for the child.
    fork: Option<(ArmId, ArmId)>,
}

impl Conductor {
    /// The next directive; waits while the run is paused.
    pub fn decide(&mut self) -> Directive {
        self.repeat_changes();
        loop {
            while self.asked.fork.is_none()
                && let Some(command) = self.commands.take()
            {
                self.obey(command);
            }
            if let Some(fork) = self.asked.fork.take() {
                // The new arm is waited for; copies for a map or a checkpoint are handed out when it is there.
                return Directive { fork: Some(fork), ..self.directive(None, true) };
            }
            if !self.paused || self.stopped.load(Ordering::Relaxed) {
                break;
            }
            if self.asked.map || self.asked.checkpoint {
                // Handing out weights needs no step: meet again at once, still paused.
                return self.handing_out(None, true);
            }
            thread::sleep(PAUSE_POLL);
        }
        let stopped = self.stopped.load(Ordering::Relaxed);
        if stopped || self.done >= self.steps {
            self.asked.checkpoint = self.done > 0;
            self.asked.map = !stopped && (self.asked.map || self.map_every > 0);
            return self.handing_out(None, false);
        }
        self.asked.map |= self.map_is_due();
        self.asked.checkpoint |= self.checkpoint_is_due();
        self.done += 1;
        self.handing_out(Some(self.done), false)
    }

    /// A directive that does what was asked for.
    fn handing_out(&mut self, step: Option<u64>, hold: bool) -> Directive {
        let Asked { map, checkpoint, .. } = std::mem::take(&mut self.asked);
        Directive { map, checkpoint, ..self.directive(step, hold) }
    }

    fn directive(&self, step: Option<u64>, hold: bool) -> Directive {
        let settings = Arc::clone(&self.settings);
        Directive {
            step,
            // What is handed out are the weights as they are before the step.
            done: self.done - u64::from(step.is_some()),
            hold,
            settings,
            map: false,
            checkpoint: false,
            fork: None,
        }
    }

    /// A first map as soon as there has been a step, then every `map_every` steps.
    fn map_is_due(&self) -> bool {
        self.map_every > 0
            && self.done > 0
            && (self.done == 1 || self.done.is_multiple_of(self.map_every))
    }

    fn checkpoint_is_due(&mut self) -> bool {
        let CheckpointSpec { every, minutes, .. } = self.checkpoint;
        let by_step = every > 0 && self.done > self.saved && self.done.is_multiple_of(every);
        let by_time =
            minutes > 0.0 && self.last_checkpoint.elapsed().as_secs_f64() >= minutes * 60.0;
        if by_step || by_time {
            self.last_checkpoint = Instant::now();
        }
        by_step || by_time
    }

    /// Makes the changes that another run had made before this step.
    fn repeat_changes(&mut self) {
        while self.asked.fork.is_none()
            && self.replay.front().is_some_and(|c| c.step <= self.done + 1)
            && let Some(ControlChange { arm, key, to: value, .. }) = self.replay.pop_front()
        {
            if key == FORK {
                self.fork(arm.as_ref(), &[]);
            } else if let Some(setting) = Setting::named(&key) {
                self.change(arm.as_ref(), Change::Set { setting, value });
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::TogglePause => {
                self.paused = !self.paused;
                let (from, to) = if self.paused { (0.0, 1.0) } else { (1.0, 0.0) };
                self.tell(None, &Changed { key: PAUSED, from, to });
                self.send(Message::Phase(if self.paused {
                    Phase::Paused
                } else {
                    Phase::Training
                }));
            }
            Command::Change { arm, change } => self.change(arm.as_ref(), change),
            Command::Fork { arm, changes } => self.fork(arm.as_ref(), &changes),
            Command::MapNow => self.asked.map = true,
            Command::Checkpoint => self.asked.checkpoint = true,
            Command::Stop => self.stopped.store(true, Ordering::Relaxed),
        }
    }

    /// Lets a copy of an arm join, with changes of its own.
    fn fork(&mut self, arm: Option<&ArmName>, changes: &[(Setting, f64)]) {
        let parent = match arm {
            Some(name) => self.specs.find(|s| s.name == *name),
            None => self.specs.ids().next(),
        };
        let Some(parent) = parent.filter(|id| self.at_work.is(*id)) else {
            let name = arm.map_or("", ArmName::as_str);
            return self.refuse(format!("no fork: arm {name} does not train"));
        };
        if self.specs.len() >= MAX_ARMS {
            return self.refuse(format!("no fork: {MAX_ARMS} arms are as many as a run holds"));
        }
        let spec = ArmSpec { name: self.free_name(parent), ..self.specs[parent].clone() };
        let child = self.specs.push(spec.clone());
        let mut settings = PerArm::clone(&self.settings);
        settings.push(settings[parent]);
        self.settings = Arc::new(settings);
        let parents_name = self.specs[parent].name.clone();
        let forked = Changed { key: FORK, from: parent.index() as f64, to: child.index() as f64 };
        let name = spec.name.clone();
        // First the arm, then what is told of it.
        self.send(Message::Fork(Box::new(Fork { parent, child, spec })));
        self.tell_of(Some(&parents_name), &forked, Some(name.clone()));
        self.asked.fork = Some((parent, child));
        for (setting, value) in changes {
            self.change(Some(&name), Change::Set { setting: *setting, value: *value });
        }
    }

    /// A name that no arm has: the parent's with a number.
    fn free_name(&self, parent: ArmId) -> ArmName {
        let stem = self.specs[parent].name.as_str();
        let mut names = (2..).map(|n| ArmName::new(&format!("{stem}-{n}")));
        let free = names.find(|name| self.specs.find(|s| s.name == *name).is_none());
        // Of endlessly many names, at most eight are taken.
        free.unwrap_or_else(|| ArmName::new(stem))
    }

    fn refuse(&self, text: String) {
        self.send(Message::Event(Event::Alert(Alert {
            arm: None,
            step: self.done,
            t: self.start.elapsed().as_secs_f64(),
            kind: "command-refused".to_owned(),
            level: Level::Warning,
            text,
        })));
    }

    /// Changes one arm's settings or all arms'; told as one event where it was the same change for all.
    fn change(&mut self, arm: Option<&ArmName>, change: Change) {
        let mut settings = PerArm::clone(&self.settings);
        let mut changed: Vec<(ArmName, Changed)> = Vec::new();
        for (id, spec) in self.specs.iter() {
            if arm.is_none_or(|name| *name == spec.name)
                && let Some(done) = settings[id].apply(change, &spec.train, self.train_images)
            {
                changed.push((spec.name.clone(), done));
            }
        }
        self.settings = Arc::new(settings);
        if changed.is_empty() {
            self.refuse("nothing to change: it is at its end, or so already".to_owned());
        }
        match &changed[..] {
            [(_, first), ..]
                if changed.len() == self.specs.len() && changed.iter().all(|(_, c)| c == first) =>
            {
                self.tell(None, first);
            }
            _ => changed.iter().for_each(|(name, c)| self.tell(Some(name), c)),
        }
    }

    fn tell(&self, arm: Option<&ArmName>, changed: &Changed) {
        self.tell_of(arm, changed, None);
    }

    fn tell_of(&self, arm: Option<&ArmName>, changed: &Changed, name: Option<ArmName>) {
        self.send(Message::Event(Event::Control(ControlChange {
            arm: arm.cloned(),
            step: self.done + 1,
            t: self.start.elapsed().as_secs_f64(),
            key: changed.key.to_owned(),
            from: changed.from,
            to: changed.to,
            name,
        })));
    }

    fn send(&self, message: Message) {
        // Nobody listens only once the run is over.
        let _ = self.out.send(message);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;
    use crate::config::{Typed, resolve};
    use crate::link::{Client, pair};
    use crate::telemetry::snapshot::Snapshot;
    use crate::train::lockstep::Decision;

    fn conductor(steps: u64, map_every: u64) -> (Conductor, Client, Receiver<Message>) {
        let experiment = resolve(&Typed::default()).unwrap();
        let (_publisher, commands, door) = pair(Snapshot::default());
        let (out, messages) = sync_channel(64);
        let settings = experiment.arms.map(|_, a| Settings::of(&a.train, 1437));
        let conductor = Conductor {
            commands,
            specs: experiment.arms,
            settings: Arc::new(settings),
            train_images: 1437,
            replay: VecDeque::new(),
            done: 0,
            saved: 0,
            steps,
            map_every,
            checkpoint: CheckpointSpec { every: 3, minutes: 0.0, keep: 0, keep_every: 0 },
            last_checkpoint: Instant::now(),
            stopped: Arc::default(),
            out,
            start: Instant::now(),
            paused: false,
            asked: Asked::default(),
            at_work: AtWork::default(),
        };
        (conductor, door.client(false), messages)
    }

    #[test]
    fn steps_maps_and_checkpoints_come_when_due() {
        let (mut c, _client, _messages) = conductor(5, 4);
        let told: Vec<_> =
            (0..6).map(|_| c.decide()).map(|d| (d.step, d.done, d.map, d.checkpoint)).collect();
        let wanted = [
            (Some(1), 0, false, false),
            (Some(2), 1, true, false), // the first map, after the first step
            (Some(3), 2, false, false),
            (Some(4), 3, false, true),
            (Some(5), 4, true, false),
            (None, 5, true, true), // the end: a last map and a checkpoint
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_change_for_all_is_one_event_and_holds_from_the_next_step() {
        let (mut c, client, messages) = conductor(10, 0);
        c.decide();
        client.send(Command::Change { arm: None, change: Change::ScaleLr(0.5) }).unwrap();
        client
            .send(Command::Change {
                arm: Some(ArmName::new("noskip")),
                change: Change::ToggleWeightDecay,
            })
            .unwrap();
        let d = c.decide();
        let lrs: Vec<f64> = d.settings.values().map(|s| s.lr).collect();
        let decays: Vec<f64> = d.settings.values().map(|s| s.weight_decay).collect();
        assert_eq!((lrs, decays), (vec![0.05, 0.05], vec![5e-4, 0.0]));
        let events: Vec<ControlChange> = messages
            .try_iter()
            .filter_map(|m| match m {
                Message::Event(Event::Control(c)) => Some(c),
                _ => None,
            })
            .collect();
        assert_eq!(events.len(), 2);
        assert_eq!(
            (events[0].arm.as_ref(), events[0].step, events[0].key.as_str()),
            (None, 2, "lr")
        );
        assert_eq!(events[1].arm.as_ref().map(ArmName::as_str), Some("noskip"));
    }

    #[test]
    fn a_fork_is_one_turn_of_the_gate_and_changes_the_new_arm_alone() {
        let (mut c, client, messages) = conductor(10, 0);
        c.specs.ids().for_each(|id| c.at_work.begins(id));
        c.decide();
        let noskip = Some(ArmName::new("noskip"));
        let changes = vec![(Setting::WeightDecay, 0.0)];
        client.send(Command::Fork { arm: noskip.clone(), changes }).unwrap();
        client.send(Command::Fork { arm: noskip, changes: Vec::new() }).unwrap();
        client.send(Command::MapNow).unwrap();
        let first = c.decide();
        let ids: Vec<usize> = c.specs.ids().map(ArmId::index).collect();
        assert_eq!(ids, [0, 1, 2], "the second fork waits for the first");
        let (parent, child) = first.fork.unwrap();
        assert_eq!((parent.index(), child.index(), first.joining()), (1, 2, 1));
        assert!(first.hold && first.step.is_none() && !first.map);
        let decays: Vec<f64> = first.settings.values().map(|s| s.weight_decay).collect();
        assert_eq!(decays, [5e-4, 5e-4, 0.0]);
        assert!(c.decide().fork.is_some());
        let next = c.decide();
        assert_eq!((next.step, next.map, next.joining()), (Some(2), true, 0));
        let names: Vec<_> = c.specs.values().map(|s| s.name.to_string()).collect();
        assert_eq!(names, ["skip", "noskip", "noskip-2", "noskip-3"]);
        let told = messages.try_iter().filter(|m| matches!(m, Message::Event(Event::Control(_))));
        assert_eq!(told.count(), 3, "two forks and a change");
    }

    #[test]
    fn a_fork_that_cannot_be_is_refused() {
        let (mut c, client, messages) = conductor(10, 0);
        let fork = |arm: &str| Command::Fork { arm: Some(ArmName::new(arm)), changes: Vec::new() };
        c.specs.ids().for_each(|id| c.at_work.begins(id));
        client.send(fork("third")).unwrap();
        assert!(c.decide().fork.is_none());
        for _ in 2..MAX_ARMS {
            client.send(fork("skip")).unwrap();
            assert!(c.decide().fork.is_some());
        }
        client.send(fork("skip")).unwrap();
        assert!(c.decide().fork.is_none());
        let refused = messages.try_iter().filter(|m| matches!(m, Message::Event(Event::Alert(_))));
        assert_eq!(refused.count(), 2);
    }

    #[test]
    fn changes_of_another_run_are_made_before_the_same_steps() {
        let (mut c, _client, messages) = conductor(10, 0);
        let change = |step, arm: Option<&str>, key: &str, to| ControlChange {
            arm: arm.map(ArmName::new),
            step,
            t: 0.0,
            key: key.to_owned(),
            from: 0.0,
            to,
            name: None,
        };
        c.replay = [
            change(2, None, "lr", 0.05),
            change(2, Some("skip"), "batch", 32.0),
            change(4, Some("noskip"), "weight_decay", 0.0),
        ]
        .into();
        let told: Vec<Vec<(f64, usize, f64)>> = (0..4)
            .map(|_| c.decide())
            .map(|d| d.settings.values().map(|s| (s.lr, s.batch, s.weight_decay)).collect())
            .collect();
        assert_eq!(told[0], [(0.1, 64, 5e-4); 2]);
        assert_eq!(told[1], [(0.05, 32, 5e-4), (0.05, 64, 5e-4)]);
        assert_eq!(told[2], told[1]);
        assert_eq!(told[3], [(0.05, 32, 5e-4), (0.05, 64, 0.0)]);
        assert_eq!(messages.try_iter().count(), 3, "they are told as changes of this run");
    }

    #[test]
    fn a_paused_run_still_hands_out_weights_and_can_be_stopped() {
        let (mut c, client, _messages) = conductor(10, 5);
        c.decide();
        client.send(Command::TogglePause).unwrap();
        client.send(Command::MapNow).unwrap();
        let d = c.decide();
        assert!(d.hold && d.map && d.step.is_none());
        client.send(Command::Stop).unwrap();
        let d = c.decide();
        assert!(!d.hold && d.step.is_none() && d.checkpoint && !d.map);
    }
}
