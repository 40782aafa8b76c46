//! Which host `TcpStream::connect` and its like mean: the one that was entered last on this thread, else the default of the process.

use super::{Handle, Host};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

thread_local! {
    static ENTERED: RefCell<Vec<Host>> = const { RefCell::new(Vec::new()) };
}

/// Does not keep its host alive.
static DEFAULT: Mutex<Weak<Handle>> = Mutex::new(Weak::new());

/// While it lives, its host is current on this thread; see [`Host::enter`].
#[derive(Debug)]
#[must_use = "the host is current until this is dropped"]
pub struct Entered<'a> {
    host: &'a Host,
    /// Not to be sent to another thread.
    here: PhantomData<*const ()>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // A thread that ends may have lost its list already.
        let left = ENTERED.try_with(|entered| entered.borrow_mut().pop());
        debug_assert!(
            self.host.is(left.ok().flatten().as_ref()),
            "hosts are left in the reverse order"
        );
    }
}

/// A future during which a host is current; see [`Host::scope`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Scope<F> {
    host: Host,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _entered = this.host.enter();
        this.future.as_mut().poll(cx)
    }
}

impl Host {
    /// Makes this host the one that `TcpStream::connect`, `TcpListener::bind` and their like use on this thread, until the guard is dropped. A
    /// host entered later comes first. Not for use across an `await`, where a task may change threads: for that there is [`Host::scope`].
    ///
    /// ```
    /// use sockeye::{Host, net::UdpSocket};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// # let in_runtime = runtime.enter();
    /// let host = Host::builder().build()?;
    /// let _entered = host.enter();
    /// let socket = runtime.block_on(UdpSocket::bind("127.0.0.1:53"))?;
    /// assert_eq!(socket.local_addr()?.port(), 53);
    /// # Ok(()) }
    /// ```
    pub fn enter(&self) -> Entered<'_> {
        ENTERED.with_borrow_mut(|entered| entered.push(self.clone()));
        Entered {
            host: self,
            here: PhantomData,
        }
    }

    /// Runs a future with this host current, whichever threads it runs on. Tasks that it spawns have no part in that: spawn
    /// them with [`Host::spawn`], or see [`Host::make_default`].
    ///
    /// ```
    /// use sockeye::{Host, net::{TcpListener, TcpStream}};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let host = Host::builder().build()?;
    /// host.scope(async {
    ///     let listener = TcpListener::bind("127.0.0.1:80").await?;
    ///     TcpStream::connect("127.0.0.1:80").await?;
    ///     listener.accept().await
    /// }).await?;
    /// # Ok(()) }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> Scope<F> {
        Scope {
            host: self.clone(),
            future: Box::pin(future),
        }
    }

    /// Spawns a task with this host current: what a program's `tokio::spawn` becomes where its tasks open sockets too.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as `tokio::spawn`.
    ///
    /// ```
    /// use sockeye::{Host, net::UdpSocket};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let host = Host::builder().build()?;
    /// let socket = host.spawn(UdpSocket::bind("127.0.0.1:53")).await??;
    /// assert_eq!(socket.local_addr()?.port(), 53);
    /// # Ok(()) }
    /// ```
    pub fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.scope(future))
    }

    /// Makes this host the one that is used where none was entered, in the whole process, until it ends or another takes its place.
    pub fn make_default(&self) {
        *DEFAULT.lock().unwrap_or_else(PoisonError::into_inner) = std::sync::Arc::downgrade(&self.handle);
    }

    /// The host that is current here.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn current() -> io::Result<Self> {
        let entered = ENTERED.try_with(|entered| entered.borrow().last().cloned());
        let default = || {
            let default = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
            default.upgrade().map(|handle| Self { handle })
        };
        entered.ok().flatten().or_else(default).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "no sockeye::Host is current here: use Host::enter, Host::scope or Host::make_default",
            )
        })
    }

    pub(super) fn is(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| std::sync::Arc::ptr_eq(&self.handle, &other.handle))
    }
}
