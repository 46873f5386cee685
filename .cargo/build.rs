//! Tells the linker where libtorch lies at run time, so that no variable need be exported, and the program where to
//! look for the CUDA part of libtorch.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=.cargo/build.rs");
    let libtorch = std::env::var("LIBTORCH").unwrap_or_default();
    println!("cargo:rerun-if-changed={libtorch}");
    // The real folder, not the link: the binary goes on working when the clone moves.
    match std::fs::canonicalize(Path::new(&libtorch).join("lib")) {
        Ok(lib) => {
            println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
            println!("cargo:rustc-env=LANDSCOPE_LIBTORCH_LIB={}", lib.display());
        }
        Err(error) => {
            println!("cargo:warning=LIBTORCH={libtorch}: {error}; run `make setup` once");
            println!("cargo:rustc-env=LANDSCOPE_LIBTORCH_LIB=");
        }
    }
}
