//! What surrounds a [`sockeye_core::Host`] on a real machine: the gateway between an inside network and the machine's own, names, and the
//! small built-in services.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod gateway;
pub mod link;
pub mod names;
mod services;
pub mod services_registry;
