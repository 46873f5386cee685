//! The CUDA part of libtorch: the program links the CPU part alone, and the other registers itself when it is loaded.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// The folder of the libtorch that the program was built with.
const BUILT_WITH: &str = env!("LANDSCOPE_LIBTORCH_LIB");
const CPU_PART: &str = "libtorch_cpu.so";
const CUDA_PART: &str = "libtorch_cuda.so";

/// Set to `warn`, every wait of the host for a GPU is told on stderr by a line of libtorch, as
/// `torch.cuda.set_sync_debug_mode("warn")` has it.
const SYNCS: &str = "LANDSCOPE_SYNC_DEBUG";
/// The mode behind that, a number of libtorch's own: 0 off, 1 warn (c10/cuda/CUDAFunctions.h, 2.11.0).
const SYNC_MODE: &[u8] = b"_ZZN3c104cuda13warning_stateEvE14warning_state_\0";

/// `at::globalContext()`.
const CONTEXT: &[u8] = b"_ZN2at13globalContextEv\0";
/// `at::Context::setFloat32Precision(Float32Backend, Float32Op, Float32Precision)`.
const SET_PRECISION: &[u8] =
    b"_ZN2at7Context19setFloat32PrecisionENS_14Float32BackendENS_9Float32OpENS_16Float32PrecisionE\0";
/// `Float32Backend::CUDA`, `Float32Op::CONV`, `Float32Precision::IEEE` (ATen/Context.h, 2.11.0).
const IEEE_CONVS: [c_int; 3] = [1, 1, 1];

/// Bytes for a PCI bus id and its end.
const BUS_ID: usize = 32;

/// Whether a driver of NVIDIA's is there. The CUDA part takes a second to load: not where none is.
pub fn has_driver() -> bool {
    ["/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/nvidiactl"]
        .iter()
        .any(|p| Path::new(p).exists())
}

/// Loads the CUDA part and settles how it computes; the number of GPUs that it sees.
///
/// # Errors
/// A line that says why it cannot be used.
pub fn load() -> Result<usize, String> {
    let (mut reason, mut loaded) = (None, false);
    for path in places() {
        // SAFETY: libtorch's CUDA part runs its own initialisers, which register its operators and nothing else.
        match unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                // Its operators stay registered: it must never be unloaded.
                std::mem::forget(library);
                loaded = true;
                break;
            }
            // Of the places that have none, nothing need be told.
            Err(e) if path.exists() => reason = reason.or(Some(e.to_string())),
            Err(_) => {}
        }
    }
    if !loaded {
        let beside = loaded_from().unwrap_or_else(|| PathBuf::from(BUILT_WITH));
        let missing = || format!("{CUDA_PART} is not in {}", beside.display());
        return Err(reason.unwrap_or_else(missing));
    }
    // libtorch looks for it once, at the first operator that could want it.
    if !tch::utils::has_cudart() {
        return Err(format!("libtorch was used before {CUDA_PART} was loaded"));
    }
    if !compute_in_full() {
        tracing::warn!("this libtorch cannot be told to leave TF32: convs on GPUs have 10 bits");
    }
    if std::env::var_os(SYNCS).is_some_and(|v| v == "warn") && !tell_waits() {
        tracing::warn!("{SYNCS}=warn: this libtorch cannot tell");
    }
    Ok(usize::try_from(tch::Cuda::device_count()).unwrap_or(0))
}

/// Where the CUDA part may lie: beside the libtorch that runs, which need not be the one built with; where the loader
/// looks (LD_LIBRARY_PATH, the program's own path); where it was built.
fn places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> =
        loaded_from().map(|folder| folder.join(CUDA_PART)).into_iter().collect();
    places.extend([PathBuf::from(CUDA_PART), Path::new(BUILT_WITH).join(CUDA_PART)]);
    places
}

/// The folder of the libtorch that this process has loaded.
fn loaded_from() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let mut paths = maps.lines().filter_map(|line| Some(Path::new(&line[line.find('/')?..])));
    let path = paths.find(|path| path.file_name().is_some_and(|name| name == CPU_PART))?;
    path.parent().map(Path::to_owned)
}

/// Has convs of single precision computed in it. libtorch's default is TF32, whose 10 bits put a loss off by a thousandth:
/// what is drawn as f32 would depend on the card.
fn compute_in_full() -> bool {
    type Context = unsafe extern "C" fn() -> *mut c_void;
    type SetPrecision = unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int);
    let this = Library::this();
    // SAFETY: both are libtorch's and have these types by its headers; the context is a static that lives for ever.
    unsafe {
        let (Ok(context), Ok(set)) =
            (this.get::<Context>(CONTEXT), this.get::<SetPrecision>(SET_PRECISION))
        else {
            return false;
        };
        let [backend, op, precision] = IEEE_CONVS;
        set(context(), backend, op, precision);
    }
    true
}

/// Has libtorch tell every wait of the host for a GPU.
fn tell_waits() -> bool {
    // SAFETY: an int of libtorch's CUDA part, which is loaded for good; no GPU is at work yet.
    unsafe {
        let Ok(mode) = Library::this().get::<*mut c_int>(SYNC_MODE) else { return false };
        **mode = 1;
    }
    true
}

/// The PCI bus id of a GPU by libtorch's index: CUDA_VISIBLE_DEVICES gives GPUs other indices than the driver's tools do.
pub fn bus_id(index: usize) -> Option<String> {
    type BusId = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    let mut text = [0; BUS_ID];
    // SAFETY: CUDA's runtime writes a C string of at most so many bytes and returns 0.
    let status = unsafe {
        let get = Library::this().get::<BusId>(b"cudaDeviceGetPCIBusId\0").ok()?;
        get(text.as_mut_ptr().cast(), BUS_ID as c_int, c_int::try_from(index).ok()?)
    };
    let text = CStr::from_bytes_until_nul(&text).ok()?.to_str().ok()?;
    (status == 0).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libtorch_that_runs_is_found() {
        let folder = loaded_from().unwrap();
        assert!(folder.join(CPU_PART).is_file(), "{}", folder.display());
        assert_eq!(places()[0], folder.join(CUDA_PART));
    }

    #[test]
    fn convs_are_told_to_leave_tf32() {
        type Context = unsafe extern "C" fn() -> *mut c_void;
        type Precision = unsafe extern "C" fn(*const c_void, c_int, c_int) -> c_int;
        const PRECISION: &[u8] =
            b"_ZNK2at7Context16float32PrecisionENS_14Float32BackendENS_9Float32OpE\0";
        let [backend, op, ieee] = IEEE_CONVS;
        let read = || unsafe {
            let this = Library::this();
            let get = this.get::<Precision>(PRECISION).unwrap();
            get(this.get::<Context>(CONTEXT).unwrap()(), backend, op)
        };
        // libtorch's default is TF32, 2.
        assert!(compute_in_full());
        assert_eq!(read(), ieee);
    }
}
