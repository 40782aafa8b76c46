//! Names: what the gateway's name server knows by itself, whom it asks for the rest, and what it answered. Messages in, messages out:
//! sockets are the gateway's business.

mod answers;
pub mod message;
pub mod resolv_conf;
pub(crate) mod resolver;
pub mod zone;

pub use answers::Answers;
pub(crate) use answers::normal;
