//! The network as its test sees it: hosts, links, and what goes wrong with them.

use super::error::Error;
use super::machine::Machine;
use super::world::World;
use sockeye_core::netem::{Netem, NetemCounters};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// A simulated network, handed to the test; clones are the same network. Hosts are named by their name or their [`Machine`].
#[derive(Clone)]
pub struct Net {
    pub(super) world: Rc<World>,
}

/// What describes a link: a [`Netem`], or text in the [grammar](sockeye_core::netem::grammar) of `sockeye run`: `"delay 40ms loss 2%"`.
pub trait ToNetem {
    /// What befalls packets each way.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn to_netem(&self) -> Result<Netem, Error>;
}

impl ToNetem for Netem {
    fn to_netem(&self) -> Result<Netem, Error> {
        Ok(self.clone())
    }
}

impl ToNetem for str {
    fn to_netem(&self) -> Result<Netem, Error> {
        self.parse()
            .map_err(|error: sockeye_core::netem::grammar::ParseError| Error::Netem(error.to_string()))
    }
}

impl ToNetem for String {
    fn to_netem(&self) -> Result<Netem, Error> {
        self.as_str().to_netem()
    }
}

impl<T: ToNetem + ?Sized> ToNetem for &T {
    fn to_netem(&self) -> Result<Netem, Error> {
        (**self).to_netem()
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("seed", &self.seed())
            .field("now", &self.elapsed())
            .finish_non_exhaustive()
    }
}

impl Net {
    /// Adds a host. Its name decides its luck, together with the seed: adding another changes nothing for this one.
    ///
    /// # Errors
    /// A name that is taken, or none.
    pub fn host(&self, name: &str) -> Result<Machine, Error> {
        Machine::new(&self.world, name, &[])
    }

    /// Adds a host with settings by Linux's names, as [`HostBuilder::sysctl`](crate::HostBuilder::sysctl) takes them.
    ///
    /// # Errors
    /// As [`Net::host`]; a setting that there is not.
    pub fn host_with(&self, name: &str, sysctls: &[(&str, &str)]) -> Result<Machine, Error> {
        Machine::new(&self.world, name, sysctls)
    }

    /// Finds a host by name.
    ///
    /// # Errors
    /// When there is none.
    pub fn machine(&self, name: &str) -> Result<Machine, Error> {
        Ok(Machine::at(&self.world, self.world.find(name)?))
    }

    /// Links two hosts, as bad in both directions: `net.link("a", "b", "delay 40ms loss 2%")`, `"none"` for a perfect link. Hosts that no link
    /// joins do not reach each other.
    ///
    /// # Errors
    /// Names that no host has; two that are linked already; a description that is none.
    pub fn link(&self, a: impl AsRef<str>, b: impl AsRef<str>, netem: impl ToNetem) -> Result<(), Error> {
        let (from, to) = self.pair(a.as_ref(), b.as_ref())?;
        let netem = netem.to_netem()?;
        if self.world.fabric().link(from, to, &netem) {
            return Ok(());
        }
        Err(Error::LinkTwice(a.as_ref().to_owned(), b.as_ref().to_owned()))
    }

    /// Changes what befalls packets from one host to another, one way, from now on. Those under way are lost.
    ///
    /// # Errors
    /// As [`Net::link`]; two that are not linked.
    pub fn impair(&self, from: impl AsRef<str>, to: impl AsRef<str>, netem: impl ToNetem) -> Result<(), Error> {
        let (from_nth, to_nth) = self.pair(from.as_ref(), to.as_ref())?;
        let netem = netem.to_netem()?;
        let done = self.world.fabric().impair(from_nth, to_nth, &netem);
        self.linked(done, from.as_ref(), to.as_ref())?;
        self.world
            .note(|| format!("{} > {} is impaired anew", from.as_ref(), to.as_ref()));
        Ok(())
    }

