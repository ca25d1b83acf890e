//! The real binary in front of an upstream; dropping it ends it.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long it may take until the models are there.
const READY: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// One running gateway.
pub struct Podium {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where operators connect.
    pub admin: SocketAddr,
    child: Child,
    _folder: TempDir,
}

// === impl Podium ===

impl Podium {
    /// Starts it in front of `upstream` with these models and rules (TOML), and returns once every model is there.
    ///
    /// # Errors
    /// It does not start, or is not ready in a minute.
    pub fn start(upstream: SocketAddr, models_and_rules: &str) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let [address, admin] = free_addresses()?;
        let text = format!(
            "[listener]\naddress = \"{address}\"\n[admin]\naddress = \"{admin}\"\n[upstream]\nnodes = [\"http://{upstream}\"]\n{models_and_rules}"
        );
        let file = folder.path().join("podium.toml");
        fs::write(&file, text)?;
        let child = Command::new(env!("CARGO_BIN_EXE_podium"))
            .args(["serve", "--config"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let podium = Self { address, admin, child, _folder: folder };
        wait_until_ready(admin)?;
        Ok(podium)
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Podium {
    fn drop(&mut self) {
        // It is gone already when this fails.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns once every model of the gateway with this admin port is there.
///
/// # Errors
/// They are not, in a minute.
pub fn wait_until_ready(admin: SocketAddr) -> io::Result<()> {
    let end = Instant::now() + READY;
    while !is_ready(admin) {
        if Instant::now() > end {
            return Err(io::Error::other("the gateway is not ready"));
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    Ok(())
}

fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(admin)?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    };
    ask().is_ok_and(|line| line.starts_with("HTTP/1.1 200 "))
}

/// Asks the system for addresses that nobody listens on; all are held before any is given back.
///
/// # Errors
/// No port is free.
pub fn free_addresses<const COUNT: usize>() -> io::Result<[SocketAddr; COUNT]> {
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); COUNT];
    let held = addresses.map(TcpListener::bind);
    for (address, listener) in addresses.iter_mut().zip(held) {
        *address = listener?.local_addr()?;
    }
    Ok(addresses)
}
