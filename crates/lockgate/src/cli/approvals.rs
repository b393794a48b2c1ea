//! `lockgate approvals`.

use clap::Subcommand;

use super::Reach;

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// Lists what waits for people
    List {
        /// Those that were answered, used or have expired as well
        #[arg(short, long)]
        all: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Shows what is asked for: who, what changes, the commits
    Show {
        /// The approval
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Lets it pass
    Approve {
        /// The approval
        id: String,
        /// Why, for the audit
        #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Refuses it; whoever asked is told the reason
    Deny {
        /// The approval
        id: String,
        /// Why
        #[arg(short = 'm', long)]
        reason: String,
        #[command(flatten)]
        reach: Reach,
    },
}
