//! The reference for the server: WebSocket echoes without any other work.
//!
//! Both answer every binary message with one of a fixed size, as large as the server's answers.

use std::net::SocketAddr;

use anyhow::Result;
use castellan_srd::wire::limits::CLIENT_FRAME_BYTES_MAX;
use clap::ValueEnum;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::frame::APPLIED;

/// Read buffer of the gathered echo, in bytes. Fits a batch of intents; every read first fills it with zeros.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Messages that the gathered echo answers before it flushes: more than any load has in flight.
const GATHER_MAX: usize = 256;

/// How an echo reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Like the library's example: one message, one answer, one flush, default buffers, default runtime.
    Plain,
    /// A small read buffer and one thread; answers everything that was read, then flushes once.
    Gathered,
}

/// Echoes until killed. Prints its address on the first line.
///
/// # Errors
///
/// Any error of the operating system.
pub fn run(mode: Mode, answer_bytes: usize) -> Result<()> {
    let runtime = match mode {
        Mode::Plain => tokio::runtime::Builder::new_multi_thread().enable_all().build()?,
        Mode::Gathered => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        println!("listening on {}", listener.local_addr()?);
        let answer = answer(answer_bytes);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = answer.clone();
            // An error ends the connection's task; the load notices it.
            match mode {
                Mode::Plain => drop(tokio::spawn(plain(stream, answer))),
                Mode::Gathered => drop(tokio::spawn(gathered(stream, answer))),
            }
        }
    })
}

/// An answer that the load accepts as the server's.
fn answer(bytes: usize) -> Bytes {
    let mut answer = APPLIED.to_vec();
    answer.resize(bytes.max(APPLIED.len()), 0);
    Bytes::from(answer)
}

async fn plain(stream: TcpStream, answer: Bytes) -> Result<(), Error> {
    let mut socket = accept_async_with_config(stream, None).await?;
    while let Some(message) = socket.next().await {
        if message?.is_binary() {
            socket.send(Message::Binary(answer.clone())).await?;
        }
    }
    Ok(())
}

async fn gathered(stream: TcpStream, answer: Bytes) -> Result<(), Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(CLIENT_FRAME_BYTES_MAX))
        .max_frame_size(Some(CLIENT_FRAME_BYTES_MAX));
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await {
        let mut message = message;
        // A message beyond the limit stays in the socket: every message that is taken is answered.
        for left in (0..GATHER_MAX).rev() {
            if message?.is_binary() {
                socket.feed(Message::Binary(answer.clone())).await?;
            }
            let next = if left > 0 { socket.next().now_or_never() } else { None };
            match next {
                Some(Some(next)) => message = next,
                Some(None) => return Ok(()),
                None => break,
            }
        }
        socket.flush().await?;
    }
    Ok(())
}
