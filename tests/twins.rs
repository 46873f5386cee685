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
    let error = |i: usize| ends[i]["test_err"].as_f64().unwrap();
    println!("test error after 200 steps: skip {}, noskip {}", error(0), error(1));
    assert!(error(0) < 0.2, "skip: {}", error(0));
    assert!(error(1) > 0.4, "noskip: {}", error(1));
    assert_eq!(ends[0]["verdict"], "healthy");
    assert_ne!(ends[1]["verdict"], "healthy");
    let ratio = stem(&events, "noskip", 1) / stem(&events, "skip", 1);
    println!("stem gradient at step 1, noskip over skip: {ratio}");
    assert!(ratio > 20.0, "{ratio}");
}
