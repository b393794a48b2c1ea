//! The binary before a real registry: unmodified clients through a gateway.

mod clients;
mod content;
mod impatient;
mod login;
mod signatures;
mod wire;
mod world;
