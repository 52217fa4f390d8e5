//! Asks the server that has these settings if it is ready: for containers and scripts.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;

use crate::config::{Config, KeyUrl, Listen};
use crate::fetch::fetch;

pub(super) async fn ask(config: &Config, out: &mut dyn Write) -> anyhow::Result<()> {
    let address = address(&config.listen)?;
    let url = KeyUrl::plain(address, "/health/ready");
    fetch(&url).await.with_context(|| format!("http://{address}/health/ready"))?;
    writeln!(out, "ready")?;
    Ok(())
}

/// The address on this machine that answers without TLS.
fn address(settings: &Listen) -> anyhow::Result<SocketAddr> {
    let address = match settings.admin_address() {
        Some(address) => address,
        None if settings.tls_cert.is_some() => {
            anyhow::bail!("health speaks no TLS; give operators an address of their own (--admin-listen)")
        }
        None => settings.listen,
    };
    Ok(match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    })
}
