//! A TCP relay that breaks connections in the ways that networks do.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, oneshot};

/// What happens to connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: bytes are relayed.
    #[default]
    None,
    /// The connection is reset as soon as it is made.
    Reset,
    /// The connection is made, and nothing ever comes.
    Silence,
    /// The client is answered with these bytes, and the connection closed.
    Nonsense(Vec<u8>),
    /// The connection is reset after so many bytes from the client.
    CutRequest(usize),
    /// The connection is reset after so many bytes from the server.
    CutResponse(usize),
    /// The response stops after so many bytes, while the connection stays.
    StallResponse(usize),
    /// Each piece of the response comes late by that much.
    DelayResponse(Duration),
}

/// A running relay; it and its connections end with this value.
#[derive(Debug)]
pub struct Chaos {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    fault: Mutex<Fault>,
    connections: AtomicUsize,
    cut: Notify,
}

impl Chaos {
    /// A relay to `target`, which breaks nothing yet.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            fault: Mutex::default(),
            connections: AtomicUsize::new(0),
            cut: Notify::new(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let accepting = accept(listener, Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = accepting => {}
                }
            });
        });
        Ok(Self { addr, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets what happens to connections made from now on.
    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Resets every connection that there is.
    pub fn cut_all(&self) {
        self.shared.cut.notify_waiters();
    }

    /// How many connections were made so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic has failed the connection that caused it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    while let Ok((client, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let fault = shared.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // Closing a socket whose linger time is zero resets the connection.
            let lingering = client.set_zero_linger();
            tokio::select! {
                ended = break_or_relay(client, shared.target, fault) => drop((ended, lingering)),
                () = shared.cut.notified() => {}
            }
        });
    }
}

async fn break_or_relay(mut client: TcpStream, target: SocketAddr, fault: Fault) -> std::io::Result<()> {
    match fault {
        Fault::Reset => return Ok(()),
        Fault::Silence => return std::future::pending().await,
        Fault::Nonsense(bytes) => {
            client.write_all(&bytes).await?;
            // Not a reset: the client is to read the nonsense first.
            client.shutdown().await?;
            return drain(client).await;
        }
        Fault::None
        | Fault::CutRequest(_)
        | Fault::CutResponse(_)
        | Fault::StallResponse(_)
        | Fault::DelayResponse(_) => {}
    }
    let mut server = TcpStream::connect(target).await?;
    server.set_zero_linger()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let request = relay(client_read, server_write, Break::of_request(&fault));
    let response = relay(server_read, client_write, Break::of_response(&fault));
    tokio::try_join!(request, response).map(drop)
}

async fn drain(mut client: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    while client.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// What happens to one direction.
#[derive(Clone, Copy)]
enum Break {
    Never,
    Cut(usize),
    Stall(usize),
    Delay(Duration),
}

impl Break {
    fn of_request(fault: &Fault) -> Self {
        if let Fault::CutRequest(after) = fault { Self::Cut(*after) } else { Self::Never }
    }

    fn of_response(fault: &Fault) -> Self {
        match fault {
            Fault::CutResponse(after) => Self::Cut(*after),
            Fault::StallResponse(after) => Self::Stall(*after),
            Fault::DelayResponse(pause) => Self::Delay(*pause),
            Fault::None | Fault::Reset | Fault::Silence | Fault::Nonsense(_) | Fault::CutRequest(_) => {
                Self::Never
            }
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::Never | Self::Delay(_) => usize::MAX,
            Self::Cut(after) | Self::Stall(after) => after,
        }
    }
}

/// Relays until the end of the stream, or fails where it is to be cut: that ends the other direction too.
async fn relay(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, fault: Break) -> std::io::Result<()> {
    let mut left = fault.limit();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if left == 0 {
            match fault {
                Break::Stall(_) => std::future::pending().await,
                Break::Never | Break::Cut(_) | Break::Delay(_) => {
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
            }
        }
        let wanted = left.min(buffer.len());
        let count = from.read(&mut buffer[..wanted]).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        if let Break::Delay(pause) = fault {
            tokio::time::sleep(pause).await;
        }
        to.write_all(&buffer[..count]).await?;
        left -= count;
    }
}
