//! The step schedule of the learning rate.

use crate::config::TrainSpec;

/// Factor on the learning rate after `epochs` passes: `lr_decay` for every entry of `lr_decay_at` that is reached.
pub fn lr_factor(spec: &TrainSpec, epochs: f64) -> f64 {
    let drops = spec.lr_decay_at.iter().filter(|at| epochs >= **at).count();
    spec.lr_decay.powi(drops as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Typed, resolve};

    #[test]
    fn the_rate_drops_at_the_epochs_named() {
        let typed: Typed =
            toml::from_str("[train]\nlr_decay_at = [2.0, 3.5]\nlr_decay = 0.5").unwrap();
        let experiment = resolve(&typed).unwrap();
        let spec = &experiment.arms.values().next().unwrap().train;
        let factors = [0.0, 1.99, 2.0, 3.49, 3.5, 100.0].map(|e| lr_factor(spec, e));
        assert_eq!(factors, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }
}
