//! `lockgate sessions`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Reach;
use crate::entries::CUT_OFF;

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// Lists sessions: the exchanges of one run of one caller
    #[command(after_help = FILTERS)]
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        reach: Reach,
    },
    /// Lists exchanges: single requests and their answers
    #[command(after_help = FILTERS)]
    Search {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        reach: Reach,
    },
    /// Shows a session with its exchanges, or an exchange with its recording
    Show {
        /// A session's or an exchange's id
        id: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Prints an exchange from its recording: heads, bodies, times
    Replay(ReplayArgs),
    /// Adds to the index what it lacks of the recordings; for admins
    Reindex {
        /// Only what began since then
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
}

const FILTERS: &str = "\
A `*` in a value stands for any characters. Times are RFC 3339, or counted back from now.

Examples:
  lockgate sessions search --principal 'github:*' --repository team/app --verdict deny
  lockgate sessions search --ref 'refs/heads/release/*' --since 24h
  lockgate sessions list --upstream forge --since 2026-03-01T00:00:00Z";

/// Which exchanges are wanted: those to which everything applies.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Words that occur anywhere: in names, repositories, refs
    pub(crate) words: Vec<String>,
    /// Who: a subject, or `issuer:subject`
    #[arg(long, visible_alias = "user", value_name = "WHO")]
    pub(crate) principal: Option<String>,
    /// The session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// The upstream
    #[arg(long, value_name = "NAME")]
    pub(crate) upstream: Option<String>,
    /// The protocol
    #[arg(long, value_name = "NAME")]
    pub(crate) protocol: Option<String>,
    /// What was done: `push`, `fetch`
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// The repository
    #[arg(long, visible_alias = "resource", value_name = "NAME")]
    pub(crate) repository: Option<String>,
    /// The ref: `refs/heads/main`
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) reference: Option<String>,
    /// What the policy said: `permit`, `hold`, `deny`, `none`; may be repeated
    #[arg(long)]
    pub(crate) verdict: Vec<VerdictWord>,
    /// How it ended
    #[arg(long)]
    pub(crate) outcome: Option<OutcomeWord>,
    /// Not before
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 50, value_name = "COUNT")]
    pub(crate) limit: u32,
}

/// What the policy said.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum VerdictWord {
    /// It passed.
    Permit,
    /// It waited for people.
    Hold,
    /// It was refused.
    Deny,
    /// It did not come to a verdict.
    None,
}

/// How an exchange ended, in the words of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutcomeWord {
    /// The response reached the client whole.
    Complete,
    /// It was refused; the upstream did not see it.
    Refused,
    /// The client went away first.
    #[value(name = "client gone", alias = "client-gone")]
    ClientGone,
    /// The upstream could not be reached, or broke off.
    #[value(name = "upstream failed", alias = "upstream-failed")]
    UpstreamFailed,
    /// The gateway failed.
    Failed,
    /// It ended without saying how.
    Abandoned,
    /// The gateway ended in the midst of it.
    #[value(name = "cut off", alias = "cut-off")]
    CutOff,
}

impl OutcomeWord {
    /// The word in the index.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::ClientGone => "client gone",
            Self::UpstreamFailed => "upstream failed",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
            Self::CutOff => CUT_OFF,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockgate sessions replay <ID>                              heads and bodies as text, with times
  lockgate sessions replay <ID> --raw request > body         the exact bytes of the request's body
  lockgate sessions replay <ID> --into repo.git              a repository with what was pushed
  lockgate sessions replay <ID> --cast exec.cast             an exec, for `asciinema play exec.cast`
  lockgate sessions replay <ID> --follow --cast | asciinema play -
                                                             the same while it is under way")]
pub(crate) struct ReplayArgs {
    /// The exchange
    pub(crate) id: String,
    /// Prints the exact bytes of one body, and nothing else
    #[arg(long, value_name = "SIDE", conflicts_with_all = ["into", "json"])]
    pub(crate) raw: Option<RawSide>,
    /// Writes what was pushed into a new bare repository
    #[arg(long, value_name = "FOLDER", conflicts_with = "json")]
    pub(crate) into: Option<PathBuf>,
    /// Writes the terminal of an exec or attach as asciicast v2; to stdout, or into a new file
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    #[arg(conflicts_with_all = ["into", "json", "raw"])]
    pub(crate) cast: Option<PathBuf>,
    /// Goes on until the exchange ends, where it is under way
    #[arg(short, long, conflicts_with_all = ["into", "raw"])]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RawSide {
    /// From the client.
    Request,
    /// To the client.
    Response,
}
