//! Neighbor Discovery messages (RFC 4861 §4): bytes to fields and back, with the validity rules of RFC 4861 §6.1, §7.1 and §8.1.
//!
//! A message that breaks a rule is never acted upon, so there is no half-valid value. What follows from a message is for `ip::neighbor`.

use super::ethernet::Mac;
use crate::counters::DropReason;
use crate::packet::Head;
use std::net::Ipv6Addr;

/// ICMPv6 types. RFC 4861 §4.
pub const ROUTER_SOLICITATION: u8 = 133;
/// See [`ROUTER_SOLICITATION`].
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// See [`ROUTER_SOLICITATION`].
pub const NEIGHBOR_SOLICITATION: u8 = 135;
/// See [`ROUTER_SOLICITATION`].
pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
/// See [`ROUTER_SOLICITATION`].
pub const REDIRECT: u8 = 137;
/// The hop limit that proves that no router was in between. RFC 4861 §3.1.
pub const HOP_LIMIT: u8 = 255;

/// Length of a solicitation or advertisement with one link-layer address option.
pub const NEIGHBOR_LEN: usize = 32;

const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;
/// Options read in one message, at most.
const MAX_OPTIONS: usize = 32;

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// A valid message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A host asks for routers. RFC 4861 §4.1.
    RouterSolicitation {
        /// Link-layer address of the asker.
        source: Option<Mac>,
    },
    /// A router tells of itself. RFC 4861 §4.2.
    RouterAdvertisement(RouterAdvertisement),
    /// Who has `target`? RFC 4861 §4.3.
    NeighborSolicitation {
        /// The address that is asked for.
        target: Ipv6Addr,
        /// Link-layer address of the asker.
        source: Option<Mac>,
    },
    /// The sender has `target`. RFC 4861 §4.4.
    NeighborAdvertisement(NeighborAdvertisement),
    /// A better first hop. RFC 4861 §4.5.
    Redirect {
        /// The better first hop; the destination itself when it is on the link.
        target: Ipv6Addr,
        /// Whose first hop it is.
        destination: Ipv6Addr,
        /// Link-layer address of the target.
        mac: Option<Mac>,
    },
}

/// What a router tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// Hop limit to use; 0 when it says nothing.
    pub hop_limit: u8,
    /// Seconds for which it is a default router; 0 when it is none.
    pub lifetime: u16,
    /// Link-layer address of the router.
    pub source: Option<Mac>,
    /// MTU of the link.
    pub mtu: Option<u32>,
    /// The first prefix that it tells of.
    pub prefix: Option<Prefix>,
}

/// A prefix of the link. RFC 4861 §4.6.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The prefix.
    pub network: Ipv6Addr,
    /// Its length in bits.
    pub len: u8,
    /// Addresses with it are on the link.
    pub on_link: bool,
    /// Hosts may form addresses with it.
    pub autonomous: bool,
    /// Seconds for which it holds.
    pub valid: u32,
}

/// The answer to a neighbor solicitation, or an unasked announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborAdvertisement {
    /// Whose link-layer address it is.
    pub target: Ipv6Addr,
    /// The link-layer address.
    pub mac: Option<Mac>,
    /// The sender is a router.
    pub router: bool,
    /// It answers a solicitation.
    pub solicited: bool,
    /// It replaces what is known.
    pub overrides: bool,
}

/// Reads a whole ICMPv6 message of types 133..=137 that came from `src` to `dst` with this hop limit. The checksum is the caller's to verify.
///
/// # Errors
/// `Truncated` when the message is shorter than its type or an option wants, `Malformed` when it breaks another validity rule.
pub fn parse(src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8, message: &[u8]) -> Result<Message, DropReason> {
    let &[kind, code, ..] = message else {
        return Err(DropReason::Truncated);
    };
    if hop_limit != HOP_LIMIT || code != 0 {
        return Err(DropReason::Malformed);
    }
    let fixed = match kind {
        ROUTER_SOLICITATION => 8,
        ROUTER_ADVERTISEMENT => 16,
        NEIGHBOR_SOLICITATION | NEIGHBOR_ADVERTISEMENT => 24,
        REDIRECT => 40,
        _ => return Err(DropReason::Malformed),
    };
    let (fields, options) = message.split_at_checked(fixed).ok_or(DropReason::Truncated)?;
    let options = Options::read(options)?;
    match kind {
        ROUTER_SOLICITATION => router_solicitation(src, &options),
        ROUTER_ADVERTISEMENT => router_advertisement(src, fields, &options),
        NEIGHBOR_SOLICITATION => neighbor_solicitation(src, dst, fields, &options),
        NEIGHBOR_ADVERTISEMENT => neighbor_advertisement(dst, fields, &options),
        _ => redirect(src, fields, &options),
    }
}

/// Prepends a neighbor solicitation for `target`, naming our own link-layer address unless it is for duplicate detection. Checksum left 0.
pub fn build_solicitation(head: &mut Head, target: Ipv6Addr, source: Option<Mac>) {
    if let Some(mac) = source {
        link_layer_option(head, SOURCE_LINK_LAYER, mac);
    }
    let out = head.prepend(24);
    out.fill(0);
    out[0] = NEIGHBOR_SOLICITATION;
    out[8..24].copy_from_slice(&target.octets());
}

