//! What the checks ask of a server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ureq::Agent;

/// How long a server may take until it serves.
const PATIENCE: Duration = Duration::from_secs(60);

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).proxy(None).build().into()
}

/// Waits until `/health/ready` says yes. `alive` fails if there is nothing left to wait for.
pub(super) fn wait_until_ready(server: SocketAddr, mut alive: impl FnMut() -> Result<()>) -> Result<()> {
    let (agent, deadline) = (agent(), Instant::now() + PATIENCE);
    while !agent.get(format!("http://{server}/health/ready")).call().is_ok_and(|answer| answer.status() == 200) {
        alive()?;
        if Instant::now() > deadline {
            bail!("http://{server} is not ready within {PATIENCE:?}");
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Logs in. `create` also makes the account, which a server allows that only this machine reaches.
pub(super) fn log_in(server: SocketAddr, name: &str, password: &str, create: bool) -> Result<()> {
    let url = format!("http://{server}/session/login");
    let body = format!(r#"{{"username":"{name}","password":"{password}","create":{create}}}"#);
    let mut answer = agent().post(url).content_type("application/json").send(body).context("the login")?;
    let said = answer.body_mut().read_to_string()?;
    if answer.status() != 200 || !said.contains(r#""token":""#) {
        bail!("the login of {name} is answered with {}: {said}", answer.status());
    }
    Ok(())
}
