//! The protobuf types of `proto/lockgate/record/v1/record.proto` and their descriptor set, as `cargo xtask codegen`
//! leaves them.

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
#[rustfmt::skip]
#[path = "generated/lockgate.record.v1.rs"]
pub(crate) mod v1;

/// The encoded `FileDescriptorSet` of the record schema. Every bundle carries it.
pub(crate) const SCHEMA: &[u8] = include_bytes!("generated/descriptor.bin");
