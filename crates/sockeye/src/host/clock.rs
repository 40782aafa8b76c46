//! Where a host's time comes from.

use sockeye_core::Instant;
#[cfg(feature = "sim")]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A host's clock.
#[derive(Debug)]
pub(crate) enum Clock {
    /// tokio's, from this instant on: real, or virtual where it is paused.
    Tokio(tokio::time::Instant),
    /// The machine's, from this instant on, whatever runtime the caller has.
    Real(std::time::Instant),
    /// The user's: nanoseconds, as told last.
    Told(AtomicU64),
    /// A simulation's, the same for all its hosts: nanoseconds.
    #[cfg(feature = "sim")]
    Shared(Arc<AtomicU64>),
}

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::Tokio(start) => Instant::ZERO + start.elapsed(),
            Self::Real(start) => Instant::ZERO + start.elapsed(),
            Self::Told(nanos) => Instant::from_nanos(nanos.load(Ordering::Relaxed)),
            #[cfg(feature = "sim")]
            Self::Shared(nanos) => Instant::from_nanos(nanos.load(Ordering::Relaxed)),
        }
    }

    /// The user tells the time. It never goes backwards.
    pub(crate) fn tell(&self, now: Instant) {
        if let Self::Told(nanos) = self {
            let _before = nanos.fetch_max(now.as_nanos(), Ordering::Relaxed);
        }
    }
}
