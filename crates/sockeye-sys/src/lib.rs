//! sockeye-sys
