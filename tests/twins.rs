//! What landscope is there to show, on the default run: the network with skips learns, its twin does not, and the
//! gradients say why. Margins are wide; README.md has the figures over several seeds.

mod common;

use common::{events, landscope, of_kind};
use serde_json::Value;

/// The figure of an arm's norms at the stem (first) at one step.
fn stem(events: &[Value], arm: &str, step: u64) -> f64 {
    let sample = of_kind(events, "step")
        .into_iter()
        .find(|e| e["arm"] == arm && e["step"] == step)
        .unwrap_or_else(|| panic!("no step {step} of {arm}"));
    sample["layer_grad_norms"][0].as_f64().unwrap()
}

#[test]
fn with_skips_it_learns_without_it_does_not() {
    let out = tempfile::tempdir().unwrap();
    let done = landscope(out.path())
        .args(["--steps", "200", "--format", "json", "--set", "map.every=0"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let events = events(&done);
    let ends = events.last().unwrap()["arms"].as_array().unwrap();
    // A single evaluation at this learning rate is off by ten per cent now and then; the best of the second half is not.
    let best = |arm: &str| {
        let evals = of_kind(&events, "eval").into_iter();
        let late = evals.filter(|e| e["arm"] == arm && e["step"].as_u64().unwrap() > 100);
        late.map(|e| e["test_err"].as_f64().unwrap()).fold(f64::NAN, f64::min)
    };
    let (skip, noskip) = (best("skip"), best("noskip"));
    println!("best test error of steps 101 to 200: skip {skip}, noskip {noskip}");
    assert!(skip < 0.2, "skip: {skip}");
    assert!(noskip > 0.35, "noskip: {noskip}");
    assert_eq!(ends[0]["verdict"], "healthy");
    assert_ne!(ends[1]["verdict"], "healthy");
    let ratio = stem(&events, "noskip", 1) / stem(&events, "skip", 1);
    println!("stem gradient at step 1, noskip over skip: {ratio}");
    assert!(ratio > 20.0, "{ratio}");
}
