//! Fixed ports on 127.0.0.1 that stay ours while a broker or proxy is down.
//!
//! They lie below the range from which the system gives ports to outgoing connections, so no client can take one
//! meanwhile; and each is held, for the life of this process, by a name that other harnesses on this machine see.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::cluster::ClusterError;

const LOW: u16 = 20_000;
/// Where outgoing connections' ports start on systems that do not say.
const USUAL_EPHEMERAL_LOW: u16 = 32_768;

/// How far the searches of this process have come. A port is not given twice in a row: clients of the cluster that had it
/// last may still be about, and would ask the next one for their topics.
static SEARCHED: AtomicUsize = AtomicUsize::new(0);

/// Ports held until dropped.
#[derive(Debug)]
pub(in crate::cluster) struct Ports {
    ports: Vec<u16>,
    #[cfg(target_os = "linux")]
    _held: Vec<std::os::unix::net::UnixListener>,
}

impl Ports {
    pub fn get(&self, index: usize) -> u16 {
        self.ports[index]
    }

    /// Holds `wanted` ports that nobody listens on. The search starts at a place of this process's own.
    pub fn reserve(wanted: usize) -> Result<Self, ClusterError> {
        let (low, high) = range(std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok().as_deref());
        let width = usize::from(high - low);
        let first = (std::process::id() as usize).wrapping_mul(61).wrapping_add(SEARCHED.load(Relaxed)) % width;
        let mut ports = Vec::with_capacity(wanted);
        #[cfg(target_os = "linux")]
        let mut held = Vec::with_capacity(wanted);
        let mut last = low;
        for offset in 0..width {
            last = low + ((first + offset) % width) as u16;
            #[cfg(target_os = "linux")]
            let Some(name) = hold(last) else { continue };
            // Bound on every address, as an engine that publishes on all of them would.
            if TcpListener::bind((Ipv4Addr::UNSPECIFIED, last)).is_err() {
                continue;
            }
            ports.push(last);
            #[cfg(target_os = "linux")]
            held.push(name);
            if ports.len() == wanted {
                SEARCHED.fetch_add(offset + 1, Relaxed);
                return Ok(Self {
                    ports,
                    #[cfg(target_os = "linux")]
                    _held: held,
                });
            }
        }
        Err(ClusterError::NoPorts { wanted, low, high, last })
    }
}

/// A name in the kernel's table of abstract sockets: gone with this process, however it ends.
#[cfg(target_os = "linux")]
fn hold(port: u16) -> Option<std::os::unix::net::UnixListener> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let name = SocketAddr::from_abstract_name(format!("seaworthy-port-{port}")).ok()?;
    UnixListener::bind_addr(&name).ok()
}

/// Where to search, by the text of `ip_local_port_range`.
fn range(ephemeral: Option<&str>) -> (u16, u16) {
    let low = ephemeral.and_then(|text| text.split_whitespace().next()?.parse::<u16>().ok());
    match low.unwrap_or(USUAL_EPHEMERAL_LOW) {
        // Somebody gave nearly everything to outgoing connections: no range is safe then, this one is as good.
        low if low < LOW + 1_000 => (LOW, USUAL_EPHEMERAL_LOW),
        low => (LOW, low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_lie_below_those_of_outgoing_connections() {
        assert_eq!(range(Some("32768\t60999\n")), (20_000, 32_768));
        assert_eq!(range(Some("49152 65535")), (20_000, 49_152));
        assert_eq!(range(None), (20_000, 32_768));
        assert_eq!(range(Some("1024 65535")), (20_000, 32_768));
    }

    #[test]
    fn two_harnesses_never_hold_the_same_port() {
        let (a, b) = (Ports::reserve(9).unwrap(), Ports::reserve(9).unwrap());
        assert!(a.ports.iter().all(|port| !b.ports.contains(port)), "{a:?} {b:?}");
    }
}
