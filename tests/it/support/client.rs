//! A client that writes exactly the bytes it is told to.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::soon;

/// One connection to the gateway.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Read but not yet taken.
    ahead: Vec<u8>,
}

/// Sends bytes on a connection of their own and returns all that comes back until the gateway closes it.
pub(crate) async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut client = Client::connect(address).await;
    client.send(bytes).await;
    client.rest().await
}

/// Returns the status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

// === impl Client ===

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: soon(TcpStream::connect(address)).await.unwrap(), ahead: Vec::new() }
    }

    /// Sends bytes; a gateway that has hung up shows in what it answers.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(soon(self.stream.write_all(bytes.as_ref())).await);
    }

    /// Reads until the text has come, and returns everything up to its end.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        loop {
            let found = self.ahead.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                let taken = self.ahead.drain(..at + text.len()).collect();
                return String::from_utf8(taken).unwrap();
            }
            let before = self.ahead.len();
            let read = soon(self.stream.read_buf(&mut self.ahead)).await.unwrap_or(0);
            assert!(read > 0 && self.ahead.len() > before, "closed before {text:?}: {:?}", String::from_utf8_lossy(&self.ahead));
        }
    }

    /// Reads an answer's head, or what there is of it when the gateway hangs up before.
    pub(crate) async fn head(&mut self) -> String {
        while !self.ahead.windows(4).any(|window| window == b"\r\n\r\n") {
            if !soon(self.stream.read_buf(&mut self.ahead)).await.is_ok_and(|read| read > 0) {
                break;
            }
        }
        String::from_utf8_lossy(&self.ahead).into_owned()
    }

    /// Reads until the gateway closes or resets the connection.
    pub(crate) async fn rest(mut self) -> String {
        while soon(self.stream.read_buf(&mut self.ahead)).await.is_ok_and(|read| read > 0) {}
        String::from_utf8_lossy(&self.ahead).into_owned()
    }
}
