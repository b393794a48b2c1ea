//! The binary before a real Kubernetes API: unmodified kubectl through a gateway.

mod calls;
mod hold;
mod streams;
mod world;
