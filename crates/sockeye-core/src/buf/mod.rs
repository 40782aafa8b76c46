//! Bytes on their way through: pooled buffers and ropes of shared slices.

mod pool;
mod rope;

pub use pool::Pool;
pub use rope::Rope;
