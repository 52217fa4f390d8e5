//! One player, controlled from a terminal or by a script on standard input.

mod commands;
mod settings;
mod sheet;

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use castellan_client::ledger::Event;
use castellan_client::{Client, Credentials, Notice, Options, Outcome};
use castellan_srd::Srd;
use castellan_srd::wire::{Ack, Action, Character, CharacterId};
use tokio::sync::mpsc;

use crate::load::enter;
use commands::Command;
pub(crate) use settings::PlaySettings;

/// How long to wait for an answer before showing the prompt again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Lines read ahead of the game.
const LINES_MAX: usize = 16;

/// Plays until the input ends. Fails if an intent never got a final answer.
pub(crate) fn run(settings: &PlaySettings) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(settings))
}

async fn play(settings: &PlaySettings) -> Result<ExitCode> {
    let (username, password) = (settings.name.clone(), settings.password.clone());
    let credentials = Credentials { username, password, create: true };
    let trust = settings.trust.read()?;
    let options =
        Options { trust, codec: settings.codec.codec(), ..Options::new(settings.server.clone(), credentials) };
    let client = Client::start(options).await.with_context(|| format!("cannot log in as {}", settings.name))?;
    let character = choose(&client, settings).await?;
    println!("{}", sheet::sheet(&character));
    client.watch(character.id)?;
    let mut game =
        Game { client, character: character.id, shown: Some(character), prompt: std::io::stdin().is_terminal() };
    if game.prompt {
        println!("\n{}\n", commands::HELP);
    }
    let mut lines = read_lines()?;
    loop {
        game.prompt();
        let line = tokio::select! {
            line = lines.recv() => line,
            notice = game.client.notice() => {
                game.tell(notice)?;
                continue;
            }
        };
        let Some(line) = line else { break };
        if !game.prompt {
            println!("> {}", line.trim());
        }
        match commands::parse(&line) {
            Ok(Command::Act(action)) => game.act(action).await?,
            Ok(Command::Show) => game.show(),
            Ok(Command::Help) => println!("{}", commands::HELP),
            Ok(Command::Quit) => break,
            Ok(Command::Nothing) => {}
            Err(complaint) => println!("{complaint}"),
        }
    }
    game.leave().await
}

/// Finds the character to play: by name, or the first one; creates a missing one.
async fn choose(client: &Client<Srd>, settings: &PlaySettings) -> Result<Character> {
    let wanted = |character: &Character| settings.character.as_ref().is_none_or(|name| *name == character.name);
    if let Some(character) = client.characters().await?.into_iter().find(wanted) {
        return Ok(character);
    }
    let name = settings.character.as_deref().unwrap_or(&settings.name);
    println!("No such character yet; creating {name}.");
    Ok(client.create_character(&enter::new_character(name)).await?)
}

/// Reads standard input on its own thread, because such a read blocks.
fn read_lines() -> Result<mpsc::Receiver<String>> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

struct Game {
    client: Client<Srd>,
    character: CharacterId,
    shown: Option<Character>,
    prompt: bool,
}

impl Game {
    fn prompt(&self) {
        if self.prompt {
            print!("> ");
            // A missing prompt is no reason to end.
            let _ = std::io::stdout().flush();
        }
    }

    fn show(&self) {
        match (self.client.state(self.character), &self.shown) {
            (Some(state), _) => println!("{}", sheet::sheet(&state)),
            (None, Some(shown)) => println!("{}", sheet::sheet(shown)),
            (None, None) => println!("no state known yet; try again"),
        }
    }

    /// Sends an action and waits for its answer.
    async fn act(&mut self, action: Action) -> Result<()> {
        let mut intent = self.client.send_with(self.character, action, Ack::Applied)?;
        let id = intent.id();
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, async {
            loop {
                tokio::select! {
                    biased;
                    notice = self.client.notice() => self.tell_but(notice, id)?,
                    outcome = intent.answered() => return anyhow::Ok(outcome),
                }
            }
        });
        match answered.await {
            Err(_) => {
                println!("no answer yet; the client keeps the intent and resends it as needed until it is answered");
            }
            Ok(outcome) => match outcome? {
                Outcome::Applied(state) => println!("applied   {}", sheet::line(&state)),
                Outcome::Durable(version) => match self.client.state(self.character) {
                    Some(state) => println!("applied   {}", sheet::line(&state)),
                    None => println!("applied   and durable with version {version}"),
                },
                Outcome::Refused(state) => {
                    println!("conflict  the character has changed in the meantime; look at its state and decide again");
                    println!("          {}", sheet::line(&state));
                }
                Outcome::Rejected { code, message } => println!("rejected  {code}: {message}"),
                Outcome::Pending | Outcome::Unknown => bail!("the connection ended before the answer arrived"),
            },
        }
        Ok(())
    }

    /// Prints a notice, except answers to the given intent: its sender prints those.
    fn tell_but(&self, notice: Notice<Character>, own: castellan_srd::wire::RequestId) -> Result<()> {
        match &notice {
            Notice::Event(Event::Applied { id, .. } | Event::Refused { id, .. } | Event::Rejected { id, .. })
                if *id == own =>
            {
                Ok(())
            }
            _ => self.tell(notice),
        }
    }

    fn tell(&self, notice: Notice<Character>) -> Result<()> {
        match notice {
            Notice::Event(Event::State { state, asked: None }) => println!("pushed    {}", sheet::line(&state)),
            Notice::Event(Event::Refused { id, latest }) => {
                println!("conflict  intent {id} was refused after a reconnect");
                println!("          {}", sheet::line(&latest));
            }
            Notice::Event(Event::Denied { code, message, .. }) => println!("denied    {code}: {message}"),
            Notice::Event(Event::Closing(closing)) => println!("closing   {} ({})", closing.reason, closing.code),
            Notice::Offline { reason, retry_in } => {
                println!("offline   {reason}; reconnecting in {:.1} s", retry_in.as_secs_f64());
            }
            Notice::Stopped { reason } => bail!("the connection ended: {reason}"),
            Notice::Missed(count) => println!("missed    {count} notices: this terminal was too slow"),
            Notice::Event(_) => {}
        }
        Ok(())
    }

    /// Waits until everything is durable, then ends.
    async fn leave(self) -> Result<ExitCode> {
        let settled = tokio::time::timeout(ANSWER_TIMEOUT, self.client.settled()).await.is_ok();
        let kept = self.client.kept();
        self.client.close();
        if settled && kept == 0 {
            println!("everything is in the database");
            return Ok(ExitCode::SUCCESS);
        }
        bail!("{kept} intents may not be in the database; run `play` again to check");
    }
}
