//! All that a mirror needs: API servers, a certificate, and a place for its files.

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    time::UNIX_EPOCH,
};

use oidc_mirror::demo::{Authority, Cluster};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::Failure;

/// A simulated cluster, and the public name it is to have.
pub(crate) struct Site {
    pub(crate) authority: Authority,
    pub(crate) cluster: Cluster,
    directory: TempDir,
}

impl Site {
    /// Starts this many API servers and writes a first certificate (ECDSA with P-256).
    pub(crate) async fn start(api_servers: usize) -> Result<Self, Failure> {
        // A web server reads it as another user.
        let permissions = Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new()
            .permissions(permissions)
            .tempdir()?;
        let issuer = format!("https://{HOST}");
        let site = Self {
            authority: Authority::new("public")?,
            cluster: Cluster::start(api_servers, &issuer, directory.path(), UNIX_EPOCH).await?,
            directory,
        };
        site.renew()?;
        Ok(site)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the certificate and its key in one step, as kubelet and certbot do.
    pub(crate) fn renew(&self) -> Result<CertificateDer<'static>, Failure> {
        let files = tempfile::Builder::new()
            .prefix("tls-")
            .permissions(readable())
            .tempdir_in(&self.directory)?;
        let certificate = self.authority.issue(&[HOST])?;
        certificate.write(&files.path().join("tls.crt"), &files.path().join("tls.key"))?;
        let (link, before) = (self.path("tls"), fs::read_link(self.path("tls")));
        symlink(files.keep(), self.path("tls-next"))?;
        fs::rename(self.path("tls-next"), link)?;
        before.map_or(Ok(()), fs::remove_dir_all)?;
        Ok(certificate.der())
    }

    /// The arguments of `oidc-mirror` that mirror the cluster to `address`.
    pub(crate) fn run(&self, address: SocketAddr) -> Vec<String> {
        let path = |name: &str| self.path(name).display().to_string();
        let upstreams = self.cluster.addresses();
        let upstreams = upstreams
            .iter()
            .map(|it| format!("--upstream=https://{it}"));
        let mut arguments = vec![
            "run".to_owned(),
            format!("--issuer=https://{HOST}"),
            format!("--listen={address}"),
            format!("--tls-cert-file={}", path("tls/tls.crt")),
            format!("--tls-key-file={}", path("tls/tls.key")),
            format!("--set=mirror.ca-file={}", path("ca.crt")),
            format!("--set=mirror.token-file={}", path("token")),
            "--set=mirror.read-back=false".to_owned(),
        ];
        arguments.extend(upstreams);
        arguments
    }
}

/// A web server reads as another user.
fn readable() -> Permissions {
    Permissions::from_mode(0o755)
}

/// An address on which nobody listens.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The public host.
pub(crate) const HOST: &str = "oidc.example.com";
/// The path of the key set.
pub(crate) const JWKS: &str = "/openid/v1/jwks";
