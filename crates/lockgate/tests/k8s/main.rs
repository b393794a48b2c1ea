//! The binary before a real Kubernetes API: unmodified kubectl through a gateway.

mod attributes;
mod bad_input;
mod calls;
mod clients;
mod commands;
mod evidence;
mod hold;
mod identity;
mod kube_rs;
mod kubeconfig;
mod secrets;
mod streams;
mod world;
mod write_back;
