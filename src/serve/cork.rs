//! A stream that sends what is written to it in one turn of its task all at once.
//!
//! h2 flushes each DATA frame by itself, so the answers to requests that came together would each
//! be a TLS record and a system call of their own.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The turns of a task: how often it was polled.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<AtomicU64>);

impl Turns {
    /// Runs a future and counts its turns.
    pub(super) async fn run<F: Future>(&self, mut future: Pin<&mut F>) -> F::Output {
        poll_fn(|context| {
            self.0.fetch_add(1, Relaxed);
            future.as_mut().poll(context)
        })
        .await
    }

    fn present(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Holds back what is written in one turn until it is read in the next one, which it asks for.
/// Whoever uses it must read in each turn, as an HTTP/2 connection does.
#[derive(Debug)]
pub(super) struct Corked<S> {
    stream: S,
    /// `None` holds nothing back.
    turns: Option<Turns>,
    held: Vec<u8>,
    /// How much of it is sent.
    sent: usize,
    /// When something was last held back.
    turn: u64,
    /// Whether the peer takes less than it is sent.
    is_stalled: bool,
}

impl<S> Corked<S> {
    pub(super) fn new(stream: S, turns: Option<Turns>) -> Self {
        Self {
            stream,
            turns,
            held: Vec::new(),
            sent: 0,
            turn: 0,
            is_stalled: false,
        }
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    /// Sends all that is held.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_stalled = true;
        while let Some(rest @ [_, ..]) = self.held.get(self.sent..) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        // An idle connection keeps no buffer.
        (self.held, self.sent) = (Vec::new(), 0);
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.is_stalled = false;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let turn = self.turns.as_ref().map(Turns::present);
        if !self.held.is_empty()
            && turn != Some(self.turn)
            && let Poll::Ready(Err(error)) = self.poll_send(context)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(turn) = self.turns.as_ref().map(Turns::present) else {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        };
        if self.is_stalled || self.held.len() >= HELD_BYTES {
            ready!(self.poll_send(context))?;
        }
        self.turn = turn;
        let before = self.held.len();
        for slice in slices {
            self.held.extend_from_slice(slice);
        }
        context.waker().wake_by_ref();
        Poll::Ready(Ok(self.held.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.turns {
            None => Pin::new(&mut self.stream).poll_flush(context),
            Some(_) if self.is_stalled => self.poll_send(context),
            // It is sent in the next turn.
            Some(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// How much is held at the most, but for the last write: a TLS record.
const HELD_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_written_in_one_turn_is_sent_in_the_next() {
        let (mut peer, stream) = duplex(1 << 20);
        let turns = Turns::default();
        let mut corked = Corked::new(stream, Some(turns.clone()));
        for byte in 0..3 {
            corked.write_all(&[byte; 10]).await.unwrap();
            corked.flush().await.unwrap();
        }
        let mut received = [9; 30];
        for _ in 0..2 {
            assert!(peer.read(&mut received).now_or_never().is_none());
            peer.write_all(b"x").await.unwrap();
            corked.read_u8().await.unwrap();
        }
        let mut reading = pin!(corked.read_u8());
        assert!(turns.run(reading.as_mut()).now_or_never().is_none());
        peer.read_exact(&mut received).await.unwrap();
        assert_eq!(received.to_vec(), [[0; 10], [1; 10], [2; 10]].concat());
    }

    #[tokio::test]
    async fn a_peer_that_takes_little_holds_the_writer_up_and_loses_nothing() {
        let (mut peer, stream) = duplex(100);
        let sent: Vec<u8> = (0..200_000_u32).map(|it| it.to_le_bytes()[0]).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let mut corked = Corked::new(stream, Some(Turns::default()));
            for chunk in sent.chunks(1000) {
                corked.write_all(chunk).await.unwrap();
                corked.flush().await.unwrap();
                assert!(corked.held.len() <= HELD_BYTES + 1000);
            }
            corked.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        peer.read_to_end(&mut received).await.unwrap();
        writing.await.unwrap();
        assert!(received == expected);
    }
}
