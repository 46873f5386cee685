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
        specs: experiment.arms.clone(),
        settings: Arc::new(settings),
        train_images: 1437,
        replay: VecDeque::new(),
        done: 0,
        saved: 0,
        steps,
        arm_steps: experiment.arms.map(|_, _| steps),
        map_every,
        checkpoint: CheckpointSpec { every: 3, minutes: 0.0, keep: 0, keep_every: 0 },
        last_checkpoint: Instant::now(),
        stopped: Arc::default(),
        out,
        start: Instant::now(),
        paused: false,
        asked: Asked::default(),
        changed: Vec::new(),
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
    assert_eq!((events[0].arm.as_ref(), events[0].step, events[0].key.as_str()), (None, 2, "lr"));
    assert_eq!(events[1].arm.as_ref().map(ArmName::as_str), Some("noskip"));
}

#[test]
fn decay_is_toggled_one_way_for_all() {
    let (mut c, client, _messages) = conductor(10, 0);
    let noskip = Some(ArmName::new("noskip"));
    let all = || Command::Change { arm: None, change: Change::ToggleWeightDecay };
    client.send(Command::Change { arm: noskip, change: Change::ToggleWeightDecay }).unwrap();
    let mut decays = |command: Option<Command>| -> Vec<f64> {
        command.into_iter().for_each(|c| client.send(c).unwrap());
        c.decide().settings.values().map(|s| s.weight_decay).collect()
    };
    assert_eq!(decays(None), [5e-4, 0.0]);
    assert_eq!(decays(Some(all())), [0.0, 0.0], "not [0, 5e-4]");
    assert_eq!(decays(Some(all())), [5e-4, 5e-4]);
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
fn an_arm_that_waits_for_the_others_has_no_fork() {
    let (mut c, client, messages) = conductor(10, 0);
    c.specs.ids().for_each(|id| c.at_work.begins(id));
    let noskip = c.specs.ids().nth(1).unwrap();
    c.arm_steps[noskip] = 2;
    let fork = || Command::Fork { arm: Some(ArmName::new("noskip")), changes: Vec::new() };
    c.decide();
    client.send(fork()).unwrap();
    let child = c.decide().fork.unwrap().1;
    assert_eq!(c.arm_steps[child], 10, "it goes on to the run's end");
    c.decide();
    client.send(fork()).unwrap();
    assert!(c.decide().fork.is_none());
    let refused = messages.try_iter().filter_map(|m| match m {
        Message::Event(Event::Alert(alert)) => Some(alert.text),
        _ => None,
    });
    let refused: Vec<String> = refused.collect();
    assert!(refused.len() == 1 && refused[0].contains("noskip has made all"), "{refused:?}");
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

#[test]
fn the_last_change_is_taken_back_by_a_change_of_its_own_and_then_the_one_before() {
    let (mut c, client, messages) = conductor(10, 0);
    let told = || {
        let changes = messages.try_iter().filter_map(|m| match m {
            Message::Event(Event::Control(e)) => {
                Some((e.arm.map(|a| a.to_string()), e.step, e.key, e.from, e.to))
            }
            _ => None,
        });
        changes.collect::<Vec<_>>()
    };
    let refused = || {
        let alert = |m| match m {
            Message::Event(Event::Alert(alert)) => Some(alert.text),
            _ => None,
        };
        messages.try_iter().find_map(alert).unwrap_or_default()
    };
    let noskip = || Some(ArmName::new("noskip"));
    let set = Change::Set { setting: Setting::Lr, value: 0.03 };
    client.send(Command::Change { arm: noskip(), change: set }).unwrap();
    // Halves what differs by arm, and toggles what does not.
    client.send(Command::Change { arm: None, change: Change::ScaleLr(0.5) }).unwrap();
    client.send(Command::Change { arm: None, change: Change::ToggleWeightDecay }).unwrap();
    // What changes nothing is nothing to take back.
    let as_it_is = Change::Set { setting: Setting::WeightDecay, value: 0.0 };
    client.send(Command::Change { arm: None, change: as_it_is }).unwrap();
    c.decide();
    assert_eq!(told().len(), 4, "one arm's, each arm's, one for both");
    client.send(Command::TakeBack).unwrap();
    c.decide();
    assert_eq!(told(), [(None, 2, "weight_decay".to_owned(), 0.0, 5e-4)]);
    client.send(Command::TakeBack).unwrap();
    c.decide();
    let lr = |arm: &str, from, to| (Some(arm.to_owned()), 3, "lr".to_owned(), from, to);
    assert_eq!(told(), [lr("skip", 0.05, 0.1), lr("noskip", 0.015, 0.03)]);
    client.send(Command::TakeBack).unwrap();
    let settings = c.decide().settings;
    assert!(settings.values().all(|s| (s.lr, s.weight_decay) == (0.1, 5e-4)));
    told();
    client.send(Command::TakeBack).unwrap();
    c.decide();
    assert!(refused().contains("no change by hand is left"), "none is left");
}
