//! Bytes as a surface file.
#![no_main]

use landscope::landscape::file::hdf5;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = hdf5::parse(bytes.to_vec());
});
