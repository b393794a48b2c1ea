//! The generated gRPC types of the control plane: the messages, clients and servers of
//! `proto/lockgate/v1`. Not written by hand: `cargo xtask codegen` makes them, and CI fails where they
//! differ from the protos.
//!
//! Nothing but `lockgate-control` sees these types: its `convert` turns them into the domain's.

/// The package `lockgate.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod v1 {
    include!("generated/lockgate.v1.rs");

    /// The encoded `FileDescriptorSet` of the package and what it imports, for gRPC reflection.
    pub const DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor.bin");
}
