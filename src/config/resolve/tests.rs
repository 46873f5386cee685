use proptest::prelude::*;

use super::super::typed::TypedModel;
use super::*;

fn refusal(text: &str) -> String {
    let typed: Typed = toml::from_str(text).unwrap();
    resolve(&typed).unwrap_err().to_string()
}

#[test]
fn nothing_typed_is_the_default_run() {
    let e = resolve(&Typed::default()).unwrap();
    assert_eq!(e.length, Length::Steps(600));
    assert_eq!(e.data.kind, DataKind::Digits);
    assert_eq!(e.data.size, Some(16));
    let arms: Vec<(&str, bool)> = e.arms.values().map(|a| (a.name.as_str(), a.skip)).collect();
    assert_eq!(arms, [("skip", true), ("noskip", false)]);
    for arm in e.arms.values() {
        assert_eq!((arm.model.depth, arm.model.width), (56, 8));
        assert_eq!((arm.train.lr, arm.train.momentum, arm.train.batch), (0.1, 0.9, 64));
        assert_eq!(arm.train.weight_decay, 5e-4);
        assert!(arm.train.nesterov);
    }
}

#[test]
fn every_refusal_names_key_value_and_what_is_accepted() {
    let cases = [
        ("name = '../x'", "name = ../x: expected 1 to 64"),
        ("device = 'tpu'", "device = tpu: expected auto, cpu, cuda or cuda:N"),
        ("device = 'cuda:x'", "device = cuda:x: expected auto"),
        ("steps = 0", "steps = 0: expected a whole number from 1"),
        ("steps = 5\nepochs = 1.0", "epochs = 1: expected either steps or epochs"),
        ("epochs = -1.0", "epochs = -1: expected a number above 0"),
        ("epochs = nan", "epochs = NaN: expected a number above 0"),
        ("[data]\nkind = 'cifar10'", "data.dir = (missing): expected the folder"),
        ("[data]\ndir = '/x'", "data.dir = /x: expected no folder: data.kind is digits"),
        ("[data]\nsize = 3", "data.size = 3: expected a side from 8"),
        ("[data]\nlimit = 1", "data.limit = 1: expected at least 2"),
        ("[model]\ndepth = 57", "model (arm skip).depth = 57: expected 6n+2"),
        ("[model]\ndepth = -4", "model (arm skip).depth = -4: expected 6n+2"),
        ("[model]\nwidth = 0", "model (arm skip).width x widen = 0 x 1: expected 1 to 1024"),
        ("[model]\nwidth = 9223372036854775807\nwiden = 2", "expected 1 to 1024 channels"),
        ("[train]\nlr = 0.0", "train (arm skip).lr = 0: expected a number above 0"),
        ("[train]\nlr = inf", "train (arm skip).lr = inf"),
        ("[train]\nmomentum = 1.0", "train (arm skip).momentum = 1: expected"),
        ("[train]\nweight_decay = -0.1", "weight_decay = -0.1: expected"),
        ("[train]\nbatch = 1", "batch = 1: expected at least 2"),
        ("[train]\nlr_decay = 0.0", "lr_decay = 0: expected"),
        ("[train]\nclip = -1.0", "clip = -1: expected"),
        ("[train]\nlr_decay_at = [3.0, 2.0]", "lr_decay_at = [3.0, 2.0]: expected rising"),
        ("[train]\noptimizer = 'adam'\nnesterov = true", "nesterov = true: expected false unless"),
        ("[train]\nmomentum = 0.0", "nesterov = true: expected false while momentum is 0"),
        ("[checkpoint]\nminutes = -1.0", "checkpoint.minutes = -1: expected"),
        ("[record]\nevery = 0", "record.every = 0: expected at least 1"),
        ("[record]\nlayers_every = 0", "record.layers_every = 0: expected at least 1"),
        ("[map]\ngrid = 10", "map.grid = 10: expected an odd number"),
        ("[map]\nrange = 0.0", "map.range = 0: expected"),
        ("[map]\nimages = 0", "map.images = 0: expected"),
        ("[map]\nbudget = 1.5", "map.budget = 1.5: expected"),
        (
            "[map]\nplane = 'pca'\n[trajectory]\nkeep = 0",
            "map.plane = pca: expected random or both, or trajectory.keep above 0",
        ),
        ("[trajectory]\nkeep = 3", "trajectory.keep = 3: expected from 8 to 1000"),
        ("[trajectory]\nmemory = 9999999", "trajectory.memory = 9999999: expected MiB"),
        ("[train]\nmicro_batch = 1", "micro_batch = 1: expected at least 2"),
        ("[[arm]]\nskip = true", "arm 1.name = (missing): expected a name"),
        (
            "[[arm]]\nname = 'a'\n[[arm]]\nname = 'a'",
            "arm 2.name = a: expected a name that no other",
        ),
        ("[[arm]]\nname = 'a/b'", "arm 1.name = a/b: expected"),
        ("[[arm]]\nname = 'deep'\ndepth = 7", "model (arm deep).depth = 7: expected"),
        (
            "[model]\nfamily = 'vgg9'\ndepth = 20",
            "model (arm vgg9).depth = 20: expected 9 or nothing: a vgg9 has nine layers",
        ),
        (
            "[model]\nfamily = 'vgg9'\n[[arm]]\nname = 'v'\nskip = true",
            "arm v.skip = true: expected false or nothing: a vgg9 has no skip connections",
        ),
        ("[[arm]]\nname = 'v'\nfamily = 'vgg9'\nskip = true", "arm v.skip = true: expected"),
        ("[model]\nfamily = 'vgg9'\nwidth = 2000", "model (arm vgg9).width x widen = 2000 x 1"),
    ];
    for (text, wanted) in cases {
        let said = refusal(text);
        assert!(said.contains(wanted), "{text:?} said {said:?}, wanted {wanted:?}");
        assert!(!said.contains('\n'), "{said:?} is more than one line");
    }
    let nine: String = (0..9).map(|i| format!("[[arm]]\nname = 'a{i}'\n")).collect();
    assert!(refusal(&nine).contains("[[arm]] count = 9: expected 1 to 8"));
}

