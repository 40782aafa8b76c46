//! sockeye-sys

pub mod net;
