//! What can be set on a connection.

use super::TcpStream;
use crate::net::errors;
use sockeye_core::error::Errno;
use sockeye_core::socket::TcpOptions;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A hop limit that a header can hold.
pub(crate) fn hop_limit(ttl: u32) -> io::Result<u8> {
    u8::try_from(ttl)
        .ok()
        .filter(|ttl| *ttl > 0)
        .ok_or_else(|| errors::errno(Errno::EINVAL))
}

/// Whole seconds, as the kernel keeps them.
pub(super) fn linger_code(linger: Option<Duration>) -> u32 {
    linger.map_or(0, |time| {
        u32::try_from(time.as_secs()).unwrap_or(u32::MAX - 1).saturating_add(1)
    })
}

pub(super) fn linger_time(code: u32) -> Option<Duration> {
    code.checked_sub(1).map(|seconds| Duration::from_secs(seconds.into()))
}

impl TcpStream {
    pub(super) fn set_linger_code(&self, code: u32) {
        self.linger.store(code, Ordering::Relaxed);
    }

    /// All options in force, also those without a function of their own here: keepalive times, user timeout, buffer sizes, congestion control.
    pub fn options(&self) -> TcpOptions {
        self.host.shard().look(|stack| stack.host.tcp_options(self.id))
    }

    /// Sets all options at once; start from [`TcpStream::options`].
    pub fn set_options(&self, options: TcpOptions) {
        self.host
            .shard()
            .call(|stack, now| stack.host.tcp_set_options(now, self.id, options));
    }

    fn change(&self, change: impl FnOnce(&mut TcpOptions)) {
        self.host.shard().call(|stack, now| {
            let mut options = stack.host.tcp_options(self.id);
            change(&mut options);
            stack.host.tcp_set_options(now, self.id, options);
        });
    }

    /// Whether small segments leave at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// None today.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.options().nodelay)
    }

    /// Lets small segments leave at once, without waiting for acknowledgements: no Nagle (RFC 9293 §3.7.4).
    ///
    /// # Errors
    /// None today.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.change(|options| options.nodelay = nodelay);
        Ok(())
    }

    /// Whether acknowledgements leave at once (`TCP_QUICKACK`).
    ///
    /// # Errors
    /// None today.
    pub fn quickack(&self) -> io::Result<bool> {
        Ok(self.options().quickack)
    }

    /// Lets acknowledgements leave at once. Not for good, as with the kernel's.
    ///
    /// # Errors
    /// None today.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.change(|options| options.quickack = quickack);
        Ok(())
    }

    /// How long a close is said to linger (`SO_LINGER`), in whole seconds.
    ///
    /// # Errors
    /// None today.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(linger_time(self.linger.load(Ordering::Relaxed)))
    }

    /// Sets `SO_LINGER`. Zero resets the connection when the stream is dropped; any other time is remembered, and what was written is
    /// delivered in the background as without it: dropping a stream never waits.
    ///
    /// # Errors
    /// None today.
    pub fn set_linger(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_linger_code(linger_code(time));
        Ok(())
    }

    /// Resets the connection when the stream is dropped: RST, and what was not delivered yet is thrown away.
    ///
    /// # Errors
    /// None today.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
    }

    /// The hop limit of what is sent, 1..=255.
    ///
    /// # Errors
    /// None today.
    pub fn ttl(&self) -> io::Result<u32> {
        let ttl = self.host.shard().look(|stack| {
            let set = stack.host.tcp_options(self.id).ttl;
            set.unwrap_or(stack.host.settings().ip_default_ttl)
        });
        Ok(ttl.into())
    }

    /// Sets the hop limit, 1..=255.
    ///
    /// # Errors
    /// `InvalidInput` outside of that.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = hop_limit(ttl)?;
        self.change(|options| options.ttl = Some(ttl));
        Ok(())
    }
}
