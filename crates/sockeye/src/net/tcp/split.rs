//! Halves of a stream: borrowed for one task, owned for two.

use super::TcpStream;
use bytes::{BufMut, Bytes};
use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

/// The reading half of a [`TcpStream`], borrowed; see [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a>(&'a TcpStream);

/// The writing half of a [`TcpStream`], borrowed; see [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a>(&'a TcpStream);

/// The reading half of a [`TcpStream`], owned; see [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    stream: Arc<TcpStream>,
}

/// The writing half of a [`TcpStream`], owned; see [`TcpStream::into_split`]. Dropping it sends FIN after all that was written.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    shutdown_on_drop: bool,
}

/// Two halves that are not of one stream; they come back. See [`OwnedReadHalf::reunite`].
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried to reunite halves that are not from the same socket")
    }
}

impl Error for ReuniteError {}

pub(super) fn split(stream: &mut TcpStream) -> (ReadHalf<'_>, WriteHalf<'_>) {
    (ReadHalf(stream), WriteHalf(stream))
}

pub(super) fn into_split(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Arc::new(stream);
    let write = OwnedWriteHalf {
        stream: Arc::clone(&stream),
        shutdown_on_drop: true,
    };
    (OwnedReadHalf { stream }, write)
}

fn reunite(read: OwnedReadHalf, write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
    if !Arc::ptr_eq(&read.stream, &write.stream) {
        return Err(ReuniteError(read, write));
    }
    write.forget();
    // The only two that share it, and one is gone.
    Ok(Arc::into_inner(read.stream).expect("both halves are here"))
}

macro_rules! reading {
    ($($half:ty, $self:ident => $stream:expr;)*) => {$(
        impl $half {
            /// As [`TcpStream::peek`].
            ///
            /// # Errors
            /// Those of [`TcpStream::peek`].
            ///
            /// # Cancel safety
            /// Safe.
            pub async fn peek(&mut $self, buf: &mut [u8]) -> io::Result<usize> {
                $stream.peek(buf).await
            }

            /// As [`TcpStream::poll_peek`].
            ///
            /// # Errors
            /// Those of [`TcpStream::poll_peek`].
            pub fn poll_peek(&mut $self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
                $stream.poll_peek(cx, buf)
            }

            /// As [`TcpStream::ready`].
            ///
            /// # Errors
            /// Those of [`TcpStream::ready`].
            ///
            /// # Cancel safety
            /// Safe.
            pub async fn ready(&$self, interest: Interest) -> io::Result<Ready> {
                $stream.ready(interest).await
            }

            /// As [`TcpStream::readable`].
            ///
            /// # Errors
            /// Those of [`TcpStream::readable`].
            ///
            /// # Cancel safety
            /// Safe.
            pub async fn readable(&$self) -> io::Result<()> {
                $stream.readable().await
            }

            /// As [`TcpStream::try_read`].
            ///
            /// # Errors
            /// Those of [`TcpStream::try_read`].
            pub fn try_read(&$self, buf: &mut [u8]) -> io::Result<usize> {
                $stream.try_read(buf)
            }

            /// As [`TcpStream::try_read_vectored`].
            ///
            /// # Errors
            /// Those of [`TcpStream::try_read`].
            pub fn try_read_vectored(&$self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                $stream.try_read_vectored(bufs)
            }

            /// As [`TcpStream::try_read_buf`].
            ///
            /// # Errors
            /// Those of [`TcpStream::try_read`].
            pub fn try_read_buf(&$self, buf: &mut impl BufMut) -> io::Result<usize> {
                $stream.try_read_buf(buf)
            }

            /// As [`TcpStream::read_chunk`].
            ///
            /// # Errors
            /// Those of [`TcpStream::read_chunk`].
            ///
            /// # Cancel safety
            /// A dropped future has taken no bytes.
            pub async fn read_chunk(&mut $self, max: usize) -> io::Result<Option<Bytes>> {
                $stream.read_chunk(max).await
            }
        }

        impl AsyncRead for $half {
            fn poll_read(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                $stream.poll_read_shared(cx, buf)
            }
        }
    )*};
}

