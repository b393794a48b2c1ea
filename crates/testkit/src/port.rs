//! TCP ports for programs that must be told their port before they start.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// Below the range that Linux takes the ports of outgoing connections from (32768), so that no client's
/// connection sits on a port between its reservation and its use.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A loopback port that no other test holds, as long as this value lives: a lock file per port keeps the test
/// processes of one user apart.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a port that nobody listens on.
    ///
    /// # Errors
    /// When the lock files cannot be written, or no port is free.
    pub fn reserve() -> Result<Self> {
        let folder = lock_folder()?;
        let start = std::process::id() as u16;
        for step in 0..COUNT {
            // 7919 is prime and so visits every port once; neighbours in time are no neighbours in number.
            let offset = (u32::from(start) * 131 + u32::from(step) * 7919) % u32::from(COUNT);
            let number = FIRST + offset as u16;
            let lock = File::create(folder.join(number.to_string())).context("cannot write a lock file")?;
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("no port is free between {FIRST} and {}", FIRST + COUNT)
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

fn lock_folder() -> Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("lockgate-test-ports-{user}"));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::TcpListener;

    use super::Port;

    #[test]
    fn ports_differ_while_they_are_held() {
        let ports: Vec<_> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let numbers: HashSet<_> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), 50);
        TcpListener::bind(ports[0].addr()).unwrap();
    }
}
