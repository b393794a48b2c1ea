//! Kubernetes' own tests of kubectl, `test/cmd`, run directly against an API server and once more through lockgate:
//! whatever passes directly must pass through it.
//!
//! The scripts come from the module `k8s.io/kubernetes` in the version that `crates/testkit/k8s/go.mod` pins; nothing
//! of them is in this repository. They start etcd, the API server and its controllers themselves. One line is added to
//! them, which reads `kubectl_suite/hook.sh`: it starts lockgate, and leads what follows to it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::git_suite::free_port;
use crate::{cmd, setup};

const HOOK: &str = include_str!("kubectl_suite/hook.sh");

/// The line of the script that runs all with which the tests begin.
const TESTS: &str = "\nrunTests\n";

/// What of the module the tests read.
const PARTS: [&str; 5] =
    ["hack", "test/cmd", "test/fixtures", "test/e2e/testing-manifests", "third_party/forked/shell2junit"];

/// What passes directly alone, and why that is right.
const DIRECTLY_ALONE: [(&str, &str); 2] = [
    ("exec_credentials", "callers show tokens to lockgate, never certificates"),
    ("impersonation", "lockgate alone says who calls"),
];

/// Everything passes.
const POLICY: &str = "\
version: 1
rules:
  - id: everything
    match: { k8s: { action: [read, write, connect] } }
    decide: allow
";
/// And this: Secrets are masked.
const MASKED: &str = "  \
  - id: secrets
    match: { k8s: { resources: [secrets], verbs: [get, list, watch] } }
    decide: allow
    oblige: { mask: [all-but-helm] }
";

/// Runs these functions (`pod` is `run_pod_tests`), all where none is named, and prints a table.
///
/// With `masked`, lockgate masks Secrets: tests that read them fail then, and no others should.
pub(crate) fn run(masked: bool, functions: &[String]) -> Result<()> {
    let setup::KubectlSuite { source, programs } = setup::for_kubectl_suite()?;
    cmd::run(&mut cmd::cargo(&["build", "--package", "lockgate"]))?;
    let functions = if functions.is_empty() { all(&source)? } else { functions.to_vec() };
    let suite = Suite { source, programs, functions, place: cmd::target().join("kubectl-suite") };
    let directly = suite.run("directly", None)?;
    let through = suite.run("through", Some(&[POLICY, if masked { MASKED } else { "" }].concat()))?;

    println!("{:44} {:>14} {:>14}", "function (successful checks)", "directly", "through");
    let mut lost = Vec::new();
    for (function, outcome) in &directly {
        let other = through.get(function).copied().unwrap_or_default();
        let reason =
            DIRECTLY_ALONE.iter().find(|(name, _)| name == function).map_or("", |(_, reason)| reason);
        println!("{function:44} {:>14} {:>14}  {reason}", outcome.to_string(), other.to_string());
        if reason.is_empty() && (outcome.passed && !other.passed || outcome.checks > other.checks) {
            lost.push(function.as_str());
        }
    }
    if lost.is_empty() {
        return Ok(());
    }
    bail!(
        "what passes directly fails through lockgate: {}; the logs are in {}",
        lost.join(" "),
        suite.place.display()
    );
}

/// The functions that Kubernetes runs, in its order.
fn all(source: &Path) -> Result<Vec<String>> {
    let script = fs::read_to_string(source.join("test/cmd/legacy-script.sh"))?;
    let recorded = script.lines().filter_map(|line| line.trim().strip_prefix("record_command run_"));
    let mut functions: Vec<_> = recorded.map(|name| name.trim_end_matches("_tests").to_owned()).collect();
    ensure!(!functions.is_empty(), "this version of Kubernetes runs its tests otherwise");
    functions.push("auth".into());
    Ok(functions)
}

/// What became of a function.
#[derive(Clone, Copy, Default)]
struct Outcome {
    passed: bool,
    /// How many of its checks succeeded before its end; the first that fails ends it.
    checks: usize,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", if self.passed { "passed" } else { "failed" }, self.checks)
    }
}

struct Suite {
    /// The module.
    source: PathBuf,
    /// The folders of kube-apiserver, kubectl, and the others.
    programs: [PathBuf; 2],
    functions: Vec<String>,
    /// For copies and logs.
    place: PathBuf,
}

