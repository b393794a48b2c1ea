//! `lockgate kubeconfig`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("user"), after_help = "\
Examples:
  lockgate kubeconfig prod > kubeconfig          as $LOCKGATE_TOKEN, in CI
  lockgate kubeconfig prod --merge --token-file /var/run/secrets/lockgate/token
                                                 in a pod: a projected token, read again when it changes
  lockgate kubeconfig prod --merge --token-command gcloud auth print-identity-token --audiences=lockgate
  lockgate kubeconfig prod --merge --exec kubelogin get-token --server-id lockgate
  lockgate kubeconfig --server https://gate.example/k8s/prod --ca ca.pem
                                                 without the gateway's configuration

The kubeconfig holds no token: it says where kubectl finds one.")]
pub(crate) struct KubeconfigArgs {
    /// The upstream, as the configuration names it; not needed where there is one of the kind `k8s`
    #[arg(value_name = "UPSTREAM")]
    pub(crate) upstream: Option<String>,
    /// The gateway's configuration
    #[arg(short, long, value_name = "FILE", env = "LOCKGATE_CONFIG", default_value = "lockgate.yaml")]
    pub(crate) config: PathBuf,
    /// The address of the upstream at the gateway; no configuration is read then
    #[arg(long, value_name = "URL", conflicts_with = "upstream")]
    pub(crate) server: Option<String>,
    /// Certificates in PEM by which the gateway is known; where it made its own, those of its authority
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The token is in this file
    #[arg(long, value_name = "FILE", group = "user")]
    pub(crate) token_file: Option<PathBuf>,
    /// The token is in this environment variable
    #[arg(long, value_name = "NAME", group = "user", default_value = "LOCKGATE_TOKEN")]
    pub(crate) token_env: String,
    /// This command prints the token; the rest of the line is its arguments
    #[arg(long, value_name = "COMMAND", group = "user", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) token_command: Option<Vec<String>>,
    /// This command prints an ExecCredential (client.authentication.k8s.io/v1); the rest of the line is its arguments
    #[arg(long, value_name = "COMMAND", group = "user", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) exec: Option<Vec<String>>,
    /// The namespace of commands that name none
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The name of the context, the cluster and the user: `lockgate-` and the upstream's
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Writes a new file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Adds it to a kubeconfig, the one of `--output`, else of $KUBECONFIG or ~/.kube/config; and makes it the current
    /// context
    #[arg(long)]
    pub(crate) merge: bool,
    /// Prints JSON
    #[arg(long, conflicts_with_all = ["output", "merge"])]
    pub(crate) json: bool,
}
