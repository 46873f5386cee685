//! Random streams that depend on what is drawn, not on the order of drawing: twins that share a parameter draw the same
//! numbers for it, whatever else they have.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A generator for the thing `name` (a parameter) in the role `purpose` (initial weight, map direction), under the
/// run's seed.
pub fn named_rng(seed: u64, purpose: &str, name: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv1a(purpose).to_le_bytes());
    key[16..24].copy_from_slice(&fnv1a(name).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// 64-bit FNV-1a: stable over versions and machines, which std's hasher is not.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn fnv1a_is_the_published_function() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_name() {
        let first = |seed, purpose, name| named_rng(seed, purpose, name).random::<u64>();
        let base = first(0, "init", "conv1.weight");
        assert_eq!(base, first(0, "init", "conv1.weight"));
        assert_ne!(base, first(1, "init", "conv1.weight"));
        assert_ne!(base, first(0, "direction x", "conv1.weight"));
        assert_ne!(base, first(0, "init", "conv2.weight"));
    }
}
