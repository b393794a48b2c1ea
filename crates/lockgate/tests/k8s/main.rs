//! The binary before a real Kubernetes API: unmodified kubectl through a gateway.

mod attributes;
mod bad_input;
mod calls;
mod clients;
mod hold;
mod identity;
mod secrets;
mod streams;
mod world;
