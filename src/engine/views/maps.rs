//! Maps and paths in the snapshot: brought to one scale, and each path to the map that it lies in.

use super::Views;
use crate::arm::ArmId;
use crate::engine::message::{MapPass, PathUpdate};
use crate::geometry::levels::{LEVELS, common_top, quantile_levels};
use crate::telemetry::path::{PathGap, PathView};
use crate::telemetry::snapshot::LossMap;

impl Views {
    /// Puts a pass over a map in place and brings all maps to common levels and one scale.
    pub fn fold_map(&mut self, pass: MapPass) {
        let MapPass { of_path, arm, step, taken_s, surface, images, cosine, complete } = pass;
        let stats = surface.stats();
        let maps = match of_path {
            true => &mut self.snapshot.path_maps,
            false => &mut self.snapshot.maps,
        };
        maps.arms[arm] = Some(LossMap {
            step,
            taken_s,
            xs: surface.xs,
            ys: surface.ys,
            loss: surface.loss,
            isolines: Vec::new(),
            images,
            cosine,
            complete,
            stats,
        });
        let maps_values = maps.arms.values().flatten().map(|m| &m.loss[..]);
        let most = if of_path { common_top(maps_values) } else { f64::INFINITY };
        let all = maps.arms.values().flatten().flat_map(|m| &m.loss);
        let shown = all.filter(|v| v.is_finite() && **v <= most);
        maps.levels = quantile_levels(shown.clone(), LEVELS);
        maps.range = shown.fold(None, |range: Option<(f64, f64)>, v| {
            Some(range.map_or((*v, *v), |(low, high)| (low.min(*v), high.max(*v))))
        });
        maps.trace_isolines();
        if of_path {
            self.read_off_map(arm);
        }
    }

    /// Puts an arm's path in place: at once if it lies in the plane of the map that is shown, or if there is no map; else
    /// when the first of its map is known.
    pub fn fold_path(&mut self, update: PathUpdate) {
        let PathUpdate { arm, origin_step, shares, points } = update;
        let path = PathView { origin_step, shares, points, gap: PathGap::NONE };
        let shown = self.snapshot.path_maps.arms[arm].as_ref().map(|m| m.step);
        match shown {
            Some(step) if step != origin_step => self.private[arm].next_path = Some(path),
            _ => {
                self.snapshot.arms[arm].path = path;
                self.read_off_map(arm);
            }
        }
    }

    /// Brings the path and the map of an arm together, where they lie in one plane.
    fn read_off_map(&mut self, arm: ArmId) {
        let Some(map) = self.snapshot.path_maps.arms[arm].as_ref() else { return };
        let next = &mut self.private[arm].next_path;
        if next.as_ref().is_some_and(|path| path.origin_step == map.step) {
            self.snapshot.arms[arm].path = next.take().unwrap_or_default();
        }
        let path = &mut self.snapshot.arms[arm].path;
        if path.origin_step == map.step {
            path.read_off(map);
        }
    }
}
