//! sockeye-run
