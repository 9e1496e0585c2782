//! HTTP/1.1 at the cost of a benchmark: one request, always the same, and only status and length
//! of the answer are understood (RFC 9112).

use std::ops::Range;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Failure, HOST, JWKS, Stream};

/// A connection on which one request follows the other.
pub(crate) struct Http1 {
    stream: Stream,
    request: String,
    received: Vec<u8>,
}

impl Http1 {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            request: format!("GET {JWKS} HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n\r\n"),
            received: vec![0; MAX_ANSWER],
        }
    }

    /// Asks for the JWKS; gives back its bytes.
    pub(crate) async fn get(&mut self) -> Result<&[u8], Failure> {
        self.stream.write_all(self.request.as_bytes()).await?;
        self.stream.flush().await?;
        let mut length = 0;
        loop {
            let read = self.stream.read(&mut self.received[length..]).await?;
            if read == 0 {
                return Err("a connection ended before its answer did".into());
            }
            length += read;
            match body(&self.received[..length])? {
                Some(body) if body.end == length => return Ok(&self.received[body]),
                Some(body) if body.end < length => return Err("more came than an answer".into()),
                Some(_) | None => {}
            }
        }
    }

    /// Says good-bye as clients do: without waiting for the server's.
    pub(crate) async fn close(mut self) -> Result<(), Failure> {
        Ok(self.stream.shutdown().await?)
    }
}

/// Where the body of an answer is, as soon as the head is complete.
fn body(answer: &[u8]) -> Result<Option<Range<usize>>, Failure> {
    let Some(head) = answer.windows(4).position(|it| it == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, start) = (str::from_utf8(&answer[..head])?, head + 4);
    let mut lines = head.split("\r\n");
    if lines.next() != Some("HTTP/1.1 200 OK") {
        return Err(format!("not a 200: {head}").into());
    }
    let length = lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = length.ok_or("an answer without a length")?;
    Ok(Some(start..start + length.parse::<usize>()?))
}

const MAX_ANSWER: usize = 16 * 1024;
