//! tokio's own sockets.

pub(crate) use tokio::net;

pub(crate) mod world;

#[path = "../body/mod.rs"]
mod body;
