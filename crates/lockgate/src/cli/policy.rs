//! `lockgate policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Reach;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Checks a document and runs its tests; publishes nothing
    Check {
        /// The document
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Prints JSON
        #[arg(long)]
        json: bool,
    },
    /// Says what a document decides of a request, and why
    Explain(ExplainArgs),
    /// Makes a document the policy in force
    Publish {
        /// The document
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Why, for the audit
        #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
        comment: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Makes an earlier version the policy in force
    Rollback {
        /// The version; the one before the present
        version: Option<String>,
        /// Why, for the audit
        #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
        comment: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Shows the policy in force, or an earlier version
    Show {
        /// The version; the one in force
        version: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Lists what was published
    Versions {
        #[command(flatten)]
        reach: Reach,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lockgate policy explain policy.yaml --who agents git action=push ref=refs/heads/main
  lockgate policy explain policy.yaml --issuer github --subject repo:a/b --claim repository_owner_id=1234 \\
      git action=fetch repository=team/app")]
pub(crate) struct ExplainArgs {
    /// The document
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The protocol: git
    #[arg(value_name = "PROTOCOL")]
    pub(crate) protocol: String,
    /// The action and what it acts on, as in the tests of a document: `action=push ref=refs/heads/main`
    #[arg(value_name = "NAME=VALUE", required = true)]
    pub(crate) access: Vec<String>,
    /// The group that the caller is in: one of the document, or `group:NAME` for one of their token; may be repeated
    #[arg(long, value_name = "GROUP")]
    pub(crate) who: Vec<String>,
    /// The caller's issuer
    #[arg(long, default_value = "nobody", hide_default_value = true)]
    pub(crate) issuer: String,
    /// The caller's subject
    #[arg(long, default_value = "nobody", hide_default_value = true)]
    pub(crate) subject: String,
    /// A claim of the caller's token; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) claim: Vec<String>,
    /// The upstream
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) upstream: String,
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}
