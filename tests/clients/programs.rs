//! The programs and what they need: each language's own package manager installs it once, outside this folder.

use std::{
    ffi::OsString,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest, Sha256};

use crate::{compare::Scenario, rig::engines::Product};

/// A language that has a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    JavaScript,
    Rust,
    Go,
    Java,
}

/// A scenario that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) language: Language,
    command: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, PathBuf)>,
}

/// Installs the language's clients where they are missing; what cannot be had is said in words.
pub(crate) fn ready(language: Language) -> Result<Program, String> {
    match language {
        Language::Python => python(),
        Language::JavaScript => javascript(),
        Language::Rust => rust(),
        Language::Go => go(),
        Language::Java => java(),
    }
}

fn python() -> Result<Program, String> {
    let sources = Language::Python.sources();
    let folder = installed(Language::Python, &["requirements.txt"], |folder| {
        let python = folder.join("bin/python");
        // Without its own pip, because Debian's Python comes without the module that makes one; the user's pip fills it.
        said_by(Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(folder))?;
        let mut install = Command::new("python3");
        install.args(["-m", "pip", "--python"]).arg(python);
        install.args(["install", "--quiet", "--only-binary", ":all:", "--requirement"]).arg(sources.join("requirements.txt"));
        said_by(&mut install).map(drop)
    })?;
    Ok(Program::new(Language::Python, folder.join("bin/python"), [sources.join("scenario.py").into()]))
}

fn javascript() -> Result<Program, String> {
    let sources = Language::JavaScript.sources();
    let listed = ["package.json", "package-lock.json"];
    let folder = installed(Language::JavaScript, &listed, |folder| {
        for name in listed {
            fs::copy(sources.join(name), folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
        }
        let mut install = Command::new("npm");
        install.args(["ci", "--silent", "--engine-strict", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
        said_by(&mut install).map(drop)
    })?;
    let program = Program::new(Language::JavaScript, "node".into(), [sources.join("scenario.js").into()]);
    Ok(Program { variables: vec![("NODE_PATH", folder.join("node_modules"))], ..program })
}

/// Cargo itself knows what is to be built again.
fn rust() -> Result<Program, String> {
    let folder = cache()?.join(Language::Rust.name());
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--target-dir"]).arg(&folder).current_dir(Language::Rust.sources());
    said_by(&mut build)?;
    Ok(Program::new(Language::Rust, folder.join("debug/scenario"), []))
}

/// Go itself knows what is to be built again.
fn go() -> Result<Program, String> {
    let built = cache()?.join(Language::Go.name()).join("scenario");
    let mut build = Command::new("go");
    build.args(["build", "-mod=readonly", "-buildvcs=false", "-o"]).arg(&built).arg(".").current_dir(Language::Go.sources());
    said_by(&mut build)?;
    Ok(Program::new(Language::Go, built, []))
}

/// Needs no more than the engines: Maven, a Java that runs them, and the compiler that comes from the same place as their jars.
fn java() -> Result<Program, String> {
    let sources = Language::Java.sources();
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/start.sh");
    let java = PathBuf::from(said_by(Command::new("bash").arg(starter).arg("--find-java"))?.trim()).join("bin/java");
    let classes = ["Scenario.java", "OnElasticsearch.java", "OnOpenSearch.java"];
    let folder = installed(Language::Java, &[&["pom.xml"], &classes[..]].concat(), |folder| {
        let maven = |goal: &str, more: &[String]| {
            said_by(Command::new("mvn").args(["-q", "-B", "-f"]).arg(sources.join("pom.xml")).arg(goal).args(more))
        };
        let into = |name: &str| format!("-DoutputDirectory={}", folder.join(name).display());
        maven("dependency:copy-dependencies", &[into("lib")])?;
        maven("dependency:copy", &["-Dartifact=org.eclipse.jdt:ecj:3.46.100".to_owned(), into("compiler")])?;
        let mut compile = Command::new(&java);
        compile.arg("-jar").arg(folder.join("compiler/ecj-3.46.100.jar")).args(["-21", "-nowarn", "-cp"]);
        compile.arg(jars(&folder.join("lib"))?).arg("-d").arg(folder.join("classes"));
        said_by(compile.args(classes.map(|class| sources.join(class)))).map(drop)
    })?;
    let mut class_path = folder.join("classes").into_os_string();
    class_path.push(":");
    class_path.push(folder.join("lib/*"));
    Ok(Program::new(Language::Java, java, ["-XX:TieredStopAtLevel=1".into(), "-cp".into(), class_path, "Scenario".into()]))
}

/// Returns a class path of a folder's files.
fn jars(folder: &Path) -> Result<String, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let paths: Vec<_> = entries.flatten().map(|entry| entry.path().display().to_string()).collect();
    Ok(paths.join(":"))
}

/// Returns the folder that `make` filled, now or before; its name covers what it was made from.
fn installed(language: Language, made_from: &[&str], make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let mut digest = Sha256::new();
    for name in made_from {
        digest.update(fs::read(language.sources().join(name)).map_err(|error| format!("{name}: {error}"))?);
    }
    let version: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let folder = cache()?.join(format!("{}-{version}", language.name()));
    let stamp = folder.join("complete");
    if !stamp.is_file() {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        make(&folder)?;
        fs::write(stamp, "").map_err(|error| error.to_string())?;
    }
    Ok(folder)
}

#[expect(clippy::disallowed_methods, reason = "a test that keeps what it fetches asks for the user's folder")]
fn cache() -> Result<PathBuf, String> {
    let home = std::env::var_os("HOME").ok_or("there is no HOME to keep the clients in")?;
    Ok(Path::new(&home).join(".cache/podium-clients"))
}

/// Runs a command that must succeed and returns what it printed.
fn said_by(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?} cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!("{command:?}: {}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

// === impl Language ===

impl Language {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Java => "java",
        }
    }

    fn sources(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(self.name())
    }
}

// === impl Program ===

impl Program {
    fn new(language: Language, command: PathBuf, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self { language, command, arguments: arguments.into_iter().collect(), variables: Vec::new() }
    }

    /// Runs the scenario against this address; it leaves no index behind.
    pub(crate) fn run(&self, address: SocketAddr, product: Product, index: &str) -> Scenario {
        let mut command = Command::new(&self.command);
        command.args(&self.arguments).arg(format!("http://{address}")).args([product.name(), index]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let printed = said_by(&mut command).unwrap_or_else(|failure| panic!("{failure}"));
        Scenario::read(&printed, &address.to_string()).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}