/// Prepends a neighbor advertisement. Checksum left 0.
pub fn build_advertisement(head: &mut Head, advert: &NeighborAdvertisement) {
    if let Some(mac) = advert.mac {
        link_layer_option(head, TARGET_LINK_LAYER, mac);
    }
    let out = head.prepend(24);
    out.fill(0);
    out[0] = NEIGHBOR_ADVERTISEMENT;
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    out[4] = flag(advert.router, ROUTER) | flag(advert.solicited, SOLICITED) | flag(advert.overrides, OVERRIDE);
    out[8..24].copy_from_slice(&advert.target.octets());
}

/// The group that hears solicitations for `address`. RFC 4291 §2.7.1.
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let o = address.octets();
    Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(o[13]),
        u16::from_be_bytes([o[14], o[15]]),
    )
}

fn link_layer_option(head: &mut Head, kind: u8, mac: Mac) {
    let out = head.prepend(8);
    out[0] = kind;
    out[1] = 1;
    out[2..8].copy_from_slice(&mac);
}

/// RFC 4861 §6.1.1.
fn router_solicitation(src: Ipv6Addr, options: &Options) -> Result<Message, DropReason> {
    if src.is_unspecified() && options.source.is_some() {
        return Err(DropReason::Malformed);
    }
    Ok(Message::RouterSolicitation { source: options.source })
}

/// RFC 4861 §6.1.2.
fn router_advertisement(src: Ipv6Addr, fields: &[u8], options: &Options) -> Result<Message, DropReason> {
    if !src.is_unicast_link_local() {
        return Err(DropReason::Malformed);
    }
    Ok(Message::RouterAdvertisement(RouterAdvertisement {
        hop_limit: fields[4],
        lifetime: u16::from_be_bytes([fields[6], fields[7]]),
        source: options.source,
        mtu: options.mtu,
        prefix: options.prefix,
    }))
}

/// RFC 4861 §7.1.1.
fn neighbor_solicitation(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    fields: &[u8],
    options: &Options,
) -> Result<Message, DropReason> {
    let target = address(fields, 8);
    let for_duplicates = src.is_unspecified();
    if target.is_multicast() || for_duplicates && (options.source.is_some() || dst != solicited_node(target)) {
        return Err(DropReason::Malformed);
    }
    Ok(Message::NeighborSolicitation {
        target,
        source: options.source,
    })
}

/// RFC 4861 §7.1.2.
fn neighbor_advertisement(dst: Ipv6Addr, fields: &[u8], options: &Options) -> Result<Message, DropReason> {
    let (target, flags) = (address(fields, 8), fields[4]);
    if target.is_multicast() || dst.is_multicast() && flags & SOLICITED != 0 {
        return Err(DropReason::Malformed);
    }
    Ok(Message::NeighborAdvertisement(NeighborAdvertisement {
        target,
        mac: options.target,
        router: flags & ROUTER != 0,
        solicited: flags & SOLICITED != 0,
        overrides: flags & OVERRIDE != 0,
    }))
}

/// RFC 4861 §8.1. That it comes from the current first hop is the caller's to know.
fn redirect(src: Ipv6Addr, fields: &[u8], options: &Options) -> Result<Message, DropReason> {
    let (target, destination) = (address(fields, 8), address(fields, 24));
    let target_fits = target.is_unicast_link_local() || target == destination;
    if !src.is_unicast_link_local() || destination.is_multicast() || !target_fits {
        return Err(DropReason::Malformed);
    }
    Ok(Message::Redirect {
        target,
        destination,
        mac: options.target,
    })
}

/// The options that we know; others are skipped (RFC 4861 §4.6).
#[derive(Default)]
struct Options {
    source: Option<Mac>,
    target: Option<Mac>,
    mtu: Option<u32>,
    prefix: Option<Prefix>,
}

impl Options {
    fn read(mut bytes: &[u8]) -> Result<Self, DropReason> {
        let mut options = Self::default();
        for _ in 0..MAX_OPTIONS {
            let &[kind, len, ..] = bytes else {
                return if bytes.is_empty() {
                    Ok(options)
                } else {
                    Err(DropReason::Truncated)
                };
            };
            if len == 0 {
                return Err(DropReason::Malformed);
            }
            let (option, rest) = bytes
                .split_at_checked(usize::from(len) * 8)
                .ok_or(DropReason::Truncated)?;
            options.take(kind, option);
            bytes = rest;
        }
        Err(DropReason::Malformed)
    }

    /// One option, of a length that is a multiple of 8. One of an unfit length is skipped.
    fn take(&mut self, kind: u8, option: &[u8]) {
        let number = |at: usize| u32::from_be_bytes([option[at], option[at + 1], option[at + 2], option[at + 3]]);
        let mac = || [option[2], option[3], option[4], option[5], option[6], option[7]];
        match (kind, option.len()) {
            (SOURCE_LINK_LAYER, 8) => self.source = Some(mac()),
            (TARGET_LINK_LAYER, 8) => self.target = Some(mac()),
            (MTU, 8) => self.mtu = Some(number(4)),
            (PREFIX_INFORMATION, 32) if option[2] <= 128 && self.prefix.is_none() => {
                self.prefix = Some(Prefix {
                    network: address(option, 16),
                    len: option[2],
                    on_link: option[3] & 0x80 != 0,
                    autonomous: option[3] & 0x40 != 0,
                    valid: number(4),
                });
            }
            _ => {}
        }
    }
}

fn address(bytes: &[u8], at: usize) -> Ipv6Addr {
    bytes[at..]
        .first_chunk::<16>()
        .map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets))
}

#[cfg(test)]
mod tests;
