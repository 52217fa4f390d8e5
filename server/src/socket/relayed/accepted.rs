//! A link on its way from the threads for HTTP to a socket thread.

use std::io;
use std::sync::Arc;

use castellan_game::Game;
use tokio::net::TcpStream;

use super::{House, RequestHandler, serve_link_over};
use crate::link::LinkStream;
use crate::node::Links;
use crate::socket::context::Context;
use crate::socket::line::{Line, settle};
use crate::socket::registry::Registry;

/// A link after its handshake.
pub struct AcceptedLink {
    /// The connection.
    pub line: Line,
    /// Bytes that were read after the handshake.
    pub leftover: Vec<u8>,
}

/// Serves a link until it ends.
pub async fn serve_link<G: Game>(
    accepted: AcceptedLink,
    links: Links,
    context: Arc<Context<G>>,
    registry: Arc<Registry>,
    requests: RequestHandler,
) {
    let AcceptedLink { line, leftover } = accepted;
    let house = House { context, registry, requests };
    let served: io::Result<()> = async {
        match line {
            Line::Plain(stream) => {
                let stream = LinkStream::new(TcpStream::from_std(stream)?, leftover);
                serve_link_over(stream, links, house).await;
            }
            Line::Tls(stream, tcp) => {
                let stream = LinkStream::new(settle(stream, tcp)?, leftover);
                // Boxed, so that plain links do not pay for its memory.
                Box::pin(serve_link_over(stream, links, house)).await;
            }
        }
        Ok(())
    }
    .await;
    if let Err(error) = served {
        tracing::warn!(%error, "cannot take over a link");
    }
}
