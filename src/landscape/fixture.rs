//! What tests of points share: a small network, and the digits.

use std::sync::Arc;

use crate::config::{DataKind, DataSpec, Family, Init, ModelSpec};
use crate::data::Dataset;
use crate::model::Plan;

/// A ResNet-8 with skips for the digits.
pub fn plan(width: i64) -> Arc<Plan> {
    let spec =
        ModelSpec { family: Family::Resnet, depth: 8, width, widen: 1, init: Init::KaimingNormal };
    Arc::new(Plan::resnet(&spec, true, 1, 10))
}

/// The digits at 8x8, `limit` of them to train on.
pub fn digits(limit: usize) -> Dataset {
    let (kind, size, limit) = (DataKind::Digits, Some(8), Some(limit));
    Dataset::load(&DataSpec { kind, dir: None, size, limit, augment: false }).unwrap()
}