macro_rules! writing {
    ($($half:ty, $self:ident => $stream:expr;)*) => {$(
        impl $half {
            /// As [`TcpStream::ready`].
            ///
            /// # Errors
            /// Those of [`TcpStream::ready`].
            ///
            /// # Cancel safety
            /// Safe.
            pub async fn ready(&$self, interest: Interest) -> io::Result<Ready> {
                $stream.ready(interest).await
            }

            /// As [`TcpStream::writable`].
            ///
            /// # Errors
            /// Those of [`TcpStream::writable`].
            ///
            /// # Cancel safety
            /// Safe.
            pub async fn writable(&$self) -> io::Result<()> {
                $stream.writable().await
            }

            /// As [`TcpStream::try_write`].
            ///
            /// # Errors
            /// Those of [`TcpStream::try_write`].
            pub fn try_write(&$self, buf: &[u8]) -> io::Result<usize> {
                $stream.try_write(buf)
            }

            /// As [`TcpStream::try_write_vectored`].
            ///
            /// # Errors
            /// Those of [`TcpStream::try_write`].
            pub fn try_write_vectored(&$self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                $stream.try_write_vectored(bufs)
            }

            /// As [`TcpStream::write_chunk`].
            ///
            /// # Errors
            /// Those of [`TcpStream::write_chunk`].
            ///
            /// # Cancel safety
            /// Not safe: a dropped future may have written the first part.
            pub async fn write_chunk(&mut $self, chunk: Bytes) -> io::Result<()> {
                $stream.write_chunk(chunk).await
            }
        }

        impl AsyncWrite for $half {
            fn poll_write(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                $stream.poll_write_shared(cx, &[IoSlice::new(buf)])
            }

            fn poll_write_vectored(
                $self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                $stream.poll_write_shared(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown($self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                $stream.shutdown_write();
                Self::on_shutdown($self);
                Poll::Ready(Ok(()))
            }
        }
    )*};
}

macro_rules! addresses {
    ($($half:ty, $self:ident => $stream:expr;)*) => {$(
        impl $half {
            /// As [`TcpStream::local_addr`].
            ///
            /// # Errors
            /// Those of [`TcpStream::local_addr`].
            pub fn local_addr(&$self) -> io::Result<SocketAddr> {
                $stream.local_addr()
            }

            /// As [`TcpStream::peer_addr`].
            ///
            /// # Errors
            /// Those of [`TcpStream::peer_addr`].
            pub fn peer_addr(&$self) -> io::Result<SocketAddr> {
                $stream.peer_addr()
            }
        }
    )*};
}

reading! {
    ReadHalf<'_>, self => self.0;
    OwnedReadHalf, self => self.stream;
}

writing! {
    WriteHalf<'_>, self => self.0;
    OwnedWriteHalf, self => self.stream;
}

addresses! {
    ReadHalf<'_>, self => self.0;
    WriteHalf<'_>, self => self.0;
    OwnedReadHalf, self => self.stream;
    OwnedWriteHalf, self => self.stream;
}

impl AsRef<TcpStream> for ReadHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.0
    }
}

impl AsRef<TcpStream> for WriteHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.0
    }
}

impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl WriteHalf<'_> {
    const fn on_shutdown(_: Pin<&mut Self>) {}
}

impl OwnedReadHalf {
    /// Puts the halves of one stream together again.
    ///
    /// # Errors
    /// Both halves, when they are not of one stream.
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        reunite(self, other)
    }
}

impl OwnedWriteHalf {
    /// Puts the halves of one stream together again.
    ///
    /// # Errors
    /// Both halves, when they are not of one stream.
    pub fn reunite(self, other: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        reunite(other, self)
    }

    /// Drops the half without sending FIN: that follows when the other half is dropped.
    pub fn forget(mut self) {
        self.shutdown_on_drop = false;
    }

    /// FIN is sent once.
    fn on_shutdown(mut half: Pin<&mut Self>) {
        half.shutdown_on_drop = false;
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.shutdown_on_drop {
            self.stream.shutdown_write();
        }
    }
}
