//! Bytes as an engine and as a viewer would take them off the socket.
#![no_main]

use landscope::link::parts::{Parts, apply, put_together};
use landscope::link::wire::{Hello, Unpacker, Version, Welcome, read_request};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = (Version::from_frame(bytes), Hello::from_frame(bytes), Welcome::from_frame(bytes));
    let _ = read_request(bytes);
    if let Ok(parts) = Unpacker::default().take(bytes) {
        let _ = put_together(parts);
    }
    // Behind the compression, which keeps a fuzzer out.
    if let Ok(changes) = postcard::from_bytes(bytes) {
        let mut parts = Parts::new();
        apply(&mut parts, changes);
        let _ = put_together(&parts);
    }
});
