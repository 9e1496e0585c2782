//! The address of the client as a load balancer in front passes it on: the PROXY protocol,
//! versions 1 and 2.

use std::{io, net::IpAddr};

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Reads the header and not a byte more. `None` when the load balancer speaks for itself.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<IpAddr>> {
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        let mut fixed = [0; 4];
        stream.read_exact(&mut fixed).await?;
        header.extend(fixed);
        let [_, _, high, low] = fixed;
        let rest = usize::from(u16::from_be_bytes([high, low]));
        if rest > MAX_V2_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let start = header.len();
        header.resize(start + rest, 0);
        stream
            .read_exact(header.get_mut(start..).unwrap_or_default())
            .await?;
    } else {
        // Its end is known only when it is there.
        while !header.ends_with(b"\r\n") {
            if header.len() == MAX_V1_BYTES || !header.starts_with(b"PROXY ") {
                return Err(io::ErrorKind::InvalidData.into());
            }
            header.push(stream.read_u8().await?);
        }
    }
    let parsed = ProxyHeader::parse(&header, ParseConfig::default());
    let (header, _) = parsed.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let client = header.proxied_address();
    Ok(client.map(|it| it.source.ip().to_canonical()))
}

/// What version 2 begins with; version 1 is longer.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1.
const MAX_V1_BYTES: usize = 107;
/// Far more than addresses and what load balancers add to them.
const MAX_V2_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_wait(rest in any::<Vec<u8>>(), start in 0..3_usize) {
            let start = [&b""[..], b"PROXY TCP4 ", &SIGNATURE][start];
            let bytes = [start, &rest].concat();
            prop_assert!(read(&mut bytes.as_slice()).now_or_never().is_some());
        }
    }

    async fn client(mut bytes: &[u8]) -> io::Result<(Option<IpAddr>, &[u8])> {
        let client = read(&mut bytes).await?;
        Ok((client, bytes))
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
        header.extend(addresses);
        header
    }

    #[tokio::test]
    async fn the_client_is_read_and_nothing_behind_it() {
        let four = v2(
            0x21,
            0x11,
            &[192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 1, 0xbb],
        );
        let own = v2(0x20, 0x00, &[]);
        let six = b"PROXY TCP6 2001:db8::7 2001:db8::1 12345 443\r\n";
        for (header, expected) in [
            (
                &b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n"[..],
                Some("192.0.2.7"),
            ),
            (six, Some("2001:db8::7")),
            (b"PROXY UNKNOWN\r\n", None),
            (&four, Some("192.0.2.7")),
            (&own, None),
        ] {
            let bytes = [header, b"\x16\x03\x01"].concat();
            let (found, rest) = client(&bytes).await.unwrap();
            assert_eq!(found, expected.map(|it| it.parse().unwrap()));
            assert_eq!(rest, b"\x16\x03\x01");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_after_few_bytes() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let huge = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00"[..],
            b"GET / HTTP/1.1\r\n",
            b"PROXY TCP4 192.0.2.300 10.0.0.1 1 2\r\n",
            b"PROXY",
            &long,
            &huge,
        ] {
            assert!(client(bytes).await.is_err(), "{}", bytes.escape_ascii());
        }
    }
}