impl Suite {
    /// Runs the functions, through lockgate under that policy where there is one.
    fn run(&self, name: &str, policy: Option<&str>) -> Result<BTreeMap<String, Outcome>> {
        let folder = self.place.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let tree = folder.join("kubernetes");
        self.copy(&tree)?;
        let [gate, temporary] = ["gate", "tmp"].map(|name| folder.join(name));
        fs::create_dir_all(&gate)?;
        fs::create_dir_all(&temporary)?;
        let (api, etcd, port, control) = (free_port()?, free_port()?, free_port()?, free_port()?);

        // Its variable must not be in the environment: etcd takes it for an option of its own.
        let script = "ETCD_VERSION=3.4.0; make() { :; }; source hack/make-rules/test-cmd.sh";
        let mut command = cmd::command("bash", &["-c", script]);
        command
            .current_dir(&tree)
            .env_clear()
            .env("TERM", "xterm")
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command
            .env("TMPDIR", &temporary)
            .env("HOME", &temporary)
            .env("KUBE_JUNIT_REPORT_DIR", folder.join("junit"));
        command.env("SERVICE_ACCOUNT_KEY", folder.join("service-accounts.key"));
        command.env("SECURE_API_PORT", api.to_string()).env("ETCD_PORT", etcd.to_string());
        command.env("WHAT", self.functions.join(" "));
        if let Some(policy) = policy {
            fs::write(gate.join("policy.yaml"), policy)?;
            fs::write(gate.join("lockgate.yaml"), config(api, port, control))?;
            command.env("LOCKGATE", cmd::target().join("debug/lockgate"));
            command.env("GATE_DIR", &gate).env("GATE_PORT", port.to_string());
        }
        let log = folder.join("log");
        let output = File::create(&log)?;
        println!("running {name}: the log is {}", log.display());
        // It fails when one function fails.
        command.stdout(output.try_clone()?).stderr(output).status().context("cannot run bash")?;
        let outcomes = outcomes(&String::from_utf8_lossy(&fs::read(&log)?));
        ensure!(!outcomes.is_empty(), "no test began: see {}", log.display());
        Ok(outcomes)
    }

    /// A copy that can be changed, with the programs where a build would leave them.
    fn copy(&self, tree: &Path) -> Result<()> {
        for part in PARTS {
            let to = tree.join(part);
            let parent = to.parent().context("a part is below the tree")?;
            fs::create_dir_all(parent)?;
            cmd::run(
                cmd::command("cp", &["--recursive", "--no-preserve=mode"])
                    .arg(self.source.join(part))
                    .arg(parent),
            )?;
        }
        for part in ["api", "cluster"] {
            symlink(self.source.join(part), tree.join(part))?;
        }
        let bin = tree.join("_output/bin");
        fs::create_dir_all(&bin)?;
        for folder in &self.programs {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                // Beside them is what says that they are installed.
                if entry.file_name().as_encoded_bytes().starts_with(b"kube") {
                    symlink(entry.path(), bin.join(entry.file_name()))?;
                }
            }
        }
        fs::write(tree.join("hook.sh"), HOOK)?;
        let path = tree.join("hack/make-rules/test-cmd.sh");
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(TESTS), "test-cmd.sh begins its tests otherwise");
        Ok(fs::write(path, text.replace(TESTS, &format!("\nsource hook.sh{TESTS}")))?)
    }
}

/// A gateway that takes tokens of the cluster's own accounts, and speaks for callers to the cluster, as whose root it
/// appears.
fn config(api: u16, port: u16, control: u16) -> String {
    let upstream = |name: &str, host: &str| {
        format!(
            "- {{ name: {name}, kind: k8s, url: \"https://127.0.0.1:{api}\", ca: ca.pem, host: \"{host}:{port}\", \
             credential: {{ bearer: {{ token_file: admin-token }} }}, impersonate: {{ prefix: \"agent:\" }} }}\n"
        )
    };
    format!(
        "listen: {{ address: \"127.0.0.1:{port}\", tls: generated }}\n\
         data_dir: data\n\
         policy: policy.yaml\n\
         control: {{ listen: \"127.0.0.1:{control}\" }}\n\
         issuers:\n\
         - {{ name: cluster, issuer: \"https://kubernetes.default.svc\", audiences: [lockgate], jwks_file: jwks.json }}\n\
         upstreams:\n{}{}",
        upstream("cluster", "127.0.0.1"),
        upstream("named", "localhost"),
    )
}

/// Reads the log: the functions, and what became of each.
fn outcomes(log: &str) -> BTreeMap<String, Outcome> {
    let (mut outcomes, mut current) = (BTreeMap::new(), None);
    for line in log.lines() {
        // What resets the terminal's colours may stand before.
        if let Some((_, function)) = line.split_once("+++ Running case: test-cmd.run_") {
            current = Some((function.trim_end().trim_end_matches("_tests").to_owned(), 0));
        } else if let Some((_, code)) = line.split_once("+++ exit code: ")
            && let Some((function, checks)) = current.take()
        {
            outcomes.insert(function, Outcome { passed: code.trim() == "0", checks });
        } else if let Some((_, checks)) = &mut current
            && line.contains("Successful")
        {
            *checks += 1;
        }
    }
    // One that did not end, as where a run was cut.
    outcomes.extend(current.map(|(function, checks)| (function, Outcome { passed: false, checks })));
    outcomes
}

#[cfg(test)]
mod tests {
    use super::{Outcome, outcomes};

    #[test]
    fn a_log_tells_what_became_of_each_function() {
        let log = "\
            +++ Running case: test-cmd.record_command_canary \n\
            Successful\n\
            +++ exit code: 1\n\
            +++ Running case: test-cmd.run_pod_tests \n\
            core.sh:75: Successful get pods: \n\
            Successful\n\
            \x1b(B\x1b[m+++ exit code: 0\n\
            +++ Running case: test-cmd.run_secrets_test \n\
            +++ exit code: 1\n\
            +++ Running case: test-cmd.run_wait_tests \n\
            Successful\n";
        let outcomes = outcomes(log);
        let told = outcomes.iter().map(|(function, outcome)| format!("{function} {outcome}"));
        assert_eq!(told.collect::<Vec<_>>(), ["pod passed 2", "secrets_test failed 0", "wait failed 1"]);
        assert_eq!(Outcome::default().to_string(), "failed 0");
    }
}