    /// Cuts every link between the two groups: nothing arrives from one in the other, what is under way included. Until [`Net::heal`].
    ///
    /// # Errors
    /// Names that no host has, or a host on both sides.
    pub fn partition<A: AsRef<str>, B: AsRef<str>>(&self, left: &[A], right: &[B]) -> Result<(), Error> {
        for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (a, b))) {
            let (a, b) = self.pair(a.as_ref(), b.as_ref())?;
            let mut fabric = self.world.fabric();
            // Two that are not linked are apart already.
            let _ = fabric.cut(a, b, true);
            let _ = fabric.cut(b, a, true);
        }
        self.world
            .note(|| format!("partition: {} | {}", listed(left), listed(right)));
        Ok(())
    }

    /// Makes one direction of a link swallow everything; the other goes on. Until [`Net::heal`].
    ///
    /// # Errors
    /// As [`Net::impair`].
    pub fn black_hole(&self, from: impl AsRef<str>, to: impl AsRef<str>) -> Result<(), Error> {
        let (from_nth, to_nth) = self.pair(from.as_ref(), to.as_ref())?;
        let done = self.world.fabric().cut(from_nth, to_nth, true);
        self.linked(done, from.as_ref(), to.as_ref())?;
        self.world
            .note(|| format!("black hole: {} > {}", from.as_ref(), to.as_ref()));
        Ok(())
    }

    /// Ends all partitions and black holes.
    pub fn heal(&self) {
        self.world.fabric().heal();
        self.world.note(|| "healed".to_owned());
    }

    /// Resets every connection between two hosts, as a middlebox does that forges a RST to each end: both programs get `ECONNRESET`. Returns
    /// how many ends were told; connections that are not established yet are spared.
    ///
    /// # Errors
    /// Names that no host has.
    pub fn reset(&self, a: impl AsRef<str>, b: impl AsRef<str>) -> Result<usize, Error> {
        let (left, right) = self.pair(a.as_ref(), b.as_ref())?;
        let told = super::reset::reset(&self.world, left, right) + super::reset::reset(&self.world, right, left);
        self.world.note(|| {
            format!(
                "reset: {} connections' ends between {} and {}",
                told,
                a.as_ref(),
                b.as_ref()
            )
        });
        Ok(told)
    }

    /// What a link did to packets one way so far, since it was made or impaired.
    ///
    /// # Errors
    /// As [`Net::impair`].
    pub fn counters(&self, from: impl AsRef<str>, to: impl AsRef<str>) -> Result<NetemCounters, Error> {
        let (from_nth, to_nth) = self.pair(from.as_ref(), to.as_ref())?;
        let counters = self.world.fabric().counters(from_nth, to_nth).copied();
        counters.ok_or_else(|| Error::NoLink(from.as_ref().to_owned(), to.as_ref().to_owned()))
    }

    /// The seed that all chance follows from.
    pub fn seed(&self) -> u64 {
        self.world.seed
    }

    /// Virtual time since the beginning, to the nanosecond.
    pub fn elapsed(&self) -> Duration {
        self.world.now().since(sockeye_core::Instant::ZERO)
    }

    /// A number in `0..n` from the seed, for the test's own decisions; 0 when `n` is 0. The network's luck does not depend on how many are drawn.
    pub fn random(&self, n: u64) -> u64 {
        ((u128::from(self.world.draw()) * u128::from(n)) >> 64) as u64
    }

    /// Fingerprint of all packets so far: their bytes, order, times and ways.
    pub fn digest(&self) -> u64 {
        self.world.fabric().digest()
    }

    /// Writes a line into the timeline of a replay.
    pub fn note(&self, line: impl fmt::Display) {
        self.world.note(|| line.to_string());
    }

    fn pair(&self, a: &str, b: &str) -> Result<(usize, usize), Error> {
        let (first, second) = (self.world.find(a)?, self.world.find(b)?);
        if first == second {
            return Err(Error::Itself(a.to_owned()));
        }
        Ok((first, second))
    }

    fn linked(&self, done: bool, a: &str, b: &str) -> Result<(), Error> {
        if done {
            return Ok(());
        }
        Err(Error::NoLink(a.to_owned(), b.to_owned()))
    }
}

fn listed(names: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.join(", ")
}
