//! What attackers send.

use std::iter;

pub(crate) fn garbage() -> Vec<u8> {
    iter::repeat_with(|| fastrand::u8(..)).take(512).collect()
}

pub(crate) fn oversized_head() -> Vec<u8> {
    let line = format!("X-Long: {}\r\n", "a".repeat(1000));
    [REQUEST_LINE, &line.repeat(1000), "\r\n"].concat().into()
}

/// A request with a body or two requests, depending on what is made of `fields`.
pub(crate) fn smuggling(fields: &str) -> Vec<u8> {
    [REQUEST_LINE, fields, "\r\n\r\n0\r\n\r\n", REQUEST]
        .concat()
        .into()
}

/// A head whose end is far away.
pub(crate) fn long_head() -> Vec<u8> {
    [REQUEST_LINE, "X-Slow: ", &"a".repeat(1000)]
        .concat()
        .into()
}

pub(crate) fn rapid_reset(stream: u32) -> Vec<u8> {
    let cancel = [0, 0, 0, 8];
    [request(stream), frame(RST_STREAM, 0, stream, &cancel)].concat()
}

pub(crate) fn made_you_reset(stream: u32) -> Vec<u8> {
    [request(stream), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
}

/// One head that never ends, whatever the number of the stream.
pub(crate) fn endless_head(number: u32) -> Vec<u8> {
    let kind = if number == 1 { HEADERS } else { CONTINUATION };
    frame(kind, 0, 1, &field("x-endless", 1000))
}

/// A field of 4000 bytes that goes to the table of the connection, and then is named 4000 times.
pub(crate) fn bomb(stream: u32) -> Vec<u8> {
    let mut field = field("x-bomb", 4000);
    field[0] = 0x40;
    let block = [&request_fields()[..], &field, &[0xbe; 4000]].concat();
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

pub(crate) fn ping(_: u32) -> Vec<u8> {
    frame(PING, 0, 0, &[0; 8])
}

pub(crate) fn settings(_: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// What a connection of HTTP/2 begins with.
pub(crate) fn preface() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings(0)].concat()
}

/// A GET of the document that everybody asks for.
fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &request_fields())
}

/// GET and https by their indices, path and authority by index and value (RFC 7541).
fn request_fields() -> Vec<u8> {
    let path = b"/openid/v1/jwks";
    let authority = b"oidc.example.com";
    [
        &[0x82, 0x87, 0x04, 15],
        &path[..],
        &[0x01, 16],
        &authority[..],
    ]
    .concat()
}

/// A literal field with a new name, for no table, and a value of this length (RFC 7541 section 5.1).
fn field(name: &str, length: u16) -> Vec<u8> {
    let rest = length - 127;
    let [low, high] = [rest % 128 + 128, rest / 128].map(|it| it.to_le_bytes()[0]);
    let size = u8::try_from(name.len()).unwrap_or(127);
    let value = vec![b'a'; length.into()];
    [&[0, size], name.as_bytes(), &[127, low, high], &value].concat()
}

/// One frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REQUEST_LINE: &str = "GET /openid/v1/jwks HTTP/1.1\r\nHost: oidc.example.com\r\n";
/// A request that is as it should be.
pub(crate) const REQUEST: &str = "GET /openid/v1/jwks HTTP/1.1\r\nHost: oidc.example.com\r\n\r\n";

/// Fields that leave in doubt where a request ends (RFC 9112 sections 2.2, 5.1, 5.2 and 6).
pub(crate) const AMBIGUOUS: [&str; 10] = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Content-Length: 5\r\nContent-Length: 0",
    "Content-Length: 5, 0",
    "Content-Length: +5",
    "Content-Length: 0x5",
    "Content-Length: 18446744073709551621",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: chunked, identity",
    "X: a\nTransfer-Encoding: chunked",
    "X: a\r\n Content-Length: 5",
];
