//! landscope: an oscilloscope for training neural networks.
