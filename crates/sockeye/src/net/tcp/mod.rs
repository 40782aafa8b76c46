//! TCP: listeners, streams and their halves, sockets yet to be set up.

mod attempt;
mod listener;
mod options;
mod socket;
mod split;
mod stream;

pub use listener::TcpListener;
pub use socket::TcpSocket;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::TcpStream;

pub(crate) use attempt::of_interest;
pub(crate) use listener::listen;
pub(crate) use options::hop_limit;
pub(crate) use stream::connect;
