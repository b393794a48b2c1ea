//! lockgate: the program. Configuration, listeners, command line, wiring; what is worth reusing is in the crates
//! below it.

mod advice;
mod certs;
mod cli;
mod commands;
mod config;
mod demo;
mod entries;
mod folders;
mod listen;
mod logs;
mod output;
mod people;
mod recordings;
mod recovered;
mod serve;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;
use tikv_jemallocator::Jemalloc;

use crate::{
    cli::{Cli, Command},
    commands::Exit,
};

/// How many arenas it has, `.cargo/config.toml` says.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = cli.log.clone().unwrap_or_else(|| default_filter(&cli.command).to_owned());
    let done = logs::start(&filter, cli.log_format).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let done = runtime.block_on(commands::run(cli.command));
        // What still runs is of no use to anybody.
        runtime.shutdown_background();
        done
    });
    match done {
        Ok(Exit::Ok) => ExitCode::SUCCESS,
        Ok(Exit::Problem) => ExitCode::FAILURE,
        Ok(Exit::Unable) => ExitCode::from(2),
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Servers tell what they do; commands only what goes wrong.
fn default_filter(command: &Command) -> &'static str {
    match command {
        Command::Up(_) | Command::Proxy(_) | Command::Control(_) => "info",
        Command::Demo(args) if args.verbose => "info",
        Command::Demo(_)
        | Command::Config(_)
        | Command::Policy(_)
        | Command::Approvals(_)
        | Command::Sessions(_)
        | Command::Verify(_)
        | Command::Detect(_)
        | Command::Kubeconfig(_)
        | Command::Completions { .. } => "error",
    }
}