#[test]
fn an_arm_differs_only_where_it_says() {
    let text = "[train]\nlr = 0.2\n[[arm]]\nname = 'a'\n[[arm]]\nname = 'b'\nskip = false\nlr = 0.01\ndepth = 8";
    let e = resolve(&toml::from_str(text).unwrap()).unwrap();
    let [a, b] = [0, 1].map(|i| e.arms.values().nth(i).unwrap());
    assert_eq!((a.skip, a.train.lr, a.model.depth), (true, 0.2, 56));
    assert_eq!((b.skip, b.train.lr, b.model.depth), (false, 0.01, 8));
}

proptest! {
    /// What `run.toml` holds resolves to the same experiment.
    #[test]
    fn a_resolved_experiment_survives_its_own_file(
        seed in 0..=i64::MAX as u64, n in 1i64..20, width in 1i64..64, lr in 1e-6..10f64, wd in 0.0..1f64,
        batch in 2usize..9000, steps in 1..MAX_STEPS, clip in 0.0..5f64, grid in 2usize..100, adam in any::<bool>(),
        vgg in any::<bool>(),
    ) {
        let typed = Typed {
            seed: Some(seed),
            steps: Some(steps),
            model: TypedModel {
                family: vgg.then_some(Family::Vgg9),
                depth: (!vgg).then_some(6 * n + 2),
                width: Some(width),
                ..Default::default()
            },
            train: TypedTrain {
                lr: Some(lr), weight_decay: Some(wd), batch: Some(batch), clip: Some(clip),
                optimizer: adam.then_some(OptimizerKind::Adamw), ..Default::default()
            },
            map: TypedMap { grid: Some(2 * grid + 1), ..Default::default() },
            ..Default::default()
        };
        let once = resolve(&typed).unwrap();
        let text = toml::to_string(&once.to_typed()).unwrap();
        let again = resolve(&toml::from_str(&text).unwrap()).unwrap();
        prop_assert_eq!(once, again);
    }
}
