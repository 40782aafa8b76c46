//! A host made step by step, its settings by the names people know.

use super::{Host, HostConfig, Loopback};
use crate::settings::SysctlError;

/// Makes a [`Host`].
///
/// ```
/// use sockeye_core::Host;
///
/// let host = Host::builder()
///     .seed(7)
///     .sysctl("net.ipv4.tcp_sack", "0")?
///     .sysctl("net.ipv4.tcp_congestion_control", "reno")?
///     .build();
/// assert!(!host.settings().tcp_sack);
/// # Ok::<(), sockeye_core::settings::SysctlError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "build() makes the host"]
pub struct HostBuilder {
    config: HostConfig,
}

impl HostBuilder {
    /// All chance and all secrets of the host follow from this.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Accept packets for any address: a gateway.
    pub fn any_address(mut self, any: bool) -> Self {
        self.config.any_address = any;
        self
    }

    /// Who carries packets to the host's own addresses.
    pub fn loopback(mut self, loopback: Loopback) -> Self {
        self.config.loopback = loopback;
        self
    }

    /// Sets what Linux's `sysctl` calls `name`, in Linux's notation. [`Settings::TABLE`](crate::settings::Settings::TABLE) has all.
    ///
    /// # Errors
    /// A name that is not known, or a value that is not accepted.
    pub fn sysctl(mut self, name: &str, value: &str) -> Result<Self, SysctlError> {
        self.config.settings.set(name, value)?;
        Ok(self)
    }

    /// What the host is made from, for those who make it elsewhere (the simulator).
    pub fn config(self) -> HostConfig {
        self.config
    }

    /// The host, with nothing but its loopback interface.
    pub fn build(self) -> Host {
        Host::new(self.config)
    }
}
