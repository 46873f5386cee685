//! Which part of a grid this process computes.

use super::error::LandscapeError;

/// Rank, from 0, and size as launchers tell them: Open MPI, PMI, Slurm's tasks. MPI first: `mpirun` in a batch script hands
/// on the variables of the script's own, single task.
const LAUNCHERS: [(&str, &str); 3] = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
];

/// Part `index` of `of`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which.
    pub index: u64,
    /// Of how many.
    pub of: u64,
}

impl Shard {
    /// Reads `I/N`, or `auto`: what the launcher's variables say.
    ///
    /// # Errors
    /// When it is neither, or `auto` finds no launcher.
    pub fn parse(
        text: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, LandscapeError> {
        let wrong = |expected: &str| LandscapeError::Option {
            name: "--shard",
            value: text.to_owned(),
            text: expected.to_owned(),
        };
        if text == "auto" {
            return from_launcher(variable).ok_or_else(|| {
                wrong("neither Slurm's nor MPI's rank variables are set; expected I/N, as in 1/4")
            });
        }
        let parsed = text.split_once('/').and_then(|(index, of)| {
            Some(Self { index: index.trim().parse().ok()?, of: of.trim().parse().ok()? })
        });
        parsed
            .filter(|s| (1..=s.of).contains(&s.index))
            .ok_or_else(|| wrong("expected I/N with I from 1 to N, as in 1/4, or auto"))
    }

    /// Whether point `index` of the grid is of this part. Parts are interleaved, so that each is spread over the whole.
    pub fn holds(self, index: usize) -> bool {
        index as u64 % self.of == self.index - 1
    }
}

fn from_launcher(variable: impl Fn(&str) -> Option<String>) -> Option<Shard> {
    let number = |name: &str| variable(name)?.trim().parse::<u64>().ok();
    let ranks = LAUNCHERS.iter().filter_map(|(rank, size)| {
        let (rank, of) = (number(rank)?, number(size)?);
        (rank < of).then_some(Shard { index: rank + 1, of })
    });
    // An array job's members are tasks of one rank each. Only a whole, gapless array is a division of the grid: of one
    // that was submitted again in part, the size says nothing.
    let array = || {
        let (id, of) = (number("SLURM_ARRAY_TASK_ID")?, number("SLURM_ARRAY_TASK_COUNT")?);
        let (min, max) = (number("SLURM_ARRAY_TASK_MIN")?, number("SLURM_ARRAY_TASK_MAX")?);
        let gapless = max >= min && max - min + 1 == of && (min..=max).contains(&id);
        (of > 1 && gapless).then(|| Shard { index: id - min + 1, of })
    };
    let all: Vec<Shard> = ranks.collect();
    let in_array = variable("SLURM_ARRAY_TASK_ID").is_some();
    let several = all.iter().find(|s| s.of > 1).copied();
    several.or_else(array).or(all.first().copied().filter(|_| !in_array))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
    }

    #[test]
    fn launchers_are_understood() {
        let auto = |pairs| Shard::parse("auto", with(pairs)).ok().map(|s| (s.index, s.of));
        assert_eq!(auto(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")]), Some((1, 4)));
        assert_eq!(
            auto(&[("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")]),
            Some((2, 2))
        );
        let array = &[
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "1"),
            ("SLURM_ARRAY_TASK_ID", "12"),
            ("SLURM_ARRAY_TASK_MIN", "10"),
            ("SLURM_ARRAY_TASK_MAX", "12"),
            ("SLURM_ARRAY_TASK_COUNT", "3"),
        ];
        assert_eq!(auto(array), Some((3, 3)));
        // One member submitted again, and an array with gaps: no division of the grid.
        let again = &[
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "1"),
            ("SLURM_ARRAY_TASK_ID", "3"),
            ("SLURM_ARRAY_TASK_MIN", "3"),
            ("SLURM_ARRAY_TASK_MAX", "3"),
            ("SLURM_ARRAY_TASK_COUNT", "1"),
        ];
        assert_eq!(auto(again), None);
        let gaps = &[
            ("SLURM_ARRAY_TASK_ID", "7"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_MAX", "7"),
            ("SLURM_ARRAY_TASK_COUNT", "3"),
        ];
        assert_eq!(auto(gaps), None);
        // mpirun within a batch script, which has a single task itself.
        let within = &[
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "2"),
            ("OMPI_COMM_WORLD_RANK", "1"),
            ("OMPI_COMM_WORLD_SIZE", "2"),
        ];
        assert_eq!(auto(within), Some((2, 2)));
        assert_eq!(auto(&[]), None);
        assert_eq!(auto(&[("PMI_RANK", "x"), ("PMI_SIZE", "2")]), None);
    }

    #[test]
    fn parts_are_disjoint_and_complete() {
        let shards: Vec<Shard> =
            (1..=3).map(|i| Shard::parse(&format!("{i}/3"), |_| None).unwrap()).collect();
        for point in 0..20 {
            assert_eq!(shards.iter().filter(|s| s.holds(point)).count(), 1);
        }
        for wrong in ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2"] {
            let said = Shard::parse(wrong, |_| None).unwrap_err().to_string();
            assert!(said.starts_with("--shard ") && said.contains("I/N"), "{said}");
        }
    }
}
