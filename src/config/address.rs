//! Where a listener is bound.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The sockets of this name that the service manager hands over (`FileDescriptorName=` in
    /// systemd.socket(5)); one name may stand for several.
    Systemd(String),
    /// An IP address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// As written in the configuration: `[::]:443`, `unix:/run/oidc.sock` or `systemd:https`.
impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text
            .strip_prefix("systemd:")
            .filter(|name| !name.is_empty())
        {
            return Ok(Self::Systemd(name.to_owned()));
        }
        if let Some(path) = text
            .strip_prefix("unix:")
            .filter(|path| path.starts_with('/'))
        {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let why = "an address is written 127.0.0.1:8443, [::]:443, unix:/run/oidc-mirror/http.sock \
                   or systemd:NAME";
        text.parse().map(Self::Tcp).map_err(|_| why)
    }
}

/// As it is parsed.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systemd(name) => write!(f, "systemd:{name}"),
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
