//! Digests, by which files that belong together are known.

use sha2::{Digest, Sha256};

/// A SHA-256 in the making.
#[derive(Default)]
pub struct Sum(Sha256);

impl Sum {
    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds numbers, by their bytes.
    pub fn add_all<const N: usize>(&mut self, numbers: impl Iterator<Item = [u8; N]>) {
        let bytes: Vec<u8> = numbers.flatten().collect();
        self.add(&bytes);
    }

    /// The digest in hex.
    pub fn hex(self) -> String {
        self.0.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sha_256_however_it_is_cut() {
        let mut sum = Sum::default();
        sum.add(b"a");
        sum.add_all([*b"bc"].into_iter());
        // FIPS 180-2, B.1.
        assert_eq!(sum.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
