//! Which of a run's own maps stay on disk: each holds its two directions, in single precision as large as the network,
//! and a long run makes thousands.

use std::fs;
use std::io;
use std::path::Path;

use crate::config::MapSpec;
use crate::geometry::thinning::Thinning;

/// Removes from `folder` the maps whose names end in `ending` behind their step (`00000150-skip.h5`), so that at most
/// `spec.keep` of those that were made by themselves stay: at even distances, the `newest` among them. Maps that somebody
/// asked for between two of them stay, and so does the first.
///
/// # Errors
/// When the folder cannot be read or a map not be removed.
pub fn thin(folder: &Path, ending: &str, spec: &MapSpec, newest: u64) -> io::Result<()> {
    if spec.keep == 0 || spec.every == 0 {
        return Ok(());
    }
    let thinning = Thinning::new(spec.every, spec.keep);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let step = name.to_str().and_then(|name| name.strip_suffix(ending)?.parse::<u64>().ok());
        let goes = |step: u64| {
            let by_itself = step.is_multiple_of(spec.every);
            by_itself && step > 1 && step < newest && !thinning.keeps(newest, newest, step)
        };
        if step.is_some_and(goes) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Typed, resolve};

    #[test]
    fn a_long_run_keeps_few_maps_at_even_distances() {
        let dir = tempfile::tempdir().unwrap();
        let spec = MapSpec { every: 150, keep: 5, ..resolve(&Typed::default()).unwrap().map };
        let file = |step: u64, ending: &str| dir.path().join(format!("{step:08}{ending}"));
        let others =
            [file(150, "-skip-pca.h5"), file(150, "-noskip.h5"), file(150, "-skip-51x51.h5")];
        others.iter().for_each(|other| fs::write(other, "").unwrap());
        // Somebody asked at step 170.
        let steps = [1, 170].into_iter().chain((150..=3000).step_by(150));
        let mut steps: Vec<u64> = steps.collect();
        steps.sort_unstable();
        for step in steps {
            fs::write(file(step, "-skip.h5"), "").unwrap();
            thin(dir.path(), "-skip.h5", &spec, step).unwrap();
        }
        let mut left: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| Some(name.strip_suffix("-skip.h5")?.to_owned()))
            .collect();
        left.sort();
        assert_eq!(left, ["00000001", "00000170", "00001200", "00002400", "00003000"]);
        assert!(others.iter().all(|other| other.exists()));
        let all = MapSpec { keep: 0, ..spec };
        thin(dir.path(), "-skip.h5", &all, 10_000).unwrap();
        assert!(file(1200, "-skip.h5").exists());
    }
}
