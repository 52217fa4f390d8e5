//! The program: reads the command line, does what it asks for, and sets the exit code.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use castellan_game::Game;

use crate::config::{Command, Config, Task};
use crate::{app, command, priority, telemetry};

/// The command line or a setting cannot be understood.
const USAGE: u8 = 2;

/// Runs the server of a game, with the settings of the command line and the environment.
pub fn run<G: Game>() -> ExitCode {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let files = app::problems_of_files::<G>;
    match Config::with_files(std::env::args_os(), &environment, G::OPTIONS, files) {
        // A closed pipe means that nobody reads any more.
        Ok(Command::Show(text)) => {
            io::stdout().write_all(text.as_bytes()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Ok(Command::Run(config, task)) => perform::<G>(*config, task),
        Err(errors) => {
            telemetry::complain(&errors);
            ExitCode::from(USAGE)
        }
    }
}

fn perform<G: Game>(config: Config, task: Task) -> ExitCode {
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("background")
        .on_thread_start(priority::stand_back)
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(work::<G>(config, task)));
    telemetry::finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::complain(&format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn work<G: Game>(config: Config, task: Task) -> anyhow::Result<()> {
    match task {
        Task::Serve => return app::serve::<G>(config).await,
        Task::Node => return app::node::<G>(config).await,
        Task::Gateway(replaced) => return app::gateway::<G>(config, replaced).await,
        _ => {}
    }
    telemetry::start_logs(&config.telemetry)?;
    if task == Task::Doctor {
        return app::doctor(&config, &mut io::stdout().lock()).await;
    }
    config.unknown.iter().for_each(|sentence| tracing::warn!("{sentence}"));
    command::run(&config, task, &mut io::stdin().lock(), &mut io::stdout().lock()).await
}
