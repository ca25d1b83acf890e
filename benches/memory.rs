//! Prints what a 1 GiB `_bulk` upload and a 1 GiB answer read slowly add to the resident size of the real binary.
//!
//! `cargo bench --bench memory` starts `podium serve` between a canned node and a plain client, both in this program.

use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const GIB: u64 = 1 << 30;
const MOST_ADDED: u64 = 64 << 20;
const BLOCK: usize = 64 << 10;

/// The gateway under test; stopped when dropped, however the measurement ends.
struct Podium(Child);

fn main() -> io::Result<()> {
    let node = TcpListener::bind("127.0.0.1:0")?;
    let node_port = node.local_addr()?.port();
    thread::spawn(move || serve_node(&node));
    let (port, admin_port) = (free_port()?, free_port()?);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("podium.toml");
    let text = format!(
        "[listener]\naddress = \"127.0.0.1:{port}\"\n\n[admin]\naddress = \"127.0.0.1:{admin_port}\"\n\n[upstream]\nnodes = [\"http://127.0.0.1:{node_port}\"]\n"
    );
    fs::write(&file, text)?;
    let serve = Command::new(env!("CARGO_BIN_EXE_podium")).arg("serve").arg("--config").arg(&file).stdout(Stdio::null()).spawn()?;
    let podium = Podium(serve);
    wait_for(port)?;
    // One small request first, so that what is measured is the stream and not the start.
    upload(port, 1 << 20)?;
    let before = podium.resident("VmRSS")?;
    upload(port, GIB)?;
    let uploaded = podium.resident("VmHWM")?;
    download(port)?;
    let downloaded = podium.resident("VmHWM")?;
    let mib = |bytes: u64| bytes >> 20;
    let added = downloaded.saturating_sub(before);
    let mut out = io::stdout().lock();
    writeln!(out, "resident before                {:>5} MiB", mib(before))?;
    writeln!(out, "peak after 1 GiB _bulk         {:>5} MiB", mib(uploaded))?;
    writeln!(out, "peak after 1 GiB answer        {:>5} MiB", mib(downloaded))?;
    writeln!(out, "added                          {:>5} MiB (at most {})", mib(added), mib(MOST_ADDED))?;
    if added < MOST_ADDED { Ok(()) } else { Err(io::Error::other("the gateway holds more than it may")) }
}

/// Takes what is sent, slowly at first; answers `GET` with a gibibyte and anything else with nothing.
fn serve_node(node: &TcpListener) {
    for stream in node.incoming().flatten() {
        thread::spawn(move || converse(stream));
    }
}

fn converse(mut stream: TcpStream) -> io::Result<()> {
    while let Some(head) = read_head(&mut stream)? {
        if head.starts_with("GET ") {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n")?;
            write_bytes(&mut stream, GIB)?;
        } else {
            let length = head.to_ascii_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            read_bytes(&mut stream, length.unwrap_or(0))?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
    }
    Ok(())
}

fn upload(port: u16, bytes: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "POST /_bulk HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: {bytes}\r\n\r\n")?;
    write_bytes(&mut stream, bytes)?;
    expect_ok(&mut stream)
}

fn download(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /i/_doc/1 HTTP/1.1\r\nHost: a\r\n\r\n")?;
    expect_ok(&mut stream)?;
    read_bytes(&mut stream, GIB)
}

fn expect_ok(stream: &mut TcpStream) -> io::Result<()> {
    match read_head(stream)? {
        Some(head) if head.starts_with("HTTP/1.1 200 ") => Ok(()),
        other => Err(io::Error::other(format!("unexpected answer: {other:?}"))),
    }
}

/// Reads a head byte by byte, so that nothing behind it is taken; `None` when the connection ends before one.
fn read_head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

fn write_bytes(stream: &mut TcpStream, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(b'x').take(bytes), stream).map(drop)
}

/// Reads this many bytes, with a rest of two seconds in the first gibibyte's first tenth: whoever buffers shows it here.
fn read_bytes(stream: &mut TcpStream, bytes: u64) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut left = bytes;
    let mut rested = bytes < GIB;
    while left > 0 {
        if !rested && bytes - left > GIB / 10 {
            rested = true;
            thread::sleep(Duration::from_secs(2));
        }
        let wanted = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match stream.read(&mut block[..wanted])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => left -= read as u64,
        }
    }
    Ok(())
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn wait_for(port: u16) -> io::Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begun.elapsed() > Duration::from_secs(20) {
            return Err(io::Error::other("podium does not listen"));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

// === impl Podium ===

impl Podium {
    /// Returns a size from the system's account of the gateway, in bytes.
    fn resident(&self, field: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|line| line.starts_with(field)).ok_or_else(|| io::Error::other("no such field"))?;
        let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
        kilobytes.map(|number| number << 10).ok_or_else(|| io::Error::other("not a number"))
    }
}

impl Drop for Podium {
    fn drop(&mut self) {
        // It is gone already when this fails.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
