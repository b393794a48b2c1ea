//! What each command does. A command prints what was asked for on stdout, and what went wrong on stderr.

mod approvals;
mod config;
mod detect;
mod kubeconfig;
mod policy;
mod pushes;
mod sessions;
mod verify;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::{
    cli::{Cli, Command, ConfigArgs},
    config::Config,
    demo, serve, wiring,
};

/// How a command ended that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Ok,
    /// It found what is not well, and said so.
    Problem,
    /// It could not look at all that it was given, and said so.
    Unable,
}

/// Runs a command.
pub(crate) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Up(args) => serve::up(load(&args)?).await?,
        Command::Proxy(args) => serve::proxy(load(&args)?).await?,
        Command::Control(args) => serve::control(load(&args)?).await?,
        Command::Demo(args) => demo::run(&args).await?,
        Command::Config(command) => return config::run(&command),
        Command::Policy(command) => return policy::run(command).await,
        Command::Approvals(command) => approvals::run(command).await?,
        Command::Sessions(command) => return sessions::run(command).await,
        Command::Verify(args) => return verify::run(&args).await,
        Command::Detect(args) => return detect::run(&args),
        Command::Kubeconfig(args) => kubeconfig::run(&args)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lockgate", &mut script);
            crate::output::bytes(&script);
        }
    }
    Ok(Exit::Ok)
}

fn load(args: &ConfigArgs) -> Result<Config> {
    Ok(Config::load(&args.config, &wiring::kinds())?)
}
