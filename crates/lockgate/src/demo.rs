//! Demo.
mod git_server;
mod http;
mod idp;
const AGENT: &str = "agent:ada";
