//! How a client shows who it is.

use std::path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::cli::KubeconfigArgs;

/// The API by which commands give credentials.
const API: &str = "client.authentication.k8s.io/v1";

/// Prints an ExecCredential; a token is of letters that JSON takes as they are (RFC 7515, section 7.1).
const PRINT: &str = concat!(
    r#"printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "#,
    r#""$token""#,
);

/// The `user` of a kubeconfig.
pub(super) fn of(args: &KubeconfigArgs) -> Result<Value> {
    if let Some(file) = &args.token_file {
        // kubectl takes it as relative to the kubeconfig.
        let file = path::absolute(file)?;
        let file = file.to_str().with_context(|| format!("{} is no path in UTF-8", file.display()))?;
        return Ok(json!({ "tokenFile": file }));
    }
    if let Some(command) = &args.exec {
        return exec(command, "IfAvailable");
    }
    if let Some(command) = &args.token_command {
        // `sh` is the name of the script, and the rest its arguments.
        let script = format!("token=$(\"$@\") || exit; {PRINT}");
        let words = ["sh", "-c", &script, "sh"].map(str::to_owned);
        return exec(&[&words[..], command].concat(), "IfAvailable");
    }
    let name = &args.token_env;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    ensure!(
        name.chars().all(is_name) && name.starts_with(|c: char| !c.is_ascii_digit()),
        "`{name}` is no name of an environment variable"
    );
    let script = format!("token=${{{name}:?holds no token for lockgate}}; {PRINT}");
    exec(&["sh", "-c", &script].map(str::to_owned), "Never")
}

fn exec(command: &[String], interactive: &str) -> Result<Value> {
    let (program, arguments) = command.split_first().context("a command has a name")?;
    ensure!(!program.is_empty(), "a command has a name");
    Ok(json!({ "exec": {
        "apiVersion": API,
        "command": program,
        "args": arguments,
        "interactiveMode": interactive,
    } }))
}
