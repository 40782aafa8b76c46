//! Bytes to headers and back. No state, and no judgement beyond what makes a header readable.

pub mod tcp;
