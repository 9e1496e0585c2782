//! A connection to an API server: HTTP/1.1 over TLS, one document after the other.
//!
//! A process may have ten thousand of them, and they idle between two rounds. So what stays of one
//! is its TLS session; the buffers that frame messages are made for each document and go with it,
//! which HTTP/2 does not allow. One upstream has one connection, so that nothing that is meant for
//! it can reach another host.

use std::{error::Error, io, net::SocketAddr, pin::pin, sync::Arc};

use bytes::Bytes;
use futures_util::future::{Either, select, select_ok};
use http::{
    HeaderValue, Request, Response,
    header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT},
};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Duration, sleep},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::{Host, Position, Url};

/// What went wrong below HTTP.
pub(super) type TransportError = Box<dyn Error + Send + Sync>;

/// An open connection on which nothing is under way.
#[derive(Debug)]
pub(super) struct Connection(TlsStream<TcpStream>);

impl Connection {
    /// Connects to the host of `url` and expects a certificate for that of `base`.
    pub(super) async fn open(url: &Url, base: &Url, tls: &Arc<ClientConfig>) -> io::Result<Self> {
        let stream = dial(url).await?;
        stream.set_nodelay(true)?;
        let name = server_name(base)?;
        let tls = TlsConnector::from(Arc::clone(tls));
        Ok(Self(tls.connect(name, stream).await?))
    }

    /// Asks for `url` and hands the answer to `read`; gives back what that returns and the
    /// connection, unless it is used up.
    ///
    /// # Errors
    ///
    /// [`TransportError`] when there is no answer, not even a bad one.
    pub(super) async fn get<T, F: Future<Output = T>>(
        self,
        url: &Url,
        authorization: Option<&HeaderValue>,
        read: impl FnOnce(Response<Incoming>) -> F,
    ) -> Result<(T, Option<Self>), TransportError> {
        let request = request(url, authorization)?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(self.0)).await?;
        let exchange = async { Ok(read(sender.send_request(request).await?).await) };
        match select(pin!(exchange), driver).await {
            Either::Left((answer, driver)) => {
                let parts = driver.into_parts();
                let is_at_rest = parts.read_buf.is_empty();
                Ok((answer?, is_at_rest.then(|| Self(parts.io.into_inner()))))
            }
            // The server has closed it, perhaps behind a good answer.
            Either::Right((closed, exchange)) => match (exchange.await, closed) {
                (Ok(answer), _) => Ok((answer, None)),
                (Err(_), Err(error)) => Err(error.into()),
                (Err(error), Ok(())) => Err(error),
            },
        }
    }
}

fn request(
    url: &Url,
    authorization: Option<&HeaderValue>,
) -> Result<Request<Empty<Bytes>>, http::Error> {
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let mut request = Request::get(&url[Position::BeforePath..Position::AfterPath])
        .header(HOST, host)
        .header(ACCEPT, ACCEPTED)
        .header(USER_AGENT, AGENT);
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    request.body(Empty::new())
}

/// Connects to the first address that answers; another one has its turn when those before it take
/// long (RFC 8305 section 5).
async fn dial(url: &Url) -> io::Result<TcpStream> {
    // An IPv6 address without its brackets.
    let host = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => url.host_str().unwrap_or_default().to_owned(),
    };
    let port = url.port_or_known_default().unwrap_or_default();
    let addresses = lookup_host((host, port)).await?;
    let attempt = |(turn, address): (u32, SocketAddr)| {
        Box::pin(async move {
            sleep(TURN * turn).await;
            TcpStream::connect(address).await
        })
    };
    let attempts: Vec<_> = (0..).zip(addresses).map(attempt).collect();
    if attempts.is_empty() {
        return Err(io::Error::other("the name has no address"));
    }
    Ok(select_ok(attempts).await?.0)
}

fn server_name(url: &Url) -> io::Result<ServerName<'static>> {
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(ServerName::IpAddress(address.into())),
        Some(Host::Ipv6(address)) => Ok(ServerName::IpAddress(address.into())),
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(io::Error::other),
        None => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// How long an address has before the next one is tried beside it.
const TURN: Duration = Duration::from_millis(250);
/// kube-apiserver has the keys only as `application/jwk-set+json`, and answers 406 to a client
/// that accepts only `application/json`.
const ACCEPTED: &str = "application/jwk-set+json, application/json;q=0.9, */*;q=0.1";
const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_host_and_the_path_apart() {
        for (url, host, path) in [
            (
                "https://10.0.0.11:6443/openid/v1/jwks",
                "10.0.0.11:6443",
                "/openid/v1/jwks",
            ),
            ("https://[fd00::1]/a", "[fd00::1]", "/a"),
            ("https://kubernetes:443/k8s/a", "kubernetes", "/k8s/a"),
        ] {
            let request = request(&Url::parse(url).unwrap(), None).unwrap();
            assert_eq!(
                (&request.headers()[HOST], request.uri().path()),
                (&host.parse().unwrap(), path)
            );
        }
    }

    #[tokio::test]
    async fn the_first_address_that_answers_is_taken() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Of the addresses of this name, nobody listens on the one of IPv6.
        let url = format!("https://localhost:{}", address.port());
        let stream = dial(&Url::parse(&url).unwrap()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    }
}
