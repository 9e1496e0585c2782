//! Where and how to serve, from the file as written to the settings as meant.

use std::{fmt::Display, ops::RangeInclusive, path::Path, str::FromStr};

use super::{
    ConfigError, acme, file,
    place::Place,
    settings::{Address, Limits, Mirror, Serve},
};

pub(super) fn understand(
    serve: &file::Serve,
    state_dir: Option<&Path>,
    mirrors: &[Mirror],
) -> Result<Serve, ConfigError> {
    let at = Place::new("serve");
    if serve.listen.is_empty() {
        return Err(at.missing("listen", "an address to serve on: --listen '[::]:443'"));
    }
    let listen =
        |text: &String| Address::from_str(text).map_err(|why| at.invalid("listen", text, &why));
    let tls = acme::understand_tls(&at, serve, state_dir, mirrors)?;
    Ok(Serve {
        listen: serve.listen.iter().map(listen).collect::<Result<_, _>>()?,
        limits: understand_limits(&at, serve, tls.is_some())?,
        tls,
        proxy_protocol: serve.proxy_protocol.unwrap_or(false),
        access_log: serve.access_log.unwrap_or(false),
        shutdown_grace: at.duration("shutdown-grace", serve.shutdown_grace.as_deref(), "10s")?,
    })
}

fn understand_limits(at: &Place, serve: &file::Serve, is_tls: bool) -> Result<Limits, ConfigError> {
    let usual = Limits::default();
    let max_connections = serve.max_connections.unwrap_or(usual.max_connections);
    // Behind a proxy that ends TLS every connection comes from the same address.
    let sees_clients = is_tls || serve.proxy_protocol == Some(true);
    let share = (max_connections / 4).clamp(max_connections.min(FEW), MANY);
    let share = if sees_clients { share } else { 0 };
    let max_per_address = serve.max_connections_per_address.unwrap_or(share);
    let max_streams = serve.max_streams.unwrap_or(usual.max_streams);
    let max_resets = serve.max_resets.unwrap_or(usual.max_resets);
    let max_header_bytes = serve.max_header_bytes.unwrap_or(usual.max_header_bytes);
    let handshake_timeout = serve.handshake_timeout.as_deref();
    Ok(Limits {
        max_connections: within(at, "max-connections", max_connections, 1..=MANY)?,
        max_connections_per_address: within(
            at,
            "max-connections-per-address",
            max_per_address,
            0..=MANY,
        )?,
        handshake_timeout: at.duration("handshake-timeout", handshake_timeout, "10s")?,
        header_timeout: at.duration("header-timeout", serve.header_timeout.as_deref(), "10s")?,
        max_header_bytes: within(at, "max-header-bytes", max_header_bytes, HEADER_BYTES)?,
        idle_timeout: at.duration("idle-timeout", serve.idle_timeout.as_deref(), "1m")?,
        max_streams: within(at, "max-streams", max_streams, 1..=1024)?,
        max_resets: within(at, "max-resets", max_resets, 1..=1024)?,
        max_requests_per_connection: serve
            .max_requests_per_connection
            .unwrap_or(usual.max_requests_per_connection),
    })
}

fn within<N: Copy + Display + PartialOrd>(
    at: &Place,
    name: &str,
    value: N,
    range: RangeInclusive<N>,
) -> Result<N, ConfigError> {
    if range.contains(&value) {
        return Ok(value);
    }
    let why = format!("a number from {} to {}", range.start(), range.end());
    Err(at.invalid(name, &value.to_string(), &why))
}

/// So few connections are not worth sharing out.
const FEW: usize = 64;
/// More than any table of sockets holds.
const MANY: usize = 1_000_000;
/// hyper reads into 8 KiB at least.
const HEADER_BYTES: RangeInclusive<usize> = 8 * 1024..=1024 * 1024;
