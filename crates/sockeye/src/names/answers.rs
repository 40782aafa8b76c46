//! Which names the program asked for, and the addresses it was given: so that a flow can be shown by name, and a filter be given by name.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

/// Names and the addresses they were answered with. Keeps the latest [`Answers::KEEP`] addresses.
#[derive(Debug, Default)]
pub struct Answers {
    names: HashMap<IpAddr, String>,
    addresses: HashMap<String, BTreeSet<IpAddr>>,
    order: VecDeque<IpAddr>,
    generation: u64,
}

impl Answers {
    /// As many addresses are remembered.
    pub const KEEP: usize = 8_192;

    /// `name` was answered with `address`.
    pub fn learn(&mut self, name: &str, address: IpAddr) {
        let name = normal(name);
        if self.names.get(&address) == Some(&name) {
            return;
        }
        match self.names.insert(address, name.clone()) {
            Some(old) => self.forget(&old, address),
            None => self.order.push_back(address),
        }
        self.addresses.entry(name).or_default().insert(address);
        if self.order.len() > Self::KEEP
            && let Some(oldest) = self.order.pop_front()
            && let Some(name) = self.names.remove(&oldest)
        {
            self.forget(&name, oldest);
        }
        self.generation += 1;
    }

    fn forget(&mut self, name: &str, address: IpAddr) {
        if let Some(known) = self.addresses.get_mut(name) {
            known.remove(&address);
            if known.is_empty() {
                self.addresses.remove(name);
            }
        }
    }

    /// The name that was last answered with `address`, in lower case, without a trailing dot.
    pub fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.names.get(&address).map(String::as_str)
    }

    /// The addresses that `name` was answered with, in order.
    pub fn addresses_of(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        self.addresses.get(&normal(name)).into_iter().flatten().copied()
    }

    /// Grows whenever something was learnt.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// A name as it is compared: lower case, no trailing dot.
pub(crate) fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_lead_to_each_other() {
        let mut answers = Answers::default();
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        answers.learn("Api.Example.", addr("192.0.2.1"));
        answers.learn("api.example", addr("2001:db8::1"));
        assert_eq!(answers.name_of(addr("192.0.2.1")), Some("api.example"));
        assert_eq!(answers.addresses_of("API.example").count(), 2);
        let before = answers.generation();
        answers.learn("api.example", addr("192.0.2.1"));
        assert_eq!(answers.generation(), before);
        answers.learn("other.example", addr("192.0.2.1"));
        assert_eq!(
            answers.addresses_of("api.example").collect::<Vec<_>>(),
            [addr("2001:db8::1")]
        );
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut answers = Answers::default();
        for n in 0..Answers::KEEP as u32 + 10 {
            answers.learn("many.example", std::net::Ipv4Addr::from(n).into());
        }
        assert_eq!(answers.addresses_of("many.example").count(), Answers::KEEP);
        assert_eq!(answers.name_of(std::net::Ipv4Addr::from(9).into()), None);
    }
}
