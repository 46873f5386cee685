//! Tells the linker where libtorch lies at run time, so that no variable need be exported, and the program where to
//! look for the CUDA part of libtorch.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=.cargo/build.rs");
    let libtorch = std::env::var("LIBTORCH").unwrap_or_default();
    println!("cargo:rerun-if-changed={libtorch}");
    println!("cargo:rustc-env=LANDSCOPE_LIBTORCH_VERSION={}", version(Path::new(&libtorch)));
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

/// What libtorch says of its version: a download in `build-version`, an installed PyTorch in `version.py`.
fn version(libtorch: &Path) -> String {
    let read = |file: &str| std::fs::read_to_string(libtorch.join(file)).ok();
    let quoted = |text: String| {
        let line = text.lines().find(|l| l.starts_with("__version__"))?.to_owned();
        Some(line.split(['\'', '"']).nth(1)?.to_owned())
    };
    let found = read("build-version").or_else(|| read("version.py").and_then(quoted));
    found.map_or("unknown".to_owned(), |v| v.trim().to_owned())
}
