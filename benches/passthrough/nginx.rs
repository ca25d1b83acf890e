//! nginx as an upstream that serves files, and as the proxy that Podium is compared with; dropping it ends it.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// One running nginx.
pub struct Nginx {
    master: Child,
    _folder: TempDir,
}

/// Returns the path of an answer that [`Nginx::files`] serves.
pub fn path(answer: &str) -> String {
    format!("/{}", answer.replace(' ', ""))
}

// === impl Nginx ===

impl Nginx {
    /// Starts one process that serves an answer of each size, by `sendfile` from the page cache.
    pub fn files(address: SocketAddr, answers: &[(&str, usize)]) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        for (answer, size) in answers {
            fs::write(folder.path().join(&path(answer)[1..]), vec![b'x'; *size])?;
        }
        let root = folder.path().display();
        // One process is enough: it costs a fraction of what either proxy does.
        let server = format!(
            "sendfile on; open_file_cache max=10; default_type application/json; server {{ listen {address} backlog=4096; root {root}; }}"
        );
        Self::start(folder, address, 1, &server)
    }

    /// Starts a proxy in front of `upstream`: a process for each processor, connections kept, everything else as nginx has it.
    pub fn proxy(address: SocketAddr, upstream: SocketAddr) -> io::Result<Self> {
        let server = format!(
            r#"upstream engine {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}
            server {{ listen {address} backlog=4096;
                location / {{ proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}"#
        );
        let processors = thread::available_parallelism()?.get();
        Self::start(tempfile::tempdir()?, address, processors, &server)
    }

    fn start(folder: TempDir, address: SocketAddr, workers: usize, server: &str) -> io::Result<Self> {
        let path = folder.path();
        let configuration = path.join("nginx.conf");
        fs::write(&configuration, text(path, workers, server))?;
        // The master may run as root, whose workers are somebody else.
        open_to_all(path)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&configuration).stdin(Stdio::null()).stderr(Stdio::null());
        let master = command
            .spawn()
            .map_err(|error| io::Error::other(format!("nginx: {error}; install it, as by `apt-get install nginx-light`")))?;
        let nginx = Self { master, _folder: folder };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > end {
                return Err(io::Error::other("nginx does not listen"));
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        Ok(nginx)
    }

    /// The processes that do the work.
    pub fn workers(&self) -> io::Result<Vec<u32>> {
        let master = self.master.id();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        Ok(children.split_whitespace().filter_map(|process| process.parse().ok()).collect())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that the master ends its workers too; what is gone already is no matter.
        drop(Command::new("kill").arg(self.master.id().to_string()).status());
        drop(self.master.wait());
    }
}

fn text(folder: &Path, workers: usize, server: &str) -> String {
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {folder}/{name};")).concat();
    format!(
        "daemon off; worker_processes {workers}; error_log /dev/null; pid {folder}/pid;\nevents {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; {temporary}\n{server} }}\n"
    )
}

fn open_to_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}
