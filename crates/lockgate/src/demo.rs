//! `lockgate demo`: a real Git server, a real identity provider and a real gateway in a temporary folder, and a
//! real `git` that goes through them. Every step shows the command, what it prints, and checks that it did what
//! the title says.

mod git_server;
mod http;
mod idp;
mod stage;
mod story;
mod world;

use anyhow::{Context as _, Result};

use self::{stage::Stage, story::Story, world::World};
use crate::{cli::DemoArgs, output::say};

/// Tells the story; without `--exit` leaves everything running until Ctrl-C.
pub(crate) async fn run(args: &DemoArgs) -> Result<()> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::select! {
        told = tell(args) => told,
        signal = interrupted => {
            say!("");
            signal.context("Ctrl-C can't be noticed")
        }
    }
}

async fn tell(args: &DemoArgs) -> Result<()> {
    let world = World::start().await?;
    let mut stage = Stage::new(world.git_config.clone(), world.lockgate_config.clone())?;
    Story { world: &world, yes: args.yes }.tell(&mut stage).await?;
    if args.exit {
        world.gateway.stop().await;
        return Ok(());
    }
    say!("\n{}", stage::bold("Everything goes on running until Ctrl-C. To try it by hand:"));
    say!("  export LOCKGATE_CONFIG={}", world.lockgate_config.display());
    say!("  export GIT_CONFIG_GLOBAL={}", world.git_config.display());
    say!("  alias lockgate={}", stage.program.display());
    say!("  git clone {}team/app.git && cd app", world::FORGE);
    say!("  git commit --allow-empty -m 'By hand' && git push origin HEAD:main      # it waits; meanwhile:");
    say!("  lockgate approvals list");
    say!("  lockgate sessions list");
    say!(
        "  lockgate policy explain {} git action=push ref=refs/heads/main --who agents",
        world.path("policy.yaml").display()
    );
    std::future::pending().await
}
