use super::*;
use crate::config::{Typed, resolve};
use crate::geometry::angle::{isocurve_angle_deg, share_along_step};

fn spec(text: &str) -> TrainSpec {
    let typed: Typed = toml::from_str(&format!("[train]\n{text}")).unwrap();
    resolve(&typed).unwrap().arms.into_iter().next().unwrap().train
}

/// Steps on L = (x^2 + 4 y^2) / 2 from (1, 1); the places after each step.
fn path(text: &str, settings: StepSettings, steps: usize) -> Vec<[f64; 2]> {
    let theta = Tensor::from_slice(&[1.0f32, 1.0]);
    let curvature = Tensor::from_slice(&[1.0f32, 4.0]);
    let mut optimizer = Optimizer::new(&spec(text), &theta).unwrap();
    (0..steps)
        .map(|_| {
            let grad = &theta * &curvature;
            optimizer.step(&theta, &grad, settings, false).unwrap();
            [0, 1].map(|i| theta.double_value(&[i]))
        })
        .collect()
}

fn close(found: &[[f64; 2]], wanted: &[[f64; 2]]) {
    for (f, w) in found.iter().flatten().zip(wanted.iter().flatten()) {
        assert!((f - w).abs() < 1e-6, "{found:?}, wanted {wanted:?}");
    }
}

#[test]
fn plain_gradient_descent_by_hand() {
    let settings = StepSettings { lr: 0.1, weight_decay: 0.5 };
    // g' = (1, 4) + 0.5 (1, 1); then (0.85, 2.2) + ... at (0.85, 0.55).
    close(
        &path("momentum = 0.0\nnesterov = false", settings, 2),
        &[[0.85, 0.55], [0.7225, 0.3025]],
    );
}

#[test]
fn momentum_by_hand() {
    let settings = StepSettings { lr: 0.1, weight_decay: 0.0 };
    // v1 = (1, 4); at (0.9, 0.6) g = (0.9, 2.4), v2 = 0.5 v1 + g = (1.4, 4.4).
    close(&path("momentum = 0.5\nnesterov = false", settings, 2), &[[0.9, 0.6], [0.76, 0.16]]);
    // Nesterov: g + 0.5 v1 = (1.5, 6); at (0.85, 0.4) g = (0.85, 1.6), v2 = (1.35, 3.6), g + 0.5 v2 = (1.525, 3.4).
    close(&path("momentum = 0.5", settings, 2), &[[0.85, 0.4], [0.6975, 0.06]]);
}

/// The angle at each step on L = (x^2 + 4 y^2) / 2, from the step's own products.
fn angles(text: &str, from: [f32; 2], curvature: [f32; 2], settings: StepSettings) -> [f64; 2] {
    let (theta, curvature) = (Tensor::from_slice(&from), Tensor::from_slice(&curvature));
    let mut optimizer = Optimizer::new(&spec(text), &theta).unwrap();
    [(); 2].map(|()| {
        let grad = &theta * &curvature;
        let told = optimizer.step(&theta, &grad, settings, true).unwrap().unwrap();
        let number = |t: &Tensor| t.double_value(&[]);
        let norm = number(&told.delta_delta).sqrt();
        isocurve_angle_deg(number(&told.delta_g), norm, number(&grad.norm()))
    })
}

#[test]
fn angles_of_hand_made_steps() {
    let near = |found: [f64; 2], wanted: [f64; 2]| {
        let off = |i: usize| (found[i] - wanted[i]).abs() > 0.05;
        assert!(!off(0) && !off(1), "{found:?}, wanted {wanted:?}");
    };
    let plain = "momentum = 0.0\nnesterov = false";
    let momentum = "momentum = 0.5\nnesterov = false";
    let settings = |weight_decay| StepSettings { lr: 0.1, weight_decay };
    let (bowl, valley) = ([1.0, 4.0], [0.0, 4.0]);
    near(angles(plain, [1.0, 1.0], bowl, settings(0.0)), [90.0, 90.0]);
    // The path of `momentum_by_hand`: v2 = (1.4, 4.4) where g = (0.9, 2.4), asin(11.82 / (4.6174 * 2.5632)).
    near(angles(momentum, [1.0, 1.0], bowl, settings(0.0)), [90.0, 87.08]);
    // On the floor of a valley along x there is no gradient, and decay alone moves along it: no angle.
    assert!(angles(plain, [1.0, 0.0], valley, settings(0.5)).iter().all(|a| a.is_nan()));
    // A little up its wall decay still goes along it: g = (0, 0.004), the step -0.1 (0.5, 0.0045): 0.5 degrees.
    near(angles(plain, [1.0, 0.001], valley, settings(0.5)), [0.516, 0.299]);
    // A step of nothing has no angle, and not the angle 0.
    let still = StepSettings { lr: 0.0, weight_decay: 0.1 };
    assert!(angles(plain, [1.0, 1.0], bowl, still).iter().all(|a| a.is_nan()));
    // NaN stays NaN.
    assert!(angles(plain, [f32::NAN, 1.0], bowl, settings(0.0)).iter().all(|a| a.is_nan()));
}

