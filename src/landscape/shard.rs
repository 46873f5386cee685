//! Which part of a grid this process computes.

use super::error::LandscapeError;

/// Rank and size as launchers tell them: Slurm's tasks and array jobs, Open MPI, PMI.
const LAUNCHERS: [(&str, &str, i64); 4] = [
    ("SLURM_PROCID", "SLURM_NTASKS", 0),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", 0),
    ("PMI_RANK", "PMI_SIZE", 0),
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", 1),
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
    // An array job's members are tasks of one rank each: they are told apart by the array, not by the rank.
    let number = |name: &str| variable(name)?.trim().parse::<i64>().ok();
    let found = LAUNCHERS.iter().filter_map(|(rank, size, first)| {
        let first = if *first == 1 { number("SLURM_ARRAY_TASK_MIN").unwrap_or(1) } else { *first };
        let (index, of) = (number(rank)? - first + 1, number(size)?);
        (index >= 1 && index <= of)
            .then_some(Shard { index: index.unsigned_abs(), of: of.unsigned_abs() })
    });
    let all: Vec<Shard> = found.collect();
    all.iter().find(|s| s.of > 1).or(all.first()).copied()
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
            ("SLURM_ARRAY_TASK_COUNT", "3"),
        ];
        assert_eq!(auto(array), Some((3, 3)));
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
