//! Real git through the protocol, to a real upstream; and what no git sends.

mod gateway;
mod narrow;
mod real;
mod wire;
