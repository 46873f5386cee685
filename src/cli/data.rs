//! `landscope data list`

use std::process::ExitCode;

use super::say::print;

/// Name in configs, images, files, and what is expected in `data.dir`.
const SETS: [[&str; 4]; 5] = [
    ["digits", "1437 + 360, 8x8 grey", "built in", "UCI handwritten digits, scaled to 16x16"],
    [
        "cifar10",
        "50000 + 10000, 32x32 colour",
        "data.dir",
        "data_batch_1.bin ... data_batch_5.bin, test_batch.bin (binary version)",
    ],
    ["cifar100", "50000 + 10000, 32x32 colour", "data.dir", "train.bin, test.bin (binary version)"],
    [
        "mnist",
        "60000 + 10000, 28x28 grey",
        "data.dir",
        "train-images-idx3-ubyte ... t10k-labels-idx1-ubyte, plain or .gz",
    ],
    ["fashion-mnist", "60000 + 10000, 28x28 grey", "data.dir", "the same four names as mnist"],
];

/// Prints what data sets there are.
pub fn list() -> ExitCode {
    let mut text =
        String::from("data.kind      images train + test         files     what is expected\n");
    for [kind, images, place, files] in SETS {
        text += &format!("{kind:<13}  {images:<27}  {place:<8}  {files}\n");
    }
    text += "\nlandscope run --set data.kind=mnist --set data.dir=PATH\n";
    print(text.as_bytes());
    ExitCode::SUCCESS
}
