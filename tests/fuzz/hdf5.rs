//! Bytes as a surface file.
#![no_main]

use landscope::landscape::surface::Surface;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Surface::from_hdf5(bytes.to_vec());
});
