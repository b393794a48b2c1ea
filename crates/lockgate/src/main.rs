//! lockgate, the binary.
mod certs;
mod cli;
mod config;
mod demo;
mod listen;
mod logs;
mod output;
fn main() {}