#[test]
fn adams_first_step_is_the_rate_in_every_coordinate() {
    for kind in ["adam", "adamw"] {
        let settings = StepSettings { lr: 0.01, weight_decay: 0.0 };
        close(&path(&format!("optimizer = '{kind}'"), settings, 1), &[[0.99, 0.99]]);
    }
    // AdamW takes lr * wd * theta off besides.
    let settings = StepSettings { lr: 0.01, weight_decay: 0.5 };
    close(&path("optimizer = 'adamw'", settings, 1), &[[0.985, 0.985]]);
}

/// Against torch.optim of PyTorch 2.11 (SGD, Adam, AdamW; 5 steps, lr 0.1, weight decay 0.05) on the same bowl.
#[test]
fn five_steps_are_pytorchs() {
    let settings = StepSettings { lr: 0.1, weight_decay: 0.05 };
    for (text, wanted) in REFERENCE {
        let last = path(text, settings, 5)[4];
        close(&[last], &[wanted]);
    }
}

#[test]
fn clipping_shortens_the_gradient_but_not_what_the_angle_sees() {
    let theta = Tensor::from_slice(&[0.0f32, 0.0]);
    let grad = Tensor::from_slice(&[30.0f32, 40.0]);
    let mut optimizer =
        Optimizer::new(&spec("momentum = 0.0\nnesterov = false\nclip = 5.0"), &theta).unwrap();
    let settings = StepSettings { lr: 1.0, weight_decay: 0.0 };
    let told = optimizer.step(&theta, &grad, settings, true).unwrap().unwrap();
    close(&[[0, 1].map(|i| theta.double_value(&[i]))], &[[-3.0, -4.0]]);
    assert!((f64::try_from(told.delta_g).unwrap() + 250.0).abs() < 1e-3);
}

#[test]
fn the_parts_add_up_to_the_step_and_pure_decay_is_all_decay() {
    let texts = [
        "momentum = 0.9",
        "nesterov = false",
        "momentum = 0.0\nnesterov = false",
        "optimizer = 'adam'",
        "optimizer = 'adamw'",
    ];
    for text in texts {
        let theta = Tensor::from_slice(&[1.0f32, -2.0, 0.5]);
        let mut optimizer = Optimizer::new(&spec(text), &theta).unwrap();
        let settings = StepSettings { lr: 0.01, weight_decay: 0.1 };
        // From the first step there is no momentum yet: gradient and decay are all of it.
        let grad = Tensor::from_slice(&[0.3f32, 0.1, -0.4]);
        let first = optimizer.step(&theta, &grad, settings, true).unwrap().unwrap();
        let figures = [first.gradient_delta, first.decay_delta, first.delta_delta]
            .map(|t| f64::try_from(t).unwrap());
        assert!(
            (figures[0] + figures[1] - figures[2]).abs() < 1e-5 * figures[2],
            "{text}: {figures:?}"
        );
        let later = optimizer.step(&theta, &grad, settings, true).unwrap().unwrap();
        let squared: f64 = later.delta_delta.try_into().unwrap();
        let share = share_along_step(later.decay_delta.try_into().unwrap(), squared.sqrt());
        assert!(share.is_finite() && share.abs() < 1.0, "{text}: {share}");
    }
    let theta = Tensor::from_slice(&[1.0f32, -2.0]);
    let nothing = theta.zeros_like();
    let mut optimizer = Optimizer::new(&spec("momentum = 0.9"), &theta).unwrap();
    let settings = StepSettings { lr: 0.1, weight_decay: 0.1 };
    let told = optimizer.step(&theta, &nothing, settings, true).unwrap().unwrap();
    let squared: f64 = told.delta_delta.try_into().unwrap();
    assert!(
        (share_along_step(told.decay_delta.try_into().unwrap(), squared.sqrt()) - 1.0).abs() < 1e-6
    );
    assert!(isocurve_angle_deg(told.delta_g.try_into().unwrap(), squared.sqrt(), 0.0).is_nan());
}

const REFERENCE: [(&str, [f64; 2]); 5] = [
    ("momentum = 0.9", [-0.1348576, -0.1559969]),
    ("nesterov = false", [-0.0669614, -0.7217184]),
    ("momentum = 0.0\nnesterov = false", [0.5742687, 0.0745735]),
    ("optimizer = 'adam'", [0.5079637, 0.5079637]),
    ("optimizer = 'adamw'", [0.4887300, 0.4887300]),
];
