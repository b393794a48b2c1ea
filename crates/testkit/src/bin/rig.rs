//! Starts what the tests run against, for a person: `cargo xtask rig`.

#![expect(clippy::print_stdout, reason = "a program for the terminal: its output is what it is for")]

use anyhow::Result;
use clap::{Parser, Subcommand};
use lockgate_testkit::Cluster;

#[derive(Parser)]
#[command(name = "cargo xtask rig", about = "Starts what the tests run against, until Ctrl-C")]
struct Cli {
    #[command(subcommand)]
    rig: Rig,
}

#[derive(Subcommand)]
enum Rig {
    /// etcd, a Kubernetes API server, and a node whose pods are local processes
    K8s,
}

fn main() -> Result<()> {
    match Cli::parse().rig {
        Rig::K8s => kubernetes(),
    }
}

fn kubernetes() -> Result<()> {
    let cluster = Cluster::start()?;
    std::fs::write(cluster.folder().join("lockgate.token"), cluster.token())?;
    let folder = cluster.folder().display();
    println!("API server   {}", cluster.url());
    println!("authority    {folder}/ca.pem");
    println!("audit log    {folder}/audit.log");
    println!("admin        export KUBECONFIG={folder}/admin.kubeconfig");
    println!("lockgate     {folder}/lockgate.token, of a ServiceAccount that may only impersonate");
    println!(
        "groups       {} may do everything, {} see what is no secret",
        Cluster::ADMINS,
        Cluster::VIEWERS
    );
    println!("stop         Ctrl-C");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    drop(cluster);
    println!("stopped");
    Ok(())
}
