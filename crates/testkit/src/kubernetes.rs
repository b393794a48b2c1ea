//! Kubernetes: a cluster with a real API server, and its clients.

mod audit;
mod cluster;
mod kubectl;

pub use cluster::Cluster;
pub use kubectl::{KubeUser, Kubectl, Transport};

/// Where `cargo xtask setup` puts the programs.
const PACKAGES: &str = "kubernetes";
