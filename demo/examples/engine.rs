//! Runs the embedded engine until ctrl-c: `cargo run -p podium-demo --example engine -- 9200 /tmp/engine`.

use std::{env, error::Error, io::Write, net::Ipv4Addr, path::PathBuf};

use podium_demo::engine::Engine;
use tokio::{net::TcpListener, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let port: u16 = arguments.next().ok_or("which port?")?.parse()?;
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let engine = Engine::start(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?, &folder).await?;
    writeln!(std::io::stdout(), "ready http://{}", engine.address())?;
    signal::ctrl_c().await?;
    engine.stop().await;
    Ok(())
}
