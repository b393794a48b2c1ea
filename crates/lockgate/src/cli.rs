//! The command line. Every command that prints something prints JSON with `--json`.

mod approvals;
mod kubeconfig;
mod policy;
mod sessions;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::{
    approvals::ApprovalsCommand,
    kubeconfig::KubeconfigArgs,
    policy::{ExplainArgs, PolicyCommand},
    sessions::{Filter, RawSide, ReplayArgs, SessionsCommand, VerdictWord},
};

/// A gateway between agents or CI jobs and what they change: every request is authenticated, decided by
/// policy, held for people where the policy asks for them, and recorded as evidence.
#[derive(Debug, Parser)]
#[command(name = "lockgate", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What is logged to stderr: a level, or levels per module such as `info,lockgate_core=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "LOCKGATE_LOG", hide_env = true)]
    pub(crate) log: Option<String>,
    /// How the log looks: text on a terminal and JSON elsewhere, or always one of them
    #[arg(long, global = true, value_name = "FORMAT", default_value = "auto", hide_default_value = true)]
    pub(crate) log_format: LogFormat,
}

const EXAMPLES: &str = "\
Examples:
  lockgate demo                              see all of it work, in a temporary folder
  lockgate up --config lockgate.yaml         run it: gateway and control plane in one process
  lockgate config check lockgate.yaml        find mistakes before starting
  lockgate approvals list                    who waits for whom
  lockgate approvals approve <ID>            let one of them pass
  lockgate sessions search --ref 'refs/heads/main' --verdict deny
  lockgate sessions replay <EXCHANGE>        what was sent and answered, byte for byte
  lockgate kubeconfig prod --merge           let kubectl reach an upstream through it
  lockgate verify                            check that the recording is whole and unaltered

Exit status: 0 when all is well, 1 when a problem was found, 2 when the command makes no sense.";

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs everything in one process: the gateway and its control plane
    Up(ConfigArgs),
    /// Runs a gateway whose control plane runs elsewhere
    Proxy(ConfigArgs),
    /// Runs a control plane for gateways that run elsewhere
    Control(ConfigArgs),
    /// Shows all of it: a Git server, an identity provider and a gateway, with real pushes through them
    Demo(DemoArgs),
    /// Looks at a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Checks, explains and publishes the policy
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Shows what waits for people, and answers
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// Finds and shows what was done through the gateway
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Checks that recordings are whole and unaltered
    Verify(VerifyArgs),
    /// Finds the secrets in files or in what comes by a pipe, or masks them
    Detect(DetectArgs),
    /// Prints how kubectl reaches an upstream through the gateway, or adds it to a kubeconfig
    Kubeconfig(KubeconfigArgs),
    /// Prints completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The configuration of a process.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration
    #[arg(short, long, value_name = "FILE", env = "LOCKGATE_CONFIG", default_value = "lockgate.yaml")]
    pub(crate) config: PathBuf,
}

/// How a person's command reaches the control plane.
#[derive(Debug, Clone, Args)]
pub(crate) struct Reach {
    /// The configuration: says where the control plane is, and where recordings are
    #[arg(short, long, value_name = "FILE", env = "LOCKGATE_CONFIG", default_value = "lockgate.yaml")]
    pub(crate) config: PathBuf,
    /// A file with your own token; without it, the operator's on this machine
    #[arg(long, value_name = "FILE", env = "LOCKGATE_TOKEN_FILE", hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Checks a configuration and all that it refers to: secrets, certificates, the policy
    Check {
        /// The configuration; the same as `--config`
        #[arg(value_name = "FILE", conflicts_with = "config")]
        file: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockgate verify                                     the recordings of lockgate.yaml, to where its spool knows
                                                      that they end
  lockgate verify file:///var/lib/lockgate/recordings a store alone: what was deleted from its end is not missed
  lockgate verify --exchange <ID>                     one exchange, in the bundles that hold it")]
pub(crate) struct VerifyArgs {
    /// A store, `file:///directory` or `s3://bucket/prefix`, or a single bundle (`.lgr`); the one of the configuration
    #[arg(value_name = "STORE")]
    pub(crate) store: Option<String>,
    /// Only this exchange, and the bundles that hold it
    #[arg(long, value_name = "ID")]
    pub(crate) exchange: Option<String>,
    /// Only this session, and the bundles that hold it
    #[arg(long, value_name = "ID", conflicts_with = "exchange")]
    pub(crate) session: Option<String>,
    /// The configuration that names the store
    #[arg(short, long, value_name = "FILE", env = "LOCKGATE_CONFIG", default_value = "lockgate.yaml")]
    pub(crate) config: PathBuf,
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockgate detect .env build.log           what is found, where, by which rule; never the secret
  kubectl logs app | lockgate detect --mask -
  find . -type f -exec lockgate detect --json {} +

Exit status: 0 when nothing was found or what was found is masked, 1 when something was found, 2 when
a file could not be read.")]
pub(crate) struct DetectArgs {
    /// The files; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Prints the files with every secret replaced by `[MASKED:rule:tag]`
    #[arg(long)]
    pub(crate) mask: bool,
    /// Rules of your own, in TOML, beside the built-in ones
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// Prints the findings as JSON
    #[arg(long, conflicts_with = "mask")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Approves by itself, instead of waiting for a key
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Ends after the last step, instead of leaving everything running
    #[arg(long)]
    pub(crate) exit: bool,
    /// Shows the gateway's log as well
    #[arg(long)]
    pub(crate) verbose: bool,
}
