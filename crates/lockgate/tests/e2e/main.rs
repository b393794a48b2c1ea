//! The binary, end to end: unmodified git through a real gateway to a real Git server.

mod apart;
mod authn;
mod bad_input;
mod cli;
mod clients;
mod content;
mod crash;
mod dav;
mod demo;
mod detect;
mod early;
mod evidence;
mod fetch;
mod hold;
mod kubeconfig;
mod lfs;
mod people;
mod push;
mod s3;
mod unusual;
mod upstream;
mod wire;
mod world;
