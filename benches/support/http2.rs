//! HTTP/2 at the cost of a benchmark: frames by hand (RFC 9113), one request, always the same
//! bytes, and of an answer's head only the status.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Failure, HOST, JWKS, Stream};

/// A connection with several requests in flight.
pub(crate) struct Http2 {
    stream: Stream,
    /// The header block of the request.
    request: Vec<u8>,
    next_id: u32,
    answers: Vec<Answer>,
    /// What is to be sent before the next read.
    outgoing: Vec<u8>,
    received: Vec<u8>,
    /// The part of `received` that was not looked at yet.
    unread: std::ops::Range<usize>,
    /// How much the server may still send on all streams.
    window: u32,
}

/// What came so far in answer to a request.
#[derive(Default)]
struct Answer {
    id: u32,
    has_status: bool,
    body: Vec<u8>,
}

impl Http2 {
    pub(crate) fn new(stream: Stream) -> Self {
        let mut outgoing = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // No push, and no limit but the connection's own.
        let settings = [&[0, 2, 0, 0, 0, 0, 0, 4][..], &MAX_WINDOW.to_be_bytes()].concat();
        frame(&mut outgoing, SETTINGS, 0, 0, &settings);
        Self {
            stream,
            request: request(),
            next_id: 1,
            answers: Vec::new(),
            outgoing,
            received: vec![0; BUFFER],
            unread: 0..0,
            window: INITIAL_WINDOW,
        }
    }

    /// Asks for the JWKS, with the next [`answer`](Self::answer) at the latest.
    pub(crate) fn ask(&mut self) {
        let flags = END_HEADERS | END_STREAM;
        frame(
            &mut self.outgoing,
            HEADERS,
            flags,
            self.next_id,
            &self.request,
        );
        let idle = self.answers.iter_mut().find(|answer| answer.id == 0);
        let answer = match idle {
            Some(answer) => answer,
            None => self.answers.push_mut(Answer::default()),
        };
        answer.id = self.next_id;
        answer.has_status = false;
        answer.body.clear();
        self.next_id += 2;
    }

    /// Waits for the first answer that is complete; gives back its body.
    pub(crate) async fn answer(&mut self) -> Result<&[u8], Failure> {
        loop {
            while let Some(frame) = self.next_frame() {
                if let Some(complete) = self.take(&frame)? {
                    return Ok(&self.answers[complete].body);
                }
            }
            self.exchange().await?;
        }
    }

    /// Sends what is to be sent, and reads more.
    async fn exchange(&mut self) -> Result<(), Failure> {
        if self.window < MAX_WINDOW / 2 {
            let more = MAX_WINDOW - self.window;
            frame(&mut self.outgoing, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
            self.window = MAX_WINDOW;
        }
        self.stream.write_all(&self.outgoing).await?;
        self.stream.flush().await?;
        self.outgoing.clear();
        self.received.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let read = self
            .stream
            .read(&mut self.received[self.unread.end..])
            .await?;
        if read == 0 {
            return Err("a connection ended before its answers did".into());
        }
        self.unread.end += read;
        Ok(())
    }

    fn next_frame(&mut self) -> Option<Frame> {
        let unread = &self.received[self.unread.clone()];
        let (head, rest) = unread.split_first_chunk::<9>()?;
        let [l0, l1, l2, kind, flags, id @ ..] = *head;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if rest.len() < length {
            return None;
        }
        let start = self.unread.start + 9;
        self.unread.start = start + length;
        Some(Frame {
            kind,
            flags,
            id: u32::from_be_bytes(id),
            payload: start..start + length,
        })
    }

    /// Takes in a frame; gives back which answer it completes.
    fn take(&mut self, arrived: &Frame) -> Result<Option<usize>, Failure> {
        let payload = &self.received[arrived.payload.clone()];
        match arrived.kind {
            DATA | HEADERS => {}
            SETTINGS if arrived.flags & ACK == 0 => {
                frame(&mut self.outgoing, SETTINGS, ACK, 0, &[]);
                return Ok(None);
            }
            PING if arrived.flags & ACK == 0 => {
                frame(&mut self.outgoing, PING, ACK, 0, payload);
                return Ok(None);
            }
            GOAWAY | RST_STREAM => return Err("the server ended a stream".into()),
            _ => return Ok(None),
        }
        let mut answers = self.answers.iter_mut();
        let at = answers.position(|answer| answer.id == arrived.id);
        let at = at.ok_or("an answer to nothing")?;
        let answer = &mut self.answers[at];
        if arrived.kind == HEADERS {
            // RFC 7541 appendix A: `:status: 200` has an index of its own, and comes first.
            if arrived.flags & END_HEADERS == 0 || payload.first() != Some(&0x88) {
                return Err("not a 200".into());
            }
            answer.has_status = true;
        } else {
            answer.body.extend_from_slice(payload);
            self.window -= u32::try_from(payload.len())?;
        }
        if arrived.flags & END_STREAM == 0 {
            return Ok(None);
        }
        answer.id = 0;
        if answer.has_status {
            Ok(Some(at))
        } else {
            Err("a body without a head".into())
        }
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    id: u32,
    payload: std::ops::Range<usize>,
}

/// Appends a frame.
fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, id: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("our own frames are short");
    to.extend_from_slice(&length.to_be_bytes()[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&id.to_be_bytes());
    to.extend_from_slice(payload);
}

/// The header block of a GET: two fields by their index, two by index and value (RFC 7541, without
/// the dynamic table, so that it is the same each time).
fn request() -> Vec<u8> {
    let (get, https, path, authority) = (0x82, 0x87, 0x04, 0x01);
    let mut block = vec![get, https];
    for (name, value) in [(path, JWKS), (authority, HOST)] {
        let length = u8::try_from(value.len()).expect("both are short");
        block.extend_from_slice(&[name, length]);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW: u32 = 65_535;
const MAX_WINDOW: u32 = (1 << 31) - 1;
const BUFFER: usize = 32 * 1024;
