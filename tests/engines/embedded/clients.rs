//! The official Python clients against the embedded engine, from a virtual environment that is made when it is missing.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::rig::{embedded::Embedded, engines::skip};

/// Returns the environment's Python; what is missing is said in words.
fn python() -> Result<PathBuf, String> {
    let here = clients();
    let requirements = here.join("requirements.txt");
    let folder = home()?.join(".cache/podium-engines-clients");
    let python = folder.join("bin/python");
    let installed = folder.join("requirements.txt");
    let is_current = std::fs::read(&installed).ok() == std::fs::read(&requirements).ok();
    if python.is_file() && is_current {
        return Ok(python);
    }
    // Without its own pip, because Debian's Python comes without the module that makes one; the user's pip fills it.
    run(Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&folder))?;
    let pip = ["-m", "pip", "--python"];
    run(Command::new("python3").args(pip).arg(&python).args(["install", "--quiet", "--requirement"]).arg(&requirements))?;
    std::fs::copy(&requirements, &installed).map_err(|error| error.to_string())?;
    Ok(python)
}

#[expect(clippy::disallowed_methods, reason = "a test that keeps what it fetches asks for the user's folder")]
fn home() -> Result<PathBuf, String> {
    std::env::var_os("HOME").map(PathBuf::from).ok_or_else(|| "there is no HOME to keep the clients in".to_owned())
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/clients")
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?} cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(said) } else { Err(format!("{command:?}: {}\n{said}", output.status)) }
}

#[test]
fn the_official_clients_work() {
    let python = match python() {
        Ok(python) => python,
        Err(missing) => return skip(&format!("the official clients need python3 with pip and venv: {missing}")),
    };
    let embedded = Embedded::start();
    let said = run(Command::new(python).arg(clients().join("scenario.py")).arg(format!("http://{}", embedded.address)));
    let said = said.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(said.lines().last(), Some("ok"), "{said}");
}
